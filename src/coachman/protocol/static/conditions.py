"""Conditional requests: what a client's validators mean for the answer (RFC 9110, section 13)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_tz
from enum import Enum, auto
from typing import Final, NamedTuple

_ENTITY_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')

STRONG_AFTER_SECONDS: Final = 2
"""The age from which on a modification time tells two versions apart (RFC 9110, 8.8.2.2)."""


class Verdict(Enum):
    """What the conditions of a request come to."""

    PROCEED = auto()
    NOT_MODIFIED = auto()
    FAILED = auto()


class Validators(NamedTuple):
    """What tells this version of a file from any other."""

    etag: str
    """In its quotes, and strong: the same bytes have it, and no others."""
    modified: int
    """Seconds since the epoch, never later than now."""

    @property
    def last_modified(self) -> str:
        """As it stands in the header."""
        return formatdate(self.modified, usegmt=True)


def entity_tag(*, size: int, mtime_ns: int, inode: int, coding: str = "") -> str:
    """Return the strong entity tag of a file; one for each coding, as their bytes differ."""
    suffix = "-" + coding if coding else ""
    return f'"{mtime_ns:x}-{size:x}-{inode:x}{suffix}"'


def evaluate(headers: Mapping[str, str], validators: Validators) -> Verdict:
    """Weigh the conditions of a GET or HEAD in the order of section 13.2.2. Names are in lower case."""
    if (wanted := headers.get("if-match")) is not None:
        holds = _matches(wanted, validators.etag, weakly=False)
    else:
        since = _seconds(headers.get("if-unmodified-since"))
        holds = since is None or validators.modified <= since
    if not holds:
        return Verdict.FAILED
    if (known := headers.get("if-none-match")) is not None:
        return Verdict.NOT_MODIFIED if _matches(known, validators.etag, weakly=True) else Verdict.PROCEED
    since = _seconds(headers.get("if-modified-since"))
    if since is not None and validators.modified <= since:
        return Verdict.NOT_MODIFIED
    return Verdict.PROCEED


def range_applies(if_range: str | None, validators: Validators, now: float) -> bool:
    """Return whether `Range` counts, given the value of `If-Range` (section 13.1.5); None: there is none."""
    if if_range is None:
        return True
    if if_range.endswith('"'):
        return if_range == validators.etag  # strong, so a weak one is never equal
    return if_range == validators.last_modified and now - validators.modified >= STRONG_AFTER_SECONDS


def _matches(listed: str, etag: str, *, weakly: bool) -> bool:
    if listed.strip() == "*":
        return True
    tags: list[str] = _ENTITY_TAG.findall(listed)
    return etag in ((tag.removeprefix("W/") for tag in tags) if weakly else tags)


def _seconds(date: str | None) -> int | None:
    """Read an HTTP date in any of its three forms; None where it is none, and so to be ignored."""
    if date is None:
        return None
    try:
        parsed = parsedate_tz(date)
        # `datetime` refuses a 99th of November.
        return None if parsed is None else int(datetime(*parsed[:6], tzinfo=UTC).timestamp())
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
