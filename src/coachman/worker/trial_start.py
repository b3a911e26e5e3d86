"""A start for trial, in the process that was forked for it: everything of a start, and nothing is served."""

from __future__ import annotations

import atexit
import gc
import os
import sys

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


def try_to_start(ends: Ends) -> int:
    """Go through a start, and end what it began; return the exit status."""
    # The command goes without the collector. What is there by now it need not look at: that would take long,
    # and have every page copied that is still shared with the parent.
    gc.freeze()
    gc.enable()
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
        found = find_interface(application, request.get("app_type", AUTO))
        reporter.tell(control.INTERFACE, found.interface, found.reason)
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
