"""An application process: `python -m coachman.worker`, started by the supervisor with three pipes."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress

from coachman.protocol import control
from coachman.protocol.stdio import AdvertisedSocket
from coachman.unix.channel import MessageChannel
from coachman.worker.application import describe_load_failure, load_application
from coachman.worker.orphan_guard import end_with_writer_of
from coachman.worker.worker import Worker
from coachman.worker.wrapper import SupervisorGone, Wrapper
from coachman.worker.wsgi.engine import Engine


def main() -> int:
    """Negotiate, load the application, serve; return the exit status."""
    wrapper = Wrapper()
    try:
        request = wrapper.negotiate()
    except SupervisorGone:
        return 1
    control_fd, threads = int(request["control_fd"]), int(request["threads"])
    os.set_inheritable(control_fd, False)
    control_socket = socket.socket(fileno=control_fd)
    hand_over_stdout(wrapper, control_socket)
    end_with_writer_of(wrapper.stdin)
    try:
        application = load_application(
            root=request["app_root"],
            file=request.get("startup_file"),
            module=request.get("startup_module"),
            attribute=request["startup_attribute"],
        )
    except BaseException as error:  # the application's own code, which may also raise SystemExit
        wrapper.error(describe_load_failure(error))
        return 1

    def on_listening(address: str) -> None:
        wrapper.ready([AdvertisedSocket("main", address, "http", threads)])

    worker = Worker(Engine(application, threads=threads), on_listening)
    worker.start_synchronously(control_socket)
    if worker.stuck:
        for stream in (sys.stdout, sys.stderr):
            with suppress(
                AttributeError, OSError, ValueError
            ):  # the application may have closed or replaced it
                stream.flush()
        os._exit(0)  # the interpreter would wait for the threads
    return 0


def hand_over_stdout(wrapper: Wrapper, control_socket: socket.socket) -> None:
    """Let the application print to a pipe of its own, whose read end the supervisor gets."""
    read_end = wrapper.redirect_stdout()
    channel = MessageChannel(control_socket.dup())
    channel.write(control.STDOUT)
    channel.send_io(read_end, negotiate=False)
    channel.close()
    os.close(read_end)


if __name__ == "__main__":
    sys.exit(main())
