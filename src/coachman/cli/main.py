"""The command `coachman`."""

from __future__ import annotations

import gc
import os
import sys

from coachman.errors import CoachmanError
from coachman.unix.standard_descriptors import keep_standard_descriptors


def main() -> None:
    """Run the command line. Exit status 0: done; 1: it failed, and stderr says why; 2: wrong usage.

    `docs/commands.md` has those of the commands that control a supervisor.
    """
    keep_standard_descriptors()  # started without them, a socket would get the number, and then the log
    try:
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
        from coachman.cli.group import coachman

        coachman()
    except CoachmanError as error:
        sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper here
        print(f"coachman: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)
