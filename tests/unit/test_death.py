from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from coachman.policy.death import Death, explain

PLAIN: Final = Death(
    slot=3,
    pid=4711,
    ending="SIGKILL",
    memory_evidence=None,
    served_for=12.34,
    requests=532,
    in_flight=0,
    request_line="",
    last_line="",
    reason="",
    drained=False,
)
BEGIN: Final = "worker 3 (pid 4711) ended with SIGKILL"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, f"{BEGIN} after 532 requests in 12.3 s"),
        ({"requests": 1}, f"{BEGIN} after 1 request in 12.3 s"),
        (
            {"memory_evidence": "oom_kill went from 1 to 2"},
            f"{BEGIN}, killed by the kernel because memory ran out (oom_kill went from 1 to 2), "
            "after 532 requests in 12.3 s",
        ),
        (
            {"in_flight": 1, "request_line": "GET /x", "last_line": "Segmentation fault"},
            f"{BEGIN} after 532 requests in 12.3 s, in GET /x, and had last printed: Segmentation fault",
        ),
        (
            {"in_flight": 3, "request_line": "GET /x"},
            f"{BEGIN} after 532 requests in 12.3 s, in GET /x and 2 more",
        ),
        ({"in_flight": 1}, f"{BEGIN} after 532 requests in 12.3 s, in a request"),
        (
            {"drained": True, "reason": "generation 2 takes its place", "last_line": "bye"},
            f"{BEGIN} after 532 requests in 12.3 s: generation 2 takes its place",
        ),
    ],
)
def test_one_line_says_it_all(changes: dict[str, object], line: str) -> None:
    death = replace(PLAIN, **changes)  # type: ignore[arg-type]  # whatever the row names
    assert explain(death) == line
