import errno
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from coachman import (
    AbstractServer,
    MessageChannel,
    ServerAlreadyStarted,
    ServerError,
    ServerNotStarted,
    message_handler,
    signal_handler,
)
from coachman.unix.descriptors import standard_streams


class Plain(AbstractServer):
    """A server for tests; what it is asked to do, it does in the child."""

    def initialize_server(self) -> None:
        self.signals: list[str] = []

    @message_handler("echo")
    def handle_echo(self, *args: str) -> None:
        self.send_to_client("echo", *args)

    @message_handler("pid")
    def handle_pid(self) -> None:
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

    @message_handler("open")
    def handle_open(self, path: str) -> None:
        with open(path) as file:
            self.client.send_io(file)

    @message_handler("descriptors")
    def handle_descriptors(self) -> None:
        self.send_to_client("those that work", *(n for n in range(1000) if works(n)))

    @signal_handler(signal.SIGUSR1)
    def on_usr1(self) -> None:
        self.send_to_client("got SIGUSR1")

    @signal_handler("usr2")
    def on_usr2(self) -> None:
        self.quit_main()


def test_hello() -> None:
    with Plain() as server:
        assert server.call("echo", "a", 1, None) == ["echo", "a", "1", ""]
        assert server.call("pid") == [str(server.server_pid), str(os.getpid())]


def test_it_starts_and_stops_and_starts_again() -> None:
    server = Plain()
    with pytest.raises(ServerNotStarted):
        server.stop()
    with pytest.raises(ServerNotStarted):
        _ = server.server
    for _ in range(2):
        server.start()
        assert server.started
        with pytest.raises(ServerAlreadyStarted):
            server.start()
        assert server.stop().clean
        assert server.server_pid is None


def test_a_failing_handler_ends_the_server_and_the_client_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    server = Plain()
    server.start()
    with pytest.raises(ServerError, match="exit status 1") as caught:
        server.call("fail")
    assert caught.value.last_words == "LookupError: nothing here"
    assert "Traceback" in capfd.readouterr().err
    assert not server.started
    server.start()
    server.stop()


def test_an_unknown_message_ends_the_server(capfd: pytest.CaptureFixture[str]) -> None:
    server = Plain()
    server.start()
    with pytest.raises(ServerError, match="no handler for the message 'nonsense'"):
        server.call("nonsense")
    assert "UnknownMessage" in capfd.readouterr().err


def test_exit_in_a_handler_is_the_exit_status() -> None:
    server = Plain()
    server.start()
    with pytest.raises(ServerError, match="exit status 7"):
        server.call("exit", 7)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_and_sigint_end_the_loop_quietly(number: signal.Signals) -> None:
    server = Plain()
    server.start()
    server.call("echo")
    assert server.server_pid is not None
    os.kill(server.server_pid, number)
    assert server.server.read() is None
    assert server.stop().clean


def test_defined_signal_handlers_are_called() -> None:
    with Plain() as server:
        server.call("echo")
        assert server.server_pid is not None
        os.kill(server.server_pid, signal.SIGUSR1)
        assert server.recv_from_server() == ["got SIGUSR1"]


def test_quit_main_in_a_signal_handler_ends_a_loop_that_waits() -> None:
    server = Plain()
    server.start()
    server.call("echo")
    assert server.server_pid is not None
    os.kill(server.server_pid, signal.SIGUSR2)
    assert server.server.read() is None
    assert server.stop().clean


def test_a_descriptor_is_passed_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("content")
    with Plain() as server:
        server.send_to_server("open", path)
        fd = server.server.recv_io()
        assert fd is not None
        with open(fd) as file:
            assert file.read() == "content"


def test_the_child_has_no_descriptor_but_the_standard_ones_and_its_socket() -> None:
    read_end, write_end = os.pipe()
    with Plain() as server:
        os.close(write_end)
        assert os.read(read_end, 1) == b"", "the server holds the parent's pipe"
        kept = {str(number) for number in standard_streams()}
        assert len(set(server.call("descriptors")[1:]) - kept) == 1
    os.close(read_end)


def works(number: int) -> bool:
    """Whether anything can be done with a descriptor: not with a closed one, nor with a retired one."""
    try:
        os.lseek(number, 0, os.SEEK_CUR)
    except OSError as error:
        return error.errno != errno.EBADF
    return True


def test_stop_kills_a_deaf_child() -> None:
    class Deaf(Plain):
        @message_handler("stop yourself")
        def handle_stop(self) -> None:
            os.kill(os.getpid(), signal.SIGSTOP)

        def finalize_server(self) -> None:
            while True:
                signal.pause()

    server = Deaf()
    server.start()
    server.call("echo")
    ending = server.stop(close_wait=0.01, term_wait=0.01)
    assert str(ending) == "SIGKILL"


def test_a_main_loop_of_ones_own_dispatches_what_is_pending() -> None:
    class OwnLoop(Plain):
        def main_loop(self) -> None:
            poll = __import__("select").epoll()
            poll.register(self.client.fileno())
            while not self.done:
                poll.poll()
                self.dispatch_pending()
            poll.close()

    ours, theirs = socket.socketpair()
    with MessageChannel(ours) as client:
        client.write("echo", "1")
        client.write("echo", "2")
        client.write("quit")
        OwnLoop().start_synchronously(theirs)
        assert list(client) == [["echo", "1"], ["echo", "2"]]
