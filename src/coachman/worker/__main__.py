"""An application process: `python -m coachman.worker`, started by the supervisor with three pipes."""

from __future__ import annotations

import atexit
import gc
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from coachman import hooks
from coachman.config.model import WorkerConfig
from coachman.errors import RemoteProtocolError
from coachman.protocol import control
from coachman.protocol.journey import Step
from coachman.protocol.stdio import AdvertisedSocket
from coachman.unix.channel import MessageChannel
from coachman.unix.signals import Disposition, changed_since, dispositions
from coachman.unix.standard_descriptors import keep_standard_descriptors
from coachman.worker.account import check_account, check_folder, set_limits
from coachman.worker.application import load_application, load_hooks
from coachman.worker.collecting import seldom_collecting
from coachman.worker.complaints import complain
from coachman.worker.engines import EngineMaker, engine_maker
from coachman.worker.inspector import Inspector
from coachman.worker.interface import ASGI, AUTO, find_interface
from coachman.worker.leftovers import Origins, find_leftovers
from coachman.worker.orphan_guard import OrphanGuard
from coachman.worker.preloader import Preloader
from coachman.worker.reporter import Reporter
from coachman.worker.services import make_services
from coachman.worker.stacks import SIGNAL, StackWriter
from coachman.worker.start import StartReported, explained
from coachman.worker.streams import flush_streams
from coachman.worker.worker import Worker
from coachman.worker.wrapper import SupervisorGone, Wrapper

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The application, in whatever process: a preloader or a worker."""

    make_engine: EngineMaker
    interface: str
    origins: Origins
    """What it was seen to make."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a process has before any application code runs: its start is negotiated, its streams are moved."""

    wrapper: Wrapper
    request: dict[str, str]
    control: socket.socket
    reporter: Reporter
    stacks: StackWriter
    guard: OrphanGuard

    def explained(self, call: Callable[[], T]) -> T:
        """Return what `call`, the application's own code, returns; raise `StartReported` where it fails."""
        return explained(call, wrapper=self.wrapper, reporter=self.reporter, root=self.request["app_root"])


def main() -> int:
    """Negotiate, load the application, then be a preloader or a worker; return the exit status."""
    gc.freeze()  # our own code is here to stay: no look for garbage has to go through it
    signals = dispositions()
    guard = OrphanGuard()
    atexit.register(guard.end_group)  # before the application's own, and so called after them
    try:
        stage = enter(Wrapper.take_over(), guard, control_fd=None)
    except SupervisorGone:
        return 1
    try:
        stage.reporter.step(Step.LOAD)
        loaded = stage.explained(lambda: load(stage.request, stage.reporter))
    except StartReported:
        return 1
    keep_standard_descriptors()
    if stage.request["role"] == "worker":
        return work(stage, loaded, signals)

    stage.stacks.close()
    leftovers = find_leftovers(loaded.origins, own_fds={stage.control.fileno()})
    preloader = Preloader(leftovers, lambda: stage.wrapper.ready([]))
    try:
        preloader.start_synchronously(stage.control)
    except RemoteProtocolError as error:  # no descriptor left for those of the next worker, say
        complain(f"the preloader ends: {error}")
        return 1
    place = preloader.place
    if place is None:
        return 0
    # From here on this is a worker, forked with the application loaded: it goes through the same start.
    wrapper = Wrapper.in_fork(stage.wrapper, place.stdin, place.stdout, place.stderr)
    try:
        return work(enter(wrapper, guard, place.control), loaded, signals)
    except SupervisorGone:
        return 1


def enter(wrapper: Wrapper, guard: OrphanGuard, control_fd: int | None) -> Stage:
    """Go through the start up to where the application comes in.

    `control_fd` is the control channel; None: the request names it. Raises `SupervisorGone`.
    """
    request = wrapper.negotiate()
    if control_fd is None:
        control_fd = int(request["control_fd"])
        os.set_inheritable(control_fd, False)
    control_socket = socket.socket(fileno=control_fd)
    read_end = wrapper.redirect_stdout()
    hand_over(read_end, control_socket, control.STDOUT)
    os.close(read_end)
    stacks = StackWriter()
    hand_over(stacks.fd, control_socket, control.STACKS, str(SIGNAL))
    upper_end = guard.watch()
    try:
        hand_over(upper_end, control_socket, control.TETHER)
    finally:
        os.close(upper_end)  # whatever this process starts must not keep it
    return Stage(wrapper, request, control_socket, Reporter(control_fd), stacks, guard)


def load(request: Mapping[str, str], reporter: Reporter) -> Loaded:
    """Load the application, once this process is what it has to be."""
    check_account(request)
    set_limits(request)
    check_folder(request["app_root"])
    with Origins() as origins, seldom_collecting():
        application = load_application(
            root=request["app_root"],
            file=request.get("startup_file"),
            module=request.get("startup_module"),
            attribute=request["startup_attribute"],
        )
        for hook in load_hooks(request.get("before_fork", "")):
            hooks.before_fork(hook)
        for hook in load_hooks(request.get("after_fork_in_worker", "")):
            hooks.after_fork_in_worker(hook)
        found = find_interface(application, request.get("app_type", AUTO))
        reporter.tell(control.INTERFACE, found.interface, found.reason)
        return Loaded(engine_maker(application, found.interface), found.interface, origins)


def hand_over(fd: int, control_socket: socket.socket, *message: str) -> None:
    """Send the supervisor a message with a descriptor, which stays open here."""
    channel = MessageChannel(control_socket.dup())
    channel.write(*message)
    channel.send_io(fd, negotiate=False)
    channel.close()


def work(stage: Stage, loaded: Loaded, signals: Mapping[int, Disposition]) -> int:
    """Serve requests until the supervisor has this worker drained, or is gone; return the exit status.

    `signals` are the dispositions before there was any code of the application.
    """
    try:
        stage.explained(hooks.run_after_fork_in_worker)
        keep_standard_descriptors()
        config = msgspec.json.decode(stage.request["worker"], type=WorkerConfig)
        engine = loaded.make_engine(config)
        if loaded.interface == ASGI:
            stage.reporter.step(Step.STARTUP)
        stage.explained(engine.prepare)
    except StartReported:
        return 1
    keep_standard_descriptors()
    stage.reporter.step(Step.LISTEN)
    concurrency = 0 if loaded.interface == ASGI else config.threads  # 0: as many as there are connections

    def on_listening(address: str) -> None:
        stage.wrapper.ready([AdvertisedSocket("main", address, "http", concurrency)])

    # Not before: during the application's start, the signal for stacks also ends the process.
    inspector = Inspector(stage.stacks, config.request_timeout)
    services = make_services(
        config, inspector.watchdog, lambda fd: hand_over(fd, stage.control, control.ACCESS)
    )
    if services is not None:
        engine.use_services(services)
    inspector.loop = engine.loop
    worker = Worker(
        engine,
        on_listening,
        inspector=inspector,
        guard=stage.guard,
        output=stage.wrapper.read_ends(),
        drain_timeout=config.drain_timeout,
        applications_signals=changed_since(signals),
    )
    worker.start_synchronously(stage.control)
    if services is not None:
        services.close()
    if worker.stuck:
        flush_streams()
        stage.guard.end_group()
        os._exit(0)  # the interpreter would wait for the threads
    return 0


if __name__ == "__main__":
    sys.exit(main())
