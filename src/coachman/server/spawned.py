"""Starting a server in a fresh interpreter: what happens in that. The other half is `spawning`."""

from __future__ import annotations

import os
import pickle
import runpy
import socket
import sys
import types
from typing import Final, NamedTuple

from coachman.protocol.messages import SCALAR_HEADER
from coachman.server.child import report
from coachman.server.last_words import LastWords
from coachman.unix.descriptors import END_OF_DESCRIPTORS
from coachman.unix.signals import changed_signals

# Where the interpreter finds its connection and the memory for its last words.
SOCKET: Final = 3
WORDS: Final = 4


class Luggage(NamedTuple):
    """What travels to the new interpreter, pickled, as the first scalar message."""

    path: list[str]
    argv: list[str]
    main: str | None
    server: bytes


def main() -> int:
    """Be the server that comes over the connection; return the exit status."""
    os.closerange(WORDS + 1, END_OF_DESCRIPTORS)  # what C code of the parent has left inheritable
    words = LastWords(WORDS)
    os.close(WORDS)
    sock = None
    try:
        sock = socket.socket(fileno=SOCKET)
        os.set_inheritable(SOCKET, False)
        luggage = Luggage(*pickle.loads(_read_scalar(sock)))
        sys.path[:] = luggage.path
        sys.argv[:] = luggage.argv
        if luggage.main is not None:
            _restore_main(luggage.main)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(write_through=True)  # type: ignore[union-attr]  # they are not replaced yet
        server = pickle.loads(luggage.server)
        server._changed_signals = changed_signals()
        server.start_synchronously(sock)
    except BaseException as error:
        return report(error, words)
    finally:
        if sock is not None:
            sock.detach()  # closed by the kernel, when this process has ended
    return 0


def _read_scalar(sock: socket.socket) -> bytes:
    """Read one scalar message and not a byte more: what follows is for the server's own channel."""
    size = int.from_bytes(_read_exactly(sock, SCALAR_HEADER), "big")
    return _read_exactly(sock, size)


def _read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        # In spite of MSG_WAITALL: a process that is stopped meanwhile gets what has come (recv(2)).
        more = sock.recv(size - len(data), socket.MSG_WAITALL)
        if not more:
            raise SystemExit(0)  # the parent is gone, before there was a server
        data += more
    return data


def _restore_main(main: str) -> None:
    """Load the parent's main module, where the server's class is, under a name with which it does not run."""
    name = "__coachman_main__"
    module = types.ModuleType(name)
    # Known under both names before it runs: its classes are pickled as members of __main__.
    sys.modules["__main__"] = sys.modules[name] = module
    if main.startswith("-m "):
        content = runpy.run_module(main.removeprefix("-m "), run_name=name, alter_sys=True)
    else:
        content = runpy.run_path(main, run_name=name)
    module.__dict__.update(content)
    sys.modules["__main__"] = sys.modules[name] = module
