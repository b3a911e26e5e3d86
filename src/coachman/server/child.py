"""The child's side of a fork: what this process sheds before it is a server, and how it leaves."""

from __future__ import annotations

import gc
import os
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from coachman.server.last_words import LastWords
from coachman.unix.descriptors import close_all_but, standard_streams
from coachman.unix.signals import unblock_all


def live_as_server(serve: Callable[[socket.socket], None], sock: socket.socket, words: LastWords) -> NoReturn:
    """Run `serve(sock)` in the freshly forked process and leave that, whatever happens, without returning.

    Nothing of the parent's is run on the way out: no exit handlers, no `finally` of its frames, no flushing
    of what it had buffered.
    """
    status = 1
    try:
        try:
            _shed(sock)
            serve(sock)
            status = 0
        except BaseException as error:
            status = report(error, words)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(
                Exception
            ):  # closed, broken or replaced by the server: nothing can be told to anybody
                stream.flush()
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


def _shed(sock: socket.socket) -> None:
    """Become a process of our own: this runs first in the child."""
    # What exists now is never collected: the collector would touch every inherited page, and finalizers of
    # the parent's garbage would close numbers that mean something else here.
    gc.freeze()
    close_all_but(standard_streams() | {sock.fileno()})
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):  # a stream that is no TextIOWrapper
            stream.reconfigure(write_through=True)  # type: ignore[union-attr]  # the reason for the suppress
    _forget_event_loop()
    unblock_all()
    # random needs nothing: the interpreter reseeds it in every forked child.


def _forget_event_loop() -> None:
    """Make asyncio start from nothing: a loop of the parent's would wait on an epoll that is closed here."""
    events = sys.modules.get("asyncio.events")
    if events is not None:
        events._set_running_loop(None)
        events.set_event_loop_policy(None)
