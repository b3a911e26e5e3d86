"""The rows of docs/protocols.md, section 2, in their order; each test is named after its row."""

from __future__ import annotations

import atexit
import os
import random
import signal
import socket
import threading
from contextlib import suppress

import pytest

from coachman import (
    AbstractServer,
    MessageChannel,
    ServerAlreadyStarted,
    ServerError,
    ServerNotStarted,
    UnknownMessage,
    message_handler,
)
from tests.process.servers import Plain, is_started, pid_of


def test_life(capfd: pytest.CaptureFixture[str]) -> None:
    class Life(Plain):
        def before_fork(self) -> None:
            self.before_fork_in = os.getpid()

        def initialize_server(self) -> None:
            print("initialized")

        def finalize_server(self) -> None:
            print("finalized", end="")

        @message_handler("tell")
        def handle_tell(self) -> None:
            self.send_to_client(self.before_fork_in, random.random(), random.random())

    atexit.register(print, "the parent's exit handler ran")
    try:
        with Life() as server:
            before_fork_in, *numbers = server.call("tell")
    finally:
        atexit.unregister(print)
    assert before_fork_in == str(os.getpid())
    assert numbers != [str(random.random()) for _ in range(2)], "the generator was not reseeded"
    assert capfd.readouterr().out == "initialized\nfinalized"


def test_standard_output_is_unbuffered(capfd: pytest.CaptureFixture[str]) -> None:
    class Printing(Plain):
        @message_handler("print")
        def handle_print(self) -> None:
            print("no newline", end="")
            os.kill(os.getpid(), signal.SIGKILL)

    server = Printing()
    server.start()
    with pytest.raises(ServerError, match="SIGKILL"):
        server.call("print")
    assert capfd.readouterr().out == "no newline"


def test_what_the_parent_had_buffered_is_written_once(capfd: pytest.CaptureFixture[str]) -> None:
    print("from the parent", end="")
    with Plain() as server:
        server.call("echo")
    assert capfd.readouterr().out == "from the parent"


def test_finalize_server_runs_always_once_initialize_server_has_returned() -> None:
    class Failing(Plain):
        def __init__(self, *, at: str) -> None:
            self.at = at
            self.finalized = False

        def initialize_server(self) -> None:
            if self.at == "initialize":
                raise SystemExit(3)

        def main_loop(self) -> None:
            raise SystemExit(4)

        def finalize_server(self) -> None:
            self.finalized = True

    for at, status, finalized in (("initialize", 3, False), ("main loop", 4, True)):
        ours, theirs = socket.socketpair()
        server = Failing(at=at)
        with ours, pytest.raises(SystemExit) as exited:
            server.start_synchronously(theirs)
        assert exited.value.code == status
        assert server.finalized is finalized


def test_signals() -> None:
    class Telling(Plain):
        def __init__(self) -> None:
            self.define_signal_handler("HUP", "on_hup")

        def on_hup(self) -> None:
            self.send_to_client("got SIGHUP")

        @message_handler("tell")
        def handle_tell(self) -> None:
            changed = [n for n in signal.valid_signals() if signal.getsignal(n) is not signal.SIG_DFL]
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
            self.send_to_client(*map(int, changed), "blocked", *map(int, blocked))

    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    wakeup = signal.set_wakeup_fd(ours.fileno())
    try:
        with Telling() as server:
            changed = server.call("tell")
            os.kill(pid_of(server), signal.SIGHUP)
            assert server.recv_from_server() == ["got SIGHUP"]
        with ours, theirs:
            theirs.setblocking(False)
            with pytest.raises(BlockingIOError):
                theirs.recv(1)  # the server's SIGHUP has not woken the parent
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGALRM, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGWINCH])
    expected = ["HUP", "INT", "USR1", "USR2", "PIPE", "TERM", "XFSZ"]
    numbers = sorted(int(getattr(signal, f"SIG{name}")) for name in expected)
    assert changed == [*map(str, numbers), "blocked"]


def test_sighup_is_ignored() -> None:
    with Plain() as server:
        server.call("echo")
        os.kill(pid_of(server), signal.SIGHUP)
        assert server.call("echo") == ["echo"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("when", ["waiting", "mid-handler"])
def test_sigterm_sigint(number: signal.Signals, when: str) -> None:
    class Finalizing(Plain):
        def finalize_server(self) -> None:
            self.send_to_client("goodbye")

    server = Finalizing()
    server.start()
    server.call("echo" if when == "waiting" else "hang")
    os.kill(pid_of(server), number)
    assert list(server.server) == [["goodbye"]]
    assert server.stop().status == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGALRM, signal.SIGQUIT, signal.SIGSEGV])
def test_other_fatal_signals(number: signal.Signals) -> None:
    server = Plain()
    server.start()
    with pytest.raises(ServerError, match=number.name) as caught:
        server.call("kill yourself", int(number))
    assert getattr(caught.value.ending, "signal") == number  # noqa: B009  # errors are below processes


def test_end_of_stream(capfd: pytest.CaptureFixture[str]) -> None:
    class Finalizing(Plain):
        def finalize_server(self) -> None:
            print("finalized")

    server = Finalizing()
    server.start()
    assert server.stop().clean
    assert capfd.readouterr().out == "finalized\n"


def test_unknown_message(capfd: pytest.CaptureFixture[str]) -> None:
    server = Plain()
    server.start()
    with pytest.raises(ServerError, match="exit status 1; UnknownMessage: Plain has no handler") as caught:
        server.call("nonsense")
    assert "'nonsense' with 0 arguments (defined: echo, exit" in str(caught.value)
    assert "Traceback" in capfd.readouterr().err


