"""A start for trial, in a process that was forked for it: everything of a start, and nothing is served."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from contextlib import suppress
from typing import NoReturn

from coachman.protocol import control, import_times
from coachman.protocol.journey import Step
from coachman.protocol.trial import Ends
from coachman.unix.lifeline import kill_group_at_hangup
from coachman.worker.application import load_application
from coachman.worker.import_clock import ImportClock
from coachman.worker.interface import AUTO, find_interface
from coachman.worker.reporter import Reporter
from coachman.worker.stacks import SIGNAL, StackWriter
from coachman.worker.start import StartReported, explained
from coachman.worker.wrapper import SupervisorGone, Wrapper

PACKAGES = 30
"""How many packages are told of, those that took longest."""


def become_trial(ends: Ends, folder: str, environment: dict[str, str]) -> NoReturn:
    """Turn this forked process into an application process, start the application, and end.

    Nothing that its parent imported, opened or handles may be seen by the application or outlive it here.
    """
    status = 1
    try:
        gc.enable()
        os.setsid()
        for number, fd in enumerate((ends.stdin, ends.channel, ends.stderr)):
            os.dup2(fd, number)
            os.close(fd)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        if not sys.flags.safe_path:
            del sys.path[0]  # the folder of the command, or of its caller
        sys.argv[:] = [os.path.join(os.path.dirname(__file__), "__main__.py")]
        status = _try(ends)
    except BaseException as error:  # nothing may get out of here into the code of the parent
        os.write(2, f"coachman: {type(error).__name__}: {error}\n".encode(errors="backslashreplace"))
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):  # closed or replaced by the application
                stream.flush()
        os._exit(status)


def _try(ends: Ends) -> int:
    wrapper = Wrapper.take_over()
    try:
        request = wrapper.negotiate()
    except SupervisorGone:
        return 1
    kill_group_at_hangup(ends.tether)  # whoever asked for the trial is gone
    os.dup2(ends.stdout, 1)
    os.close(ends.stdout)
    reporter = Reporter(ends.control)
    stacks = StackWriter(ends.stacks)
    reporter.tell(control.STACKS, str(SIGNAL))

    clock = ImportClock()

    def load() -> None:
        reporter.step(Step.LOAD)
        with clock:
            application = load_application(
                root=request["app_root"],
                file=request.get("startup_file"),
                module=request.get("startup_module"),
                attribute=request["startup_attribute"],
            )
        reporter.tell(control.INTERFACE, *find_interface(application, request.get("app_type", AUTO)))
        hooks = sys.modules.get("coachman.hooks")
        if hooks is not None:
            hooks.run_after_fork_in_worker()

    try:
        explained(load, wrapper=wrapper, reporter=reporter, root=request["app_root"])
    except StartReported:
        return 1
    finally:
        packages = import_times.by_package(clock.imports)[:PACKAGES]
        reporter.tell(control.IMPORTS, *import_times.to_fields(packages))
    stacks.close()
    wrapper.ready([])
    atexit._run_exitfuncs()
    return 0
