"""A process that is forked for a trial becomes one that has never been anything else."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from coachman.protocol.trial import Ends

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def become_trial(ends: Ends, folder: str, environment: dict[str, str]) -> NoReturn:
    """Turn this forked process into an application process, start the application, and end.

    Nothing that its parent imported, opened or handles may be seen by the application or outlive it here.
    """
    status = 1
    try:
        os.setsid()
        for number, fd in enumerate((ends.stdin, ends.channel, ends.stderr)):
            os.dup2(fd, number)
            os.close(fd)
        # Here, while the parent imports what it needs; and what goes wrong with it is told as well.
        from coachman.worker.trial_start import try_to_start

        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        if not sys.flags.safe_path:
            del sys.path[0]  # the folder of the command, or of its caller
        sys.argv[:] = [os.path.join(os.path.dirname(__file__), "__main__.py")]
        status = try_to_start(ends)
    except BaseException as error:  # nothing may get out of here into the code of the parent
        os.write(2, f"coachman: {type(error).__name__}: {error}\n".encode(errors="backslashreplace"))
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):  # closed or replaced by the application
                stream.flush()
        os._exit(status)
