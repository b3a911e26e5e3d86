"""Starting a server in a fresh interpreter: what the parent does. The other half is `spawned`."""

from __future__ import annotations

import fcntl
import os
import pickle
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import coachman.errors
from coachman.protocol.messages import encode_scalar
from coachman.server.last_words import LastWords, words_file
from coachman.server.spawned import SOCKET, WORDS, Luggage
from coachman.server.stopping import end_process
from coachman.unix.processes import ChildProcess
from coachman.unix.signals import CATCHABLE

if TYPE_CHECKING:
    from coachman.server.server_side import ServerSide

# Where this package is imported from comes as an argument; the rest of sys.path with the luggage.
BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from coachman.server.spawned import main; sys.exit(main())"
)
IMPORT_ROOT: Final = str(Path(coachman.errors.__file__).parents[1])


def spawn_server(
    server: ServerSide, ours: socket.socket, theirs: socket.socket
) -> tuple[ChildProcess, LastWords]:
    """Execute an interpreter that is `server` over `theirs`; return its process. Raises what pickling raises.

    It has the environment and working directory of this process, default signal handlers, and no descriptor
    but the standard ones, the connection and the memory for its last words.
    """
    luggage = _pack(server)
    file = words_file()
    try:
        words = LastWords(file)
        try:
            process = _execute(theirs, file)
            theirs.close()  # or writing would not notice that the interpreter has failed to start
            _send(luggage, ours, process)
        except BaseException:
            words.close()
            raise
    finally:
        os.close(file)
    return process, words


def _execute(theirs: socket.socket, file: int) -> ChildProcess:
    with ExitStack() as copies:
        actions = []
        for number, target in ((theirs.fileno(), SOCKET), (file, WORDS)):
            # Of copies beyond both targets: installing the first must not overwrite the second.
            copy = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, WORDS + 1)
            copies.callback(os.close, copy)
            actions.append((os.POSIX_SPAWN_DUP2, copy, target))
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", BOOT, IMPORT_ROOT],
            os.environ,
            file_actions=actions,
            setsigmask=(),
            setsigdef=CATCHABLE,
        )
    return ChildProcess(pid)


def _send(luggage: bytes, ours: socket.socket, process: ChildProcess) -> None:
    try:
        ours.sendall(luggage)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has ended already: the first call will tell how
    except BaseException:
        ours.close()
        end_process(process, 0, 0)
        process.close()
        raise


def _pack(server: ServerSide) -> bytes:
    """Return `server` as the scalar message that the new interpreter reads first."""
    pickled = pickle.dumps(server)
    # Importing a script again has side effects if it has no `if __name__ == "__main__"`: only if it is
    # needed.
    main = _main_module() if b"__main__" in pickled else None
    return encode_scalar(pickle.dumps(Luggage(sys.path, sys.argv, main, pickled)))


def _main_module() -> str | None:
    """Return how this program's main module can be had again: its name behind "-m", its path, or None."""
    module = sys.modules["__main__"]
    file = getattr(module, "__file__", None)
    if module.__spec__ is not None:
        if module.__spec__.name != "__main__":
            return f"-m {module.__spec__.name}"
        if file is not None:  # it is in a folder, or a zip archive, that is run as a program
            file = os.path.dirname(file)
    return None if file is None else os.path.abspath(file)
