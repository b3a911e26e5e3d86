"""The target of a request and the host it is meant for (RFC 9112, 3.2; RFC 9110, 7.2)."""

from __future__ import annotations

import re
from typing import NamedTuple

from coachman.protocol.http.refusal import BadRequest, malformed

_HOST = re.compile(
    r"(?:\[[0-9A-Fa-f:.]++\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*+)(?::[0-9]{0,5}+)?+"
)
"""`uri-host [":" port]` of RFC 3986; an empty one is allowed, for targets that have no authority."""

_ABSOLUTE = re.compile(r"(?i:https?)://([^/?]++)(.*+)")


class Target(NamedTuple):
    """What a target says."""

    path: str
    """Percent-encoded, from the first slash; empty where the target is `*`, the server as a whole."""
    query: str
    authority: str | None
    """Host and port of the absolute form, which overrule the `Host` field; None in the other forms."""


def is_host(value: str) -> bool:
    """Return whether `value` is a host with or without a port."""
    return _HOST.fullmatch(value) is not None


def check_target(method: str, target: str) -> None:
    """Raise `BadRequest` where `target` is none that `method` may have."""
    if method == "CONNECT":
        raise BadRequest("501 Not Implemented", "CONNECT is not served here")
    if target.startswith("/"):
        return
    if target == "*":
        if method != "OPTIONS":
            raise malformed("the target * belongs to OPTIONS, and not to", method)
        return
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise malformed("this is no target of a request", target)
    if absolute[1].startswith(":") or not is_host(absolute[1]):
        raise malformed("the target has no valid host", target)


def split_target(target: str) -> Target:
    """Return the parts of a target that `check_target` has let pass."""
    authority = None
    if not target.startswith("/"):
        if target == "*":
            return Target("", "", None)
        absolute = _ABSOLUTE.fullmatch(target)
        assert absolute is not None
        authority, target = absolute[1], absolute[2]
        if not target.startswith("/"):
            target = "/" + target
    path, _, query = target.partition("?")
    return Target(path, query, authority)
