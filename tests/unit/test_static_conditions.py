"""Conditional requests, by the table of RFC 9110, section 13.2.2."""

from __future__ import annotations

import pytest

from coachman.protocol.static.conditions import (
    Validators,
    Verdict,
    entity_tag,
    evaluate,
    range_applies,
)

NOW = 784111777 + 3600
VALIDATORS = Validators('"a"', 784111777)
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"

PROCEED, NOT_MODIFIED, FAILED = Verdict


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({}, PROCEED),
        ({"if-match": '"a"'}, PROCEED),
        ({"if-match": '"b", "a"'}, PROCEED),
        ({"if-match": "*"}, PROCEED),
        ({"if-match": '"b"'}, FAILED),
        ({"if-match": 'W/"a"'}, FAILED),
        ({"if-match": ""}, FAILED),
        # If-Match decides, If-Unmodified-Since is not looked at.
        ({"if-match": '"a"', "if-unmodified-since": EARLIER}, PROCEED),
        ({"if-unmodified-since": DATE}, PROCEED),
        ({"if-unmodified-since": EARLIER}, FAILED),
        ({"if-unmodified-since": "yesterday"}, PROCEED),
        ({"if-none-match": '"a"'}, NOT_MODIFIED),
        ({"if-none-match": 'W/"a"'}, NOT_MODIFIED),
        ({"if-none-match": '"b,", "a"'}, NOT_MODIFIED),
        ({"if-none-match": "*"}, NOT_MODIFIED),
        ({"if-none-match": '"b"'}, PROCEED),
        ({"if-none-match": '"x,a"'}, PROCEED),
        # If-None-Match decides, If-Modified-Since is not looked at.
        ({"if-none-match": '"b"', "if-modified-since": DATE}, PROCEED),
        ({"if-modified-since": DATE}, NOT_MODIFIED),
        ({"if-modified-since": "Sunday, 06-Nov-94 08:49:37 GMT"}, NOT_MODIFIED),
        ({"if-modified-since": "Sun Nov  6 08:49:37 1994"}, NOT_MODIFIED),
        ({"if-modified-since": EARLIER}, PROCEED),
        ({"if-modified-since": "Sun, 99 Nov 1994 99:49:37 GMT"}, PROCEED),
        ({"if-modified-since": "Sun, 06 Nov 99999999999 08:49:37 GMT"}, PROCEED),
        ({"if-modified-since": ""}, PROCEED),
        # A precondition that failed comes before one that saves the body.
        ({"if-match": '"b"', "if-none-match": '"a"'}, FAILED),
        ({"if-match": '"a"', "if-none-match": '"a"'}, NOT_MODIFIED),
    ],
)
def test_conditions_are_weighed_in_the_order_of_the_standard(
    headers: dict[str, str], verdict: Verdict
) -> None:
    assert evaluate(headers, VALIDATORS) is verdict


@pytest.mark.parametrize(
    ("if_range", "applies"),
    [
        (None, True),
        ('"a"', True),
        ('"b"', False),
        ('W/"a"', False),
        (DATE, True),
        (EARLIER, False),
        ("Sunday, 06-Nov-94 08:49:37 GMT", False),  # a date has to be the very one that was sent
        ("nonsense", False),
    ],
)
def test_a_range_counts_only_for_the_version_that_the_client_has(if_range: str | None, applies: bool) -> None:
    assert range_applies(if_range, VALIDATORS, NOW) is applies


def test_a_date_says_nothing_about_a_file_that_was_changed_just_now() -> None:
    assert not range_applies(DATE, VALIDATORS, VALIDATORS.modified + 1)


def test_entity_tags_differ_by_size_time_inode_and_coding() -> None:
    tags = {
        entity_tag(size=1, mtime_ns=2, inode=3),
        entity_tag(size=2, mtime_ns=2, inode=3),
        entity_tag(size=1, mtime_ns=3, inode=3),
        entity_tag(size=1, mtime_ns=2, inode=4),
        entity_tag(size=1, mtime_ns=2, inode=3, coding="br"),
    }
    assert len(tags) == 5
    assert all(tag[0] == tag[-1] == '"' for tag in tags)
