"""The command `coachman`."""

from __future__ import annotations

import errno
import gc
import os
import sys
from contextlib import suppress

from coachman.errors import CoachmanError
from coachman.unix.standard_descriptors import keep_standard_descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, TextIO

UNWRITABLE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a write to standard output fails with."""


def main() -> None:
    """Run the command line. Exit status 0: done; 1: it failed, and stderr says why; 2: wrong usage.

    `docs/commands.md` has those of the commands that control a supervisor.
    """
    keep_standard_descriptors()  # started without them, a socket would get the number, and then the log
    _complete_streams()
    try:
        try:
            _run()
        finally:
            # Here, where it can be told: the interpreter would do it at its exit, and complain to nobody.
            sys.stdout.flush()
    except CoachmanError as error:
        _fail(str(error), error.exit_status)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _discard(sys.stdout)
        if error.errno == errno.EPIPE:  # whoever reads has had enough
            sys.exit(1)
        _fail(f"cannot write to standard output: {error.strerror}", 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _run() -> None:
    if sys.argv[1:2] == ["check"]:
        from coachman.cli.check_arguments import parse_plainly

        arguments = parse_plainly(sys.argv[2:])
        if arguments is not None:
            # Nothing of what this short life allocates is worth looking for; the application's process
            # has the collector on again.
            gc.disable()
            from coachman.cli.checking import run_check

            status = run_check(arguments)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(status)  # the tidying up of an interpreter would take longer than the report
    else:
        # A name that is no UTF-8 is no reason to fail. Not for check: its process becomes the application's.
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper here
    from coachman.cli.group import coachman

    coachman()


def _complete_streams() -> None:
    """Have a stream where there is none, because the command was started with the descriptor closed."""
    for name, fd in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace", closefd=False))


def _fail(message: str, status: int) -> NoReturn:
    """End with what went wrong on standard error."""
    try:
        sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper here
        print(f"coachman: {message}", file=sys.stderr)
    except OSError:  # then the status is all that can be told
        _discard(sys.stderr)
    sys.exit(status)


def _discard(stream: TextIO) -> None:
    """Let go what a stream could not write: the interpreter would try again, and end with another status."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
    with suppress(OSError):
        stream.flush()
