"""One start for trial: the process is forked from this one, and nothing is served.

The negotiation, the wrapper and the record are those of every start. What differs is what an interpreter of
its own and an event loop would cost, for a command that runs for a moment: there is one poll and one fork.

What both processes need is imported before the fork, and nothing else. Then each imports its own part, at the
same time where there are two processors.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from coachman.protocol import control, import_times, messages, stdio  # noqa: F401  # for both: see above
from coachman.protocol.journey import Journey, Step
from coachman.protocol.trial import Ends
from coachman.protocol.value import Value
from coachman.unix.processes import ChildProcess, end_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from coachman.supervisor.failures.failure import StartFailure
    from coachman.supervisor.failures.printed import PrintedLine

Become = Callable[[Ends, str, dict[str, str]], "NoReturn"]
"""What the forked process runs: its descriptors, its folder, its environment."""


class Trial(Value):
    """What came of it."""

    application: str
    pid: int
    journey: Journey
    interface: tuple[str, str] | None
    """What the application is called by, and how that is known; None where it did not come that far."""
    imports: tuple[import_times.PackageImport, ...]
    printed: tuple[PrintedLine, ...]
    failure: StartFailure | None


def try_start(
    request: Mapping[str, str],
    *,
    application: str,
    folder: str,
    environment: dict[str, str],
    timeout: float,
    become: Become,
) -> Trial:
    """Start an application once and end it; nothing of its group is left when this returns or raises."""
    with ExitStack() as on_end:
        journey = Journey.begin(time.monotonic())
        stacks = os.memfd_create("coachman-stacks")
        on_end.callback(os.close, stacks)
        ours: list[int] = []
        childs: list[int] = []
        with ExitStack() as childs_ends:
            for child_writes in (False, True, True, True, True, False):
                ends = os.pipe()
                our_end, childs_end = ends if child_writes else ends[::-1]
                on_end.callback(os.close, our_end)
                childs_ends.callback(os.close, childs_end)
                ours.append(our_end)
                childs.append(childs_end)
            journey = journey.enter(Step.FORK, time.monotonic())
            pid = os.fork()
            if pid == 0:
                for fd in ours:
                    os.close(fd)
                stdin, channel, stderr, stdout, control_fd, tether = childs
                kept = Ends(stdin, channel, stderr, stdout, control_fd, tether, stacks)
                become(kept, folder, environment)
        child = ChildProcess(pid)
        on_end.callback(child.close)
        on_end.callback(end_group, child)
        # Here, while the process imports what it needs.
        from coachman.supervisor.failures.start_record import StartRecord
        from coachman.supervisor.trial.driver import Driver

        record = StartRecord(journey, application)
        failure = Driver(record, request, child, ours[:-1], stacks).run(timeout)
        return Trial(
            application, pid, record.journey, record.interface, record.imports, record.printed(), failure
        )
