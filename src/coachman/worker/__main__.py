"""An application process: `python -m coachman.worker`, started by the supervisor with three pipes."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass

from coachman import hooks
from coachman.protocol import control
from coachman.protocol.stdio import AdvertisedSocket
from coachman.unix.channel import MessageChannel
from coachman.unix.standard_descriptors import keep_standard_descriptors
from coachman.worker.account import check_account, set_limits
from coachman.worker.application import Application, describe_load_failure, load_application
from coachman.worker.leftovers import Origins, find_leftovers
from coachman.worker.orphan_guard import end_with_writer_of
from coachman.worker.preloader import Preloader
from coachman.worker.worker import Worker
from coachman.worker.wrapper import SupervisorGone, Wrapper
from coachman.worker.wsgi.engine import Engine


@dataclass(frozen=True, slots=True)
class Stage:
    """What a process has before any application code runs: its start is negotiated, its streams are moved."""

    wrapper: Wrapper
    request: dict[str, str]
    control: socket.socket


def main() -> int:
    """Negotiate, load the application, then be a preloader or a worker; return the exit status."""
    try:
        stage = enter(Wrapper.take_over(), control_fd=None)
    except SupervisorGone:
        return 1
    request = stage.request
    try:
        check_account(request)
        set_limits(request)
        with Origins() as origins:
            application = load_application(
                root=request["app_root"],
                file=request.get("startup_file"),
                module=request.get("startup_module"),
                attribute=request["startup_attribute"],
            )
    except BaseException as error:  # the application's own code, which may also raise SystemExit
        stage.wrapper.error(describe_load_failure(error))
        return 1
    keep_standard_descriptors()
    if request["role"] == "worker":
        return work(stage, application)

    leftovers = find_leftovers(origins, own_fds={stage.control.fileno()})
    preloader = Preloader(leftovers, lambda: stage.wrapper.ready([]))
    preloader.start_synchronously(stage.control)
    place = preloader.place
    if place is None:
        return 0
    # From here on this is a worker, forked with the application loaded: it goes through the same start.
    wrapper = Wrapper.in_fork(stage.wrapper, place.stdin, place.stdout, place.stderr)
    try:
        return work(enter(wrapper, place.control), application)
    except SupervisorGone:
        return 1


def enter(wrapper: Wrapper, control_fd: int | None) -> Stage:
    """Go through the start up to where the application comes in.

    `control_fd` is the control channel; None: the request names it. Raises `SupervisorGone`.
    """
    request = wrapper.negotiate()
    if control_fd is None:
        control_fd = int(request["control_fd"])
        os.set_inheritable(control_fd, False)
    control_socket = socket.socket(fileno=control_fd)
    hand_over_stdout(wrapper, control_socket)
    end_with_writer_of(wrapper.stdin)
    return Stage(wrapper, request, control_socket)


def hand_over_stdout(wrapper: Wrapper, control_socket: socket.socket) -> None:
    """Let the application print to a pipe of its own, whose read end the supervisor gets."""
    read_end = wrapper.redirect_stdout()
    channel = MessageChannel(control_socket.dup())
    channel.write(control.STDOUT)
    channel.send_io(read_end, negotiate=False)
    channel.close()
    os.close(read_end)


def work(stage: Stage, application: Application) -> int:
    """Serve requests until the supervisor has this worker drained, or is gone; return the exit status."""
    try:
        hooks.run_after_fork_in_worker()
    except BaseException as error:  # the application's own code, as in main
        stage.wrapper.error(describe_load_failure(error))
        return 1
    keep_standard_descriptors()
    threads = int(stage.request["threads"])

    def on_listening(address: str) -> None:
        stage.wrapper.ready([AdvertisedSocket("main", address, "http", threads)])

    worker = Worker(Engine(application, threads=threads), on_listening)
    worker.start_synchronously(stage.control)
    if worker.stuck:
        for stream in (sys.stdout, sys.stderr):
            with suppress(
                AttributeError, OSError, ValueError
            ):  # the application may have closed or replaced it
                stream.flush()
        os._exit(0)  # the interpreter would wait for the threads
    return 0


if __name__ == "__main__":
    sys.exit(main())
