"""`Range`, as clients and attackers write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coachman.protocol.static.ranges import MOST_RANGES, Span, parse_range


@pytest.mark.parametrize(
    ("value", "spans"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-9", [(0, 10)]),
        ("bytes=0-", [(0, 100)]),
        ("bytes=90-200", [(90, 100)]),
        (f"bytes=90-{2**63 - 1}", [(90, 100)]),
        (f"bytes=-{2**64 - 1}", [(0, 100)]),
        ("bytes=-10", [(90, 100)]),
        ("bytes=-200", [(0, 100)]),
        ("Bytes=1-2", [(1, 3)]),
        ("bytes= 1-2 ,  4-5", [(1, 3), (4, 6)]),
        ("bytes=,1-2,,", [(1, 3)]),
        ("bytes=4-5,1-2", [(4, 6), (1, 3)]),
        ("bytes=100-", []),
        ("bytes=100-200,-0", []),
        ("bytes=200-300, 0-1", [(0, 2)]),
    ],
)
def test_ranges_become_spans(value: str, spans: list[tuple[int, int]]) -> None:
    assert parse_range(value, 100) == [Span(*span) for span in spans]


@pytest.mark.parametrize(
    "value",
    ["", "bytes", "bytes=", "bytes=,", "lines=1-2", "bytes=a-b", "bytes=1", "bytes=-", "bytes=5-4",
     "bytes=1-2;", "bytes=--1", "bytes=+1-2", "bytes=\u0661-\u0662", "bytes=0-0 0",
     "bytes=" + "9" * 5000 + "-"],
)  # fmt: skip
def test_what_is_not_understood_is_ignored(value: str) -> None:
    assert parse_range(value, 100) is None


def test_an_empty_file_has_no_range() -> None:
    assert parse_range("bytes=0-", 0) == []
    assert parse_range("bytes=-1", 0) == []


def test_who_asks_for_many_small_parts_gets_the_whole() -> None:
    assert parse_range("bytes=" + ",".join(f"{n}-{n}" for n in range(MOST_RANGES)), 100) is not None
    assert parse_range("bytes=" + ",".join(f"{n}-{n}" for n in range(MOST_RANGES + 1)), 100) is None
    assert parse_range("bytes=" + "0-0," * 10_000, 100) is None


def test_who_asks_for_the_same_bytes_again_and_again_gets_the_whole() -> None:
    assert parse_range("bytes=0-,0-", 100) is None
    assert parse_range("bytes=0-99,5-6", 100) is None


@given(st.text(max_size=60), st.integers(0, 10_000))
def test_nothing_that_is_sent_reaches_beyond_the_file(value: str, size: int) -> None:
    for given_value in (value, "bytes=" + value):
        for span in parse_range(given_value, size) or []:
            assert 0 <= span.start < span.stop <= size
