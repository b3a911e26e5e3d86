"""Servers for the tests: what they are asked to do, they do in the child."""

from __future__ import annotations

import errno
import os
import signal
import sys

from coachman import AbstractServer, message_handler, signal_handler


class Plain(AbstractServer):
    @message_handler("echo")
    def handle_echo(self, *args: str) -> None:
        self.send_to_client("echo", *args)

    @message_handler("pids")
    def handle_pids(self) -> None:
        self.send_to_client(os.getpid(), os.getppid())

    @message_handler("fail")
    def handle_fail(self) -> None:
        raise LookupError("nothing\nhere")

    @message_handler("exit")
    def handle_exit(self, status: str) -> None:
        sys.exit(int(status))

    @message_handler("quit")
    def handle_quit(self) -> None:
        self.quit_main()

    @message_handler("kill yourself")
    def handle_kill(self, number: str) -> None:
        os.kill(os.getpid(), int(number))

    @message_handler("hang")
    def handle_hang(self) -> None:
        self.send_to_client("hanging")
        while True:  # not in a system call: a signal just before one is handled when that returns
            pass

    @message_handler("working descriptors")
    def handle_working_descriptors(self) -> None:
        self.send_to_client(*(number for number in range(4096) if works(number)))

    @signal_handler(signal.SIGUSR1)
    def on_usr1(self) -> None:
        self.send_to_client("got SIGUSR1")

    @signal_handler("usr2")
    def on_usr2(self) -> None:
        self.quit_main()


def works(number: int) -> bool:
    """Whether anything can be done with a descriptor: not with a closed one, nor with a retired one."""
    try:
        os.lseek(number, 0, os.SEEK_CUR)
    except OSError as error:
        return error.errno != errno.EBADF
    return True


def pid_of(server: AbstractServer) -> int:
    pid = server.server_pid
    assert pid is not None
    return pid


def is_started(server: AbstractServer) -> bool:
    return server.started
