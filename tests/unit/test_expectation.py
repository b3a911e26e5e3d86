"""Which requests may overtake others."""

from __future__ import annotations

import pytest

from coachman.policy.expectation import REMEMBERED, Expectation
from coachman.protocol.http.glance import method_and_target


def test_who_is_known_to_be_brief_overtakes_where_calls_are_long() -> None:
    expectation = Expectation()
    for _ in range(90):
        expectation.note(b"GET /brief", 0.001)
    assert not expectation.may_overtake(b"GET /brief"), "there is nobody to be faster than"
    for _ in range(10):
        expectation.note(b"GET /long", 0.1)
    assert expectation.may_overtake(b"GET /brief")
    assert not expectation.may_overtake(b"GET /long")
    assert not expectation.may_overtake(b"GET /unknown")


def test_nobody_overtakes_where_all_take_about_as_long() -> None:
    expectation = Expectation()
    for hundredths in range(3, 8):
        for _ in range(20):
            expectation.note(b"GET /%d" % hundredths, hundredths / 100)
    assert not any(expectation.may_overtake(b"GET /%d" % hundredths) for hundredths in range(3, 8))


def test_the_query_makes_no_difference_and_the_method_does() -> None:
    expectation = Expectation()
    expectation.note(b"GET /search?q=1", 0.001)
    expectation.note(b"POST /search", 0.5)
    assert expectation.may_overtake(b"GET /search?q=2")
    assert not expectation.may_overtake(b"POST /search?q=2")


def test_what_has_become_slow_is_noticed() -> None:
    expectation = Expectation()
    expectation.note(b"GET /report", 0.5)
    expectation.note(b"GET /page", 0.001)
    assert expectation.may_overtake(b"GET /page")
    for _ in range(3):
        expectation.note(b"GET /page", 0.5)
    assert not expectation.may_overtake(b"GET /page")


def test_what_was_long_ago_counts_little() -> None:
    expectation = Expectation()
    expectation.note(b"GET /report", 5.0)
    expectation.note(b"GET /page", 0.1)
    assert expectation.may_overtake(b"GET /page")
    for _ in range(1000):
        expectation.note(b"GET /page", 0.1)
    assert not expectation.may_overtake(b"GET /page")


def test_it_remembers_only_so_many() -> None:
    expectation = Expectation()
    expectation.note(b"GET /first", 0.001)
    for number in range(REMEMBERED):
        expectation.note(b"GET /%d" % number, 1.0)
    assert not expectation.may_overtake(b"GET /first")


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"GET /page?a=b HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /page?a=b"),
        (b"GET /page HTTP/1.1\r\n", b"GET /page"),
        (b"GET /page HTTP/1.1", None),
        (b"GET\r\n", None),
        (b"", None),
    ],
)
def test_a_glance_at_a_request(data: bytes, seen: bytes | None) -> None:
    assert method_and_target(data) == seen
