"""Prometheus' text format, version 0.0.4: families of samples in, text out.

prometheus-client was measured and not taken: importing it costs the supervisor 3.3 MiB and 20 to 27 ms, for
what is this page. The tests read the text with its parser.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_IN_LABELS: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_IN_HELP: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


class Kind(StrEnum):
    """What the values of a family mean."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class Sample:
    """One value."""

    value: float
    labels: Mapping[str, str]
    suffix: str = ""
    """What follows the family's name: "_bucket", "_sum" or "_count", where it has several series."""


@dataclass(frozen=True, slots=True)
class Family:
    """Everything that has one name."""

    name: str
    kind: Kind
    help: str
    samples: Sequence[Sample]


def exposition(families: Iterable[Family]) -> bytes:
    """Return the text; a family without samples is left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {family.help.translate(_IN_HELP)}")
        lines.append(f"# TYPE {family.name} {family.kind.value}")
        for sample in family.samples:
            labels = ",".join(
                f'{name}="{text.translate(_IN_LABELS)}"' for name, text in sample.labels.items()
            )
            lines.append(
                f"{family.name}{sample.suffix}{f'{{{labels}}}' if labels else ''} {number(sample.value)}"
            )
    return "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace")


def number(value: float) -> str:
    """Return a value, or the bound of a bucket, as the format has it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else str(value)


def histogram(
    labels: Mapping[str, str], bounds: Sequence[float], counts: Sequence[int], total: float
) -> list[Sample]:
    """Return the samples of a histogram.

    `counts` are those of each bucket by itself, one more than there are upper `bounds`; `total` is the sum of
    all that was observed.
    """
    samples = []
    below = 0
    for bound, count in zip((*bounds, math.inf), counts, strict=True):
        below += count
        samples.append(Sample(below, {**labels, "le": number(bound)}, "_bucket"))
    return [*samples, Sample(total, labels, "_sum"), Sample(below, labels, "_count")]
