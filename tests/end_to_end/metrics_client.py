"""Whoever scrapes a server and looks at its health."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from .coachman_serve import CoachmanServe


class MetricsClient:
    """Asks at the address that a server says its metrics are at."""

    def __init__(self, server: CoachmanServe) -> None:
        self.url = server.wait_for_output(r"metrics at (http://\S+)/metrics")[1]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", trust_env=False, timeout=30)

    def samples(self) -> list[Sample]:
        """Return everything, as Prometheus' own parser reads it."""
        answer = self.get("/metrics")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return [s for family in text_string_to_metric_families(answer.text) for s in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Return the value of the one sample that has this name and, among others, these labels."""
        samples = self.samples()
        found = [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
        assert len(found) == 1, (name, labels, samples)
        return found[0]

    def total(self, name: str) -> float:
        """Return the sum of all samples that have this name."""
        return sum(sample.value for sample in self.samples() if sample.name == name)
