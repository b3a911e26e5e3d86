"""The child's side of a fork: what this process sheds before it is a server, and how it leaves."""

from __future__ import annotations

import gc
import os
import socket
import sys
import traceback
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from coachman.server.last_words import LastWords
from coachman.unix.descriptors import retire

if TYPE_CHECKING:
    from coachman.server.server_side import ServerSide


class Inheritance(NamedTuple):
    """What a forked server has from its parent, and has to shed.

    Found out by the parent: the child pays for every page that it touches, and its own /proc is slow at
    first.
    """

    descriptors: Iterable[int]
    keep: Collection[int]
    placeholder: int
    signals: Sequence[int]


def live_as_server(
    server: ServerSide, sock: socket.socket, words: LastWords, inheritance: Inheritance
) -> NoReturn:
    """Run `server` over `sock` in the freshly forked process and leave that, whatever happens.

    Nothing of the parent's is run on the way out: no exit handlers, no `finally` of its frames, no flushing
    of what it had buffered.
    """
    status = 1
    try:
        try:
            _shed(inheritance)
            server._changed_signals = inheritance.signals
            server.start_synchronously(sock)
            status = 0
        except BaseException as error:
            status = report(error, words)
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass  # closed, or replaced by the server: there is nobody to be told
        os._exit(status)


def report(error: BaseException, words: LastWords) -> int:
    """Print what ended the server as Python would, leave its last line, return the exit status."""
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        if isinstance(error.code, int):
            return error.code & 0xFF
        print(error.code, file=sys.stderr)
        words.leave(str(error.code))
        return 1
    traceback.print_exception(error)
    words.leave(f"{type(error).__qualname__}: {error}")
    return 1


def _shed(inheritance: Inheritance) -> None:
    """Become a process of our own."""
    # The random generator needs nothing: Python reseeds it in forked children.
    # Descriptors first: as long as this process holds the parent's end of the connection, too, it would not
    # notice that the parent has died.
    retire(inheritance.descriptors, inheritance.keep, inheritance.placeholder)
    # What exists now is never collected: the collector would touch, and so copy, every inherited page.
    gc.freeze()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.reconfigure(write_through=True)  # type: ignore[union-attr]  # the reason for the except
        except (AttributeError, ValueError, OSError):
            pass  # a stream that is no TextIOWrapper
    events = sys.modules.get("asyncio.events")
    if events is not None:
        # A loop of the parent's would wait on an epoll that is not ours.
        events._set_running_loop(None)
        events.set_event_loop(None)
