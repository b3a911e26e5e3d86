"""How the log looks: blocks of whole lines in, bytes of the log out.

A block is one or more lines, each ending in a newline. Where a format can do without a look at each line it
does: one `bytes.replace` puts a prefix before every line of a block at the speed of memory. Nothing is copied
only to be in one piece: whoever writes can write pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Final, NamedTuple, Protocol, TypeAlias

import msgspec

from coachman.protocol.lines import count_lines

STREAMS: Final = ("stdout", "stderr", "access", "stacks")
"""Where the lines of a process come from: its pipes, its requests, and what it was asked about itself."""

_encoder = msgspec.json.Encoder()
_object_decoder = msgspec.json.Decoder(dict[str, object])


@dataclass(frozen=True, slots=True)
class Attribution:
    """What stands before the message of a line, in each format that has such a thing."""

    text: bytes
    json: bytes
    """The members of the object from `pid` to the colon behind `message`."""


@dataclass(frozen=True, slots=True)
class Source:
    """The process that printed a line: which one, of which application and generation."""

    pid: int
    application: str | None = None
    generation: int | None = None
    attributions: Mapping[str, Attribution] = field(init=False, repr=False, compare=False)
    """By stream, made once for each process."""

    def __post_init__(self) -> None:
        attributions = {
            stream: Attribution(
                f"App {self.pid} {stream}: ".encode(),
                _members(self.pid, self.application, self.generation, stream),
            )
            for stream in STREAMS
        }
        object.__setattr__(self, "attributions", attributions)


Piece: TypeAlias = bytes | memoryview


class Formatted(NamedTuple):
    """A block as the log has it."""

    pieces: tuple[Piece, ...]
    """To be written one behind the other."""
    lines: int


class Format(Protocol):
    """One of the formats. It is made for the supervisor whose notes it formats."""

    has_notes: ClassVar[bool]
    """Whether it has a place for what the supervisor itself has to say."""

    def __init__(self, supervisor: int) -> None:
        """`supervisor` is a pid."""

    def lines(self, attribution: Attribution, block: bytes, time_ns: int) -> Formatted:
        """Format whole lines that were read at `time_ns`, nanoseconds since the epoch."""

    def note(self, text: str, time_ns: int) -> bytes:
        """Format what the supervisor itself has to say; b"" without `has_notes`."""


class TextFormat:
    """`App 4711 stdout: message`."""

    has_notes: ClassVar[bool] = True

    def __init__(self, supervisor: int) -> None:
        self._prefix = f"Supervisor {supervisor}: ".encode()

    def lines(self, attribution: Attribution, block: bytes, time_ns: int) -> Formatted:
        """Put the prefix before each line."""
        prefix = attribution.text
        prefixed = block.replace(b"\n", b"\n" + prefix)
        # The first line has its prefix from here, and what was put behind the last newline is left out.
        whole = memoryview(prefixed)[: -len(prefix)]
        return Formatted((prefix, whole), (len(prefixed) - len(block)) // len(prefix))

    def note(self, text: str, time_ns: int) -> bytes:
        """Put the prefix before each line."""
        return self._prefix + encode_note(text).replace(b"\n", b"\n" + self._prefix) + b"\n"


class JsonFormat:
    r"""One object a line.

    A line that is an object itself becomes the message as it is, so that a reader gets at its members; any
    other becomes a string. Bytes that are no UTF-8 are written as `\xff`.
    """

    has_notes: ClassVar[bool] = True

    def __init__(self, supervisor: int) -> None:
        self._members = _members(supervisor, None, None, "supervisor")

    def lines(self, attribution: Attribution, block: bytes, time_ns: int) -> Formatted:
        """Make one object of each line."""
        head = _time(time_ns) + attribution.json
        if block.startswith(b"{") or b"\n{" in block:
            encoded = [_message(line) for line in block[:-1].split(b"\n")]
            messages, count = b"\n".join(encoded), len(encoded)
        else:
            texts = _text(block[:-1]).split("\n")
            # The encoder escapes newlines in strings, so those that are left stand between two messages.
            messages, count = _encoder.encode_lines(texts)[:-1], len(texts)
        return Formatted((head, messages.replace(b"\n", b"}\n" + head), b"}\n"), count)

    def note(self, text: str, time_ns: int) -> bytes:
        """Make one object of the note, however many lines it has."""
        return b"".join((_time(time_ns), self._members, _message_text(_printable(text)), b"}\n"))


class RawFormat:
    """What the applications printed, and nothing else."""

    has_notes: ClassVar[bool] = False

    def __init__(self, supervisor: int) -> None:
        pass

    def lines(self, attribution: Attribution, block: bytes, time_ns: int) -> Formatted:
        """Leave the lines as they are."""
        return Formatted((block,), count_lines(block))

    def note(self, text: str, time_ns: int) -> bytes:
        """Return nothing: whoever reads a raw log takes every line for an application's."""
        return b""


FORMATS: Final[Mapping[str, type[Format]]] = {"text": TextFormat, "json": JsonFormat, "raw": RawFormat}
"""By the name under which it is configured."""


def encode_note(text: str) -> bytes:
    """Return the bytes of a note, in which whatever the supervisor quotes is what it was."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "backslashreplace")


def _members(pid: int, application: str | None, generation: int | None, stream: str) -> bytes:
    name = None if application is None else _printable(application)
    members = {"pid": pid, "application": name, "generation": generation, "stream": stream}
    return _encoder.encode(members)[1:-1] + b',"message":'


def _time(time_ns: int) -> bytes:
    """Return the beginning of an object: RFC 3339, section 5.6, in UTC, with microseconds."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f'{{"time":"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z",'.encode()


def _message(line: bytes) -> bytes:
    if line.startswith(b"{"):
        try:
            # All of it is decoded: msgspec is strict, so what passes is sound JSON and can be copied.
            _object_decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # it only looks like an object, or is one that few readers would accept
        else:
            return line.strip()
    return _message_text(_text(line))


def _message_text(text: str) -> bytes:
    return _encoder.encode(text)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _printable(text: str) -> str:
    """Take out the surrogates by which a `str` carries bytes that are no UTF-8: JSON has none."""
    return _text(encode_note(text))
