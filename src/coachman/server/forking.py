"""Starting a server by fork(2): what the parent does around it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import warnings
from typing import TYPE_CHECKING

from coachman.server.child import Inheritance, live_as_server
from coachman.server.last_words import LastWords
from coachman.server.stopping import CLOSE_WAIT, TERM_WAIT, end_process
from coachman.unix.descriptors import open_numbers, open_placeholder, standard_streams
from coachman.unix.processes import ChildProcess
from coachman.unix.signals import changed_signals

if TYPE_CHECKING:
    from coachman.server.server_side import ServerSide

# What a server does not die of, from its first instruction on.
QUIETLY_ENDING = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM})


def fork_server(
    server: ServerSide, ours: socket.socket, theirs: socket.socket
) -> tuple[ChildProcess, LastWords]:
    """Fork a process that is `server` over `theirs`; return it. In that process, this never returns."""
    _warn_about_threads(server)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()  # what is buffered here would be written by both processes
        except (AttributeError, OSError, ValueError):
            pass
    keep = standard_streams()
    keep.add(theirs.fileno())
    words = LastWords()
    placeholder = open_placeholder()
    process = None
    try:
        inheritance = Inheritance(open_numbers(), keep, placeholder, changed_signals())
        # Blocked until the child has its own handlers: those it inherits are the parent's, and so is what
        # they wake. And here, so that no handler raises between the fork and the child's having an owner.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*inheritance.signals, *QUIETLY_ENDING})
        try:
            pid = os.fork()
            if pid == 0:
                live_as_server(server, theirs, words, inheritance)
            process = ChildProcess(pid)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    except BaseException:
        if process is not None:
            ours.close()
            end_process(process, CLOSE_WAIT, TERM_WAIT)
            process.close()
        words.close()
        raise
    finally:
        os.close(placeholder)
    return process, words


def _warn_about_threads(server: ServerSide) -> None:
    if threading.active_count() == 1:
        return
    names = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
    warnings.warn(
        f"{type(server).__name__} is forked while other threads run ({', '.join(names)}): locks that they "
        "hold stay locked in the server for ever. Start it before them, or with the method 'spawn'",
        RuntimeWarning,
        stacklevel=4,
    )
