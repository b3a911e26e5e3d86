"""The message channel's framing: values to bytes, and bytes, split anywhere, back to values.

======================  =======================================================================
array message           uint16 big-endian length of the body, then the body: every element
                        followed by one NUL byte; at least one element, the message's name
scalar message          uint32 big-endian length, then that many bytes
marker                  one byte that carries a descriptor beside the stream
======================  =======================================================================

Nothing on the wire says which kind comes next: the receiver asks for the kind that was sent. The bytes are
those of Phusion Passenger's MessageChannel; `docs/protocols.md` has them with examples.
"""

from __future__ import annotations

from coachman.errors import LocalProtocolError, MessageCut, RemoteProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol, TypeAlias
else:
    Protocol = object

ARRAY_HEADER: Final = 2
SCALAR_HEADER: Final = 4
MAX_BODY: Final = 0xFFFF
MAX_SCALAR: Final = 0xFFFF_FFFF
MARKER: Final = b"\0"
PASS_IO: Final = "pass IO"
GOT_IO: Final = "got IO"


class PathLike(Protocol):
    """What `os.PathLike` is, without importing `os` into a pure room."""

    def __fspath__(self) -> str | bytes: ...


Element: TypeAlias = str | bytes | bytearray | memoryview | int | float | PathLike | None
"""What an element of an array message can be made from. It arrives as `str`."""


def encode_array(elements: tuple[Element, ...]) -> bytes:
    """Return the bytes of the array message with these elements, header included.

    Text is UTF-8 with `surrogateescape`; `None` becomes the empty string; numbers and paths become their
    text. Raises `LocalProtocolError` when there is no element, an element holds a NUL or cannot be an
    element, or the body is longer than 65,535 bytes.
    """
    try:
        text = "\0".join(elements)  # type: ignore[arg-type]  # TypeError unless all are str, the common case
    except TypeError:
        text = "\0".join([_text(element) for element in elements])
    try:
        body = text.encode("utf-8", "surrogateescape") + b"\0"
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"an element is not text that UTF-8 can carry: {error}") from error
    if body.count(0) != len(elements):
        if not elements:
            raise LocalProtocolError("an array message has at least one element, its name")
        raise LocalProtocolError(f"an element of the message {elements[0]!r} contains a NUL byte")
    size = len(body)
    if size > MAX_BODY:
        raise LocalProtocolError(
            f"the message {elements[0]!r} has a body of {size} bytes; an array message carries at most "
            f"{MAX_BODY}: send what is long as a scalar message"
        )
    return size.to_bytes(ARRAY_HEADER, "big") + body


def _text(element: Element) -> str:
    if isinstance(element, str):
        return element
    if element is None:
        return ""
    if isinstance(element, int | float):
        return str(element)
    if isinstance(element, bytes | bytearray | memoryview):
        return str(element, "utf-8", "surrogateescape")
    if hasattr(element, "__fspath__"):
        return _text(element.__fspath__())
    raise LocalProtocolError(
        f"a message's elements are str, bytes, numbers, paths or None, not {type(element).__name__}"
    )


def encode_scalar_header(size: int) -> bytes:
    """Return the header of a scalar message of `size` bytes; `LocalProtocolError` if it is 4 GiB or more."""
    if size > MAX_SCALAR:
        raise LocalProtocolError(f"a scalar message carries at most {MAX_SCALAR} bytes, not {size}")
    return size.to_bytes(SCALAR_HEADER, "big")


def encode_scalar(data: bytes | bytearray | memoryview | str) -> bytes:
    """Return the bytes of the scalar message with this body; a `str` as UTF-8."""
    body = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
    return b"".join((encode_scalar_header(memoryview(body).nbytes), body))


class Decoder:
    """Cuts a byte stream into the items that are asked for.

    `feed` what arrives, in order; then `array`, `scalar` or `marker` returns the next item, or None as long
    as bytes are missing. An item that is not complete stays, so the question can be put again after more was
    fed. A `RemoteProtocolError` leaves the stream without meaning: the decoder must not be asked again.
    """

    __slots__ = ("_at", "_data", "_later", "_later_size", "_wanted")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0
        # Chunks behind `_data`, not joined to it before the item that waits for them is complete: joining on
        # every arrival would make a long scalar quadratic.
        self._later: list[bytes] = []
        self._later_size = 0
        self._wanted = 0

    def feed(self, data: bytes) -> None:
        """Add bytes that arrived."""
        if self._later or self._at < len(self._data):
            self._later.append(data)
            self._later_size += len(data)
        else:
            self._data = data
            self._at = 0

    @property
    def buffered(self) -> int:
        """How many bytes were fed and not yet returned as part of an item."""
        return len(self._data) - self._at + self._later_size

    def array(self) -> list[str] | None:
        """Return the elements of the next array message, at least one."""
        data, start = self._data, self._at + ARRAY_HEADER
        end = start + (data[start - 2] << 8 | data[start - 1]) if start <= len(data) else start
        if end > len(data):
            self._wanted = end - self._at
            return self.array() if self._gather() else None
        if end == start:
            raise RemoteProtocolError("the peer sent an array message without an element")
        if data[end - 1]:
            raise RemoteProtocolError(
                f"the peer sent an array message of {end - start} bytes that does not end in a NUL byte: "
                f"{data[start : start + 32]!r}"
            )
        elements = data[start : end - 1].decode("utf-8", "surrogateescape").split("\0")
        self._at = end  # last: a signal's handler that raises before has left the message here
        return elements

    def scalar(self, max_size: int | None = None) -> bytes | None:
        """Return the next scalar message; `RemoteProtocolError` if it is longer than `max_size` bytes."""
        start = self._at + SCALAR_HEADER
        if start > len(self._data):
            self._wanted = SCALAR_HEADER
            return self.scalar(max_size) if self._gather() else None
        size = int.from_bytes(self._data[self._at : start], "big")
        if max_size is not None and size > max_size:
            raise RemoteProtocolError(
                f"the peer sent a scalar of {size} bytes; at most {max_size} are accepted"
            )
        self._wanted = SCALAR_HEADER + size
        if self.buffered < self._wanted:
            return None
        end = start + size
        if end <= len(self._data):
            self._at = end
            return self._data[start:end]
        last = self._later[-1]
        beyond = self.buffered - self._wanted
        if beyond > len(last):  # an item of another kind was waited for, and fed for, before
            self._gather()
            return self.scalar(max_size)
        # One copy of the payload: it may be all the memory that is free.
        parts: list[bytes | memoryview] = [
            memoryview(self._data)[start:],
            *self._later[:-1],
            memoryview(last)[: len(last) - beyond],
        ]
        self._data, self._at = last, len(last) - beyond
        self._later.clear()
        self._later_size = 0
        return b"".join(parts)

    def marker(self) -> bool | None:
        """Take the one byte that carried a descriptor: True, or None if it has not arrived."""
        self._wanted = 1
        if self._at == len(self._data) and not self._gather():
            return None
        self._at += 1
        return True

    def _gather(self) -> bool:
        """Join the chunks if together they have the bytes wanted; say whether they have."""
        if not self._later or self.buffered < self._wanted:
            return False
        self._data = b"".join([self._data[self._at :], *self._later])
        self._at = 0
        self._later.clear()
        self._later_size = 0
        return True

    def end(self) -> None:
        """Tell that the stream has ended; `MessageCut` if it ended inside an item."""
        if self.buffered:
            raise MessageCut(missing=self._wanted - self.buffered, received=self.buffered)