def test_failing_handler(capfd: pytest.CaptureFixture[str]) -> None:
    server = Plain()
    server.start()
    with pytest.raises(ServerError, match=r"Plain \(process \d+\) has ended: exit status 1") as caught:
        server.call("fail")
    assert caught.value.last_words == "LookupError: nothing here"
    assert "Traceback" in capfd.readouterr().err


def test_exit_7_in_a_handler() -> None:
    server = Plain()
    server.start()
    with pytest.raises(ServerError, match="exit status 7"):
        server.call("exit", 7)


def test_stop() -> None:
    class Deaf(Plain):
        def initialize_server(self) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

        def finalize_server(self) -> None:
            while True:
                signal.pause()

    server = Deaf()
    server.start()
    pid = pid_of(server)
    server.call("echo")
    assert str(server.stop(close_wait=0.01, term_wait=0.01)) == "SIGKILL"
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_stop_ends_a_stopped_child() -> None:
    server = Plain()
    server.start()
    server.call("echo")
    os.kill(pid_of(server), signal.SIGSTOP)
    assert server.stop(close_wait=0.01, term_wait=60).clean, "SIGTERM and SIGCONT let it end by itself"


def test_stop_ends_a_child_in_an_endless_loop() -> None:
    class Endless(Plain):
        @message_handler("loop")
        def handle_loop(self) -> None:
            told = False
            while True:
                with suppress(BaseException):  # before it tells: no signal is to find it outside
                    while True:
                        if not told:
                            told = True
                            self.send_to_client("looping")

    server = Endless()
    server.start()
    server.call("loop")
    assert str(server.stop(close_wait=0.01, term_wait=0.05)) == "SIGKILL"


def test_after_a_crash() -> None:
    server = Plain()
    server.start()
    with pytest.raises(ServerError):
        server.call("exit", 0)
    assert not is_started(server)
    with pytest.raises(ServerNotStarted):
        server.stop()
    server.start()
    assert server.call("echo", "again") == ["echo", "again"]
    server.stop()


def test_a_crash_that_nobody_has_noticed_does_not_keep_it_from_starting() -> None:
    server = Plain()
    server.start()
    pid = pid_of(server)
    server.send_to_server("kill yourself", int(signal.SIGKILL))
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not is_started(server)
    server.start()
    assert is_started(server)
    server.stop()


def test_server_pid() -> None:
    server = Plain()
    assert server.server_pid is None
    server.start()
    assert server.call("pids") == [str(server.server_pid), str(os.getpid())]
    server.stop()
    assert server.server_pid is None


def test_second_run_in_one_process() -> None:
    server = Plain()
    for _ in range(2):
        ours, theirs = socket.socketpair()
        with MessageChannel(ours) as client:
            client.write("echo", "x")
            client.write("quit")
            server.start_synchronously(theirs)
            assert server.done
            assert list(client) == [["echo", "x"]]


def test_handlers_defined_after_start() -> None:
    class Late(Plain):
        def initialize_server(self) -> None:
            self.define_message_handler("late", self.handle_late)

        def handle_late(self) -> None:
            self.define_message_handler("echo", lambda: self.send_to_client("another echo"))
            self.send_to_client("defined in the server")

    with Late() as server:
        with pytest.raises(RuntimeError, match="too late"):
            server.define_message_handler("later", lambda: None)
        with pytest.raises(RuntimeError, match="too late"):
            server.define_signal_handler(signal.SIGUSR1, lambda: None)
        server.call("echo")
        assert server.call("late") == ["defined in the server"]
        assert server.call("echo") == ["another echo"]
    server.define_message_handler("in time", lambda: server.send_to_client("yes"))
    with server:
        assert server.call("in time") == ["yes"]


def test_convenience_names() -> None:
    class MyServer(AbstractServer):
        def __init__(self) -> None:  # does not call ours
            self.define_message_handler("hello", "handle_hello")

        def hello(self, first_name: str, last_name: str) -> list[str]:
            self.send_to_server("hello", first_name, last_name)
            return self.recv_from_server()

        def handle_hello(self, first_name: str, last_name: str) -> None:
            self.send_to_client(f"Hello {first_name} {last_name}, how are you?", 1234)

    server = MyServer()
    server.start()
    with pytest.raises(ServerAlreadyStarted):
        server.start()
    assert server.hello("Joe", "Dalton") == ["Hello Joe Dalton, how are you?", "1234"]
    server.stop()


def test_unknown_message_in_a_synchronous_server_is_raised() -> None:
    ours, theirs = socket.socketpair()
    with MessageChannel(ours) as client:
        client.write("nonsense")
        with pytest.raises(UnknownMessage, match="nonsense"):
            Plain().start_synchronously(theirs)


def test_a_synchronous_server_in_a_thread_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=Plain().start_synchronously, args=(theirs,))
    thread.start()
    with MessageChannel(ours) as client:
        client.write("echo")
        assert client.read() == ["echo"]
        assert signal.getsignal(signal.SIGTERM) is before
    thread.join()


def test_a_synchronous_server_reverts_the_signals() -> None:
    before = [signal.getsignal(number) for number in signal.valid_signals()]
    ours, theirs = socket.socketpair()
    ours.close()
    Plain().start_synchronously(theirs)
    assert [signal.getsignal(number) for number in signal.valid_signals()] == before
