"""The lines of the access log: one request in, the bytes of one line out, whatever the client sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple, TypeAlias

import msgspec

# Not `%b`: an application may have set a locale.
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Access(NamedTuple):
    """One request that was answered. Text from clients is latin-1: a character for each byte."""

    peer: str
    """The client's address; "" for one on a unix socket."""
    method: str
    """"" where no request could be made out of what was sent, and then `target` and `protocol` as well."""
    target: str
    protocol: str
    """`HTTP/1.1`, for example."""
    status: int
    """That of the answer; 0 where the connection ended without one."""
    size: int
    """Bytes of the answer's body that were given to the kernel."""
    duration_ns: int
    """From the call of the application to the end of its answer."""
    referer: str
    user_agent: str
    request_id: str


Formatter: TypeAlias = Callable[[Access, float], bytes]
"""Formats what ended at a time, in seconds since the epoch."""

# Everything that may stand between quotes in a line, and between spaces: printable ASCII but `"` and `\`.
_UNSAFE: Final = re.compile(r"[^ !#-\[\]-~]")


class CommonFormatter:
    r"""The Common or Combined Log Format, then the seconds it took, the worker's pid and the request id.

    As Apache and nginx do, `"` and `\` get a backslash, and every byte that is no printable ASCII is written
    as `\xff`: a client can write neither a line of its own nor what a terminal would obey.
    """

    def __init__(self, pid: int, *, combined: bool) -> None:
        self._pid = pid
        self._combined = combined
        self._time = (-1, "")

    def __call__(self, access: Access, now: float) -> bytes:
        """Format one request."""
        second = int(now)
        known, moment = self._time
        if second != known:
            moment = _in_log(second)
            self._time = (second, moment)  # in one step: other threads see the old pair or this one
        peer, method, target, protocol, status, size, duration_ns, referer, agent, request_id = access
        request = f"{method} {target} {protocol}" if method else "-"
        # One look at all that the client has a say in.
        if _UNSAFE.search(f"{peer}{request}{referer}{agent}{request_id}") is not None:
            peer, request, request_id = escaped(peer), escaped(request), escaped(request_id)
            referer, agent = escaped(referer), escaped(agent)
        named = f' "{referer or "-"}" "{agent or "-"}"' if self._combined else ""
        return (
            f'{peer or "-"} - - {moment} "{request}" {status or "-"} {size or "-"}{named} '
            f"{duration_ns // 1000 / 1e6:.6f} {self._pid} {request_id or '-'}\n"
        ).encode()


class _Object(msgspec.Struct):
    """One line in JSON; the order is the one in which it is written."""

    time: str
    peer: str | None
    method: str | None
    target: str | None
    protocol: str | None
    status: int | None
    bytes: int
    duration: float
    referer: str | None
    user_agent: str | None
    request_id: str | None
    pid: int


class JsonFormatter:
    r"""One object a line. What a client sent is UTF-8 where it can be; other bytes are written as `\xff`."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._encode = msgspec.json.Encoder().encode

    def __call__(self, access: Access, now: float) -> bytes:
        """Format one request."""
        return (
            self._encode(
                _Object(
                    time=f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
                    peer=access.peer or None,
                    method=_shown(access.method) or None,
                    target=_shown(access.target) or None,
                    protocol=_shown(access.protocol) or None,
                    status=access.status or None,
                    bytes=access.size,
                    duration=access.duration_ns // 1000 / 1e6,
                    referer=_shown(access.referer) or None,
                    user_agent=_shown(access.user_agent) or None,
                    request_id=_shown(access.request_id) or None,
                    pid=self._pid,
                )
            )
            + b"\n"
        )


FORMATTERS: Final[Mapping[str, Callable[[int], Formatter]]] = {
    "common": partial(CommonFormatter, combined=False),
    "combined": partial(CommonFormatter, combined=True),
    "json": JsonFormatter,
}
"""What makes a formatter for a worker with this pid, by the name under which it is configured."""


def escaped(text: str) -> str:
    """Return `text` as it may stand in a line, whoever wrote it."""
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return "\\" + character if character in '"\\' else f"\\x{ord(character):02x}"


def _shown(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    # JSON escapes control characters, but not those from 128 to 159, which some terminals obey.
    shown = text.encode("latin-1", "replace").decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() or ord(character) < 32 else f"\\u{ord(character):04x}"
        for character in shown
    )


def _in_log(second: int) -> str:
    moment = datetime.fromtimestamp(second, UTC)
    return f"[{moment.day:02d}/{_MONTHS[moment.month - 1]}/{moment:%Y:%H:%M:%S} +0000]"
