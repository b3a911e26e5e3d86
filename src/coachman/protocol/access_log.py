"""The lines of the access log: one request in, the bytes of one line out, whatever the client sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Final, TypeAlias

import msgspec

# Not `%b`: an application may have set a locale.
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Access(msgspec.Struct, frozen=True, gc=False):
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
    ended_ns: int
    """When that was, in monotonic nanoseconds."""
    referer: str
    user_agent: str
    request_id: str


def no_request(peer: str, status: int, size: int, ended_ns: int) -> Access:
    """Return what is logged of bytes out of which no request could be made, and of their answer."""
    return Access(peer, "", "", "", status, size, 0, ended_ns, "", "", "")


Formatter: TypeAlias = Callable[[Sequence[Access], int], bytes]
"""Formats requests, a line for each; with what monotonic nanoseconds lack to those since the epoch.

May be used by one thread at a time.
"""

# Everything that may stand between quotes in a line, and between spaces: printable ASCII but `"` and `\`.
_UNSAFE: Final = re.compile(r"[^ !#-\[\]-~]")
_UNSAFE_BYTES: Final = bytes(byte for byte in range(256) if _UNSAFE.match(chr(byte)))


class CommonFormatter:
    r"""The Common or Combined Log Format, then the seconds it took, the worker's pid and the request id.

    As Apache and nginx do, `"` and `\` get a backslash, and every byte that is no printable ASCII is written
    as `\xff`: a client can write neither a line of its own nor what a terminal would obey.
    """

    def __init__(self, pid: int, *, combined: bool) -> None:
        self._pid = pid
        self._combined = combined
        self._own = 7 if combined else 3
        """Bytes in a line that clients may not write: its quotes and its end."""
        self._second, self._moment = -1, ""

    def __call__(self, accesses: Sequence[Access], epoch_ns: int) -> bytes:
        """Format requests, in their order."""
        text = self._lines(accesses, epoch_ns)
        # One look at all that clients have a say in: whatever is unsafe is more than there has to be.
        if len(text) - len(text.translate(None, _UNSAFE_BYTES)) != self._own * len(accesses):
            return self._lines([_escaped(access) for access in accesses], epoch_ns)
        return text

    def _lines(self, accesses: Sequence[Access], epoch_ns: int) -> bytes:
        lines = []
        pid, agent = self._pid, ""
        begin, end = 0, 0
        for access in accesses:
            ended = access.ended_ns
            if not begin <= ended < end:  # within the second, in monotonic nanoseconds
                second = (ended + epoch_ns) // 1_000_000_000
                begin = second * 1_000_000_000 - epoch_ns
                end = begin + 1_000_000_000
                if second != self._second:
                    self._second, self._moment = second, _in_log(second)
            request = f"{access.method} {access.target} {access.protocol}" if access.method else "-"
            if self._combined:
                agent = f' "{access.referer or "-"}" "{access.user_agent or "-"}"'
            lines.append(
                f'{access.peer or "-"} - - {self._moment} "{request}" {access.status or "-"} '
                f"{access.size or '-'}{agent} {_seconds(access.duration_ns // 1000)} {pid} "
                f"{access.request_id or '-'}\n"
            )
        return "".join(lines).encode()


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

    def __call__(self, accesses: Sequence[Access], epoch_ns: int) -> bytes:
        """Format requests, in their order."""
        return b"".join([self._line(access, epoch_ns) for access in accesses])

    def _line(self, access: Access, epoch_ns: int) -> bytes:
        now = (access.ended_ns + epoch_ns) / 1e9
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


def _escaped(access: Access) -> Access:
    return msgspec.structs.replace(
        access,
        peer=escaped(access.peer),
        method=escaped(access.method),
        target=escaped(access.target),
        referer=escaped(access.referer),
        user_agent=escaped(access.user_agent),
        request_id=escaped(access.request_id),
    )


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return "\\" + character if character in '"\\' else f"\\x{ord(character):02x}"


@lru_cache(maxsize=512)
def _seconds(microseconds: int) -> str:
    """Return a duration in seconds. To write a fraction takes a while; brief ones come again and again."""
    return f"{microseconds / 1e6:.6f}"


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
