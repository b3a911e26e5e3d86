"""Calls, descriptors passed back, loops of one's own, threads, start methods."""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from coachman import (
    ChannelTimeout,
    LocalProtocolError,
    MessageChannel,
    ServerError,
    message_handler,
)
from coachman.protocol.messages import encode_scalar
from coachman.server import spawned
from tests.process.servers import Plain, pid_of


class Slow(Plain):
    """Answers when it is let: after a signal."""

    @message_handler("slow")
    def handle_slow(self, text: str) -> None:
        signal.sigwait([signal.SIGALRM])
        self.send_to_client("slow", text)

    def initialize_server(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])


def test_the_reply_to_a_call_that_ran_out_of_time_is_not_taken_for_another() -> None:
    with Slow() as server:
        server.call("echo")  # it is initialized, and will not die of the signal
        with pytest.raises(ChannelTimeout):
            server.call("slow", 1, timeout=0.01)
        with pytest.raises(LocalProtocolError, match="'slow' is still due"):
            server.call("echo")
        os.kill(pid_of(server), signal.SIGALRM)
        assert server.call("slow", 1, timeout=10) == ["slow", "1"]
        assert server.call("echo") == ["echo"]
        assert server.server.statistics().messages_written == 3


def test_defined_signal_handlers_are_called() -> None:
    with Plain() as server:
        server.call("echo")
        os.kill(pid_of(server), signal.SIGUSR1)
        assert server.recv_from_server() == ["got SIGUSR1"]


def test_quit_main_in_a_signal_handler_ends_a_loop_that_waits() -> None:
    server = Plain()
    server.start()
    server.call("echo")
    os.kill(pid_of(server), signal.SIGUSR2)
    assert server.server.read() is None
    assert server.stop().clean


class OwnLoop(Plain):
    """Waits by itself, as the page shows it."""

    def main_loop(self) -> None:
        with select.epoll() as epoll:
            epoll.register(self.client.fileno(), select.EPOLLIN)
            while not self.done:
                epoll.poll()
                self.dispatch_pending()


class QuitBehindTheLook(Plain):
    """Is told to quit between the loop's first look at `done` and its wait, as by a signal or a thread."""

    looked = False
    is_done = False

    def look(self) -> bool:
        was_done = self.is_done
        if not self.looked:
            self.looked = True
            self.quit_main()
        return was_done

    def note(self, done: bool) -> None:
        self.is_done = done

    _done = property(look, note)


class QuitBehindTheLookOfItsOwnLoop(QuitBehindTheLook, OwnLoop):
    """The same in the other loop."""


@pytest.mark.parametrize("kind", [QuitBehindTheLook, QuitBehindTheLookOfItsOwnLoop])
def test_who_quits_just_before_the_loop_waits_is_heard(kind: type[Plain]) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        thread = threading.Thread(target=kind().start_synchronously, args=[theirs])
        thread.start()
        thread.join(20)
        ended = not thread.is_alive()
    thread.join()
    assert ended


def test_handlers_of_signals_get_what_they_take() -> None:
    class Taking(Plain):
        def __init__(self) -> None:
            self.define_signal_handler(signal.SIGALRM, lambda number: self.send_to_client(number))
            self.define_signal_handler(signal.SIGWINCH, lambda *args: self.send_to_client(len(args)))
            self.define_signal_handler(signal.SIGQUIT, signal.SIG_IGN)

    with Taking() as server:
        server.call("echo")
        for number, answer in ((signal.SIGALRM, str(int(signal.SIGALRM))), (signal.SIGWINCH, "2")):
            os.kill(pid_of(server), number)
            assert server.recv_from_server() == [answer]
        os.kill(pid_of(server), signal.SIGQUIT)
        assert server.call("echo") == ["echo"]


def test_a_handler_that_does_not_exist_is_refused_when_it_is_defined() -> None:
    with pytest.raises(AttributeError, match="no_such_method"):
        Plain().define_message_handler("x", "no_such_method")
    with pytest.raises(ValueError, match="SIGNONE"):
        Plain().define_signal_handler("SIGNONE", lambda: None)


def test_an_overriding_method_is_the_handler_and_a_decorator_may_be_stacked() -> None:
    class Other(Plain):
        def handle_echo(self, *args: str) -> None:
            self.send_to_client("other")

        @message_handler("one")
        @message_handler("two")
        def handle_both(self) -> None:
            self.send_to_client("both")

    with Other() as server:
        assert [server.call(name) for name in ("echo", "one", "two")] == [["other"], ["both"], ["both"]]


def test_descriptors_are_passed_back(tmp_path: Path) -> None:
    class Opening(Plain):
        @message_handler("open")
        def handle_open(self, path: str) -> None:
            with open(path) as file:
                self.client.send_io(file)

        @message_handler("listen")
        def handle_listen(self) -> None:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                self.client.send_io(listener, negotiate=False)

    path = tmp_path / "a file"
    path.write_text("content")
    with Opening() as server:
        server.send_to_server("open", path)
        fd = server.server.recv_io()
        assert fd is not None
        with open(fd) as file:
            assert file.read() == "content"
        server.send_to_server("listen")
        fd = server.server.recv_io(negotiate=False)
        assert fd is not None
        with socket.socket(fileno=fd) as listener:
            socket.create_connection(listener.getsockname()).close()


def test_a_main_loop_of_ones_own_dispatches_what_is_pending() -> None:
    for last in ("quit", None):
        ours, theirs = socket.socketpair()
        with MessageChannel(ours) as client:
            client.write("echo", "1")
            client.write("echo", "2")
            if last:
                client.write(last)
            else:
                ours.shutdown(socket.SHUT_WR)
            server = OwnLoop()
            server.start_synchronously(theirs)
            assert server.done
            assert list(client) == [["echo", "1"], ["echo", "2"]]


def test_a_client_that_leaves_during_a_reply_ends_the_server_quietly() -> None:
    class Chatty(Plain):
        @message_handler("chat")
        def handle_chat(self) -> None:
            while True:
                self.send_to_client("chat")

    server = Chatty()
    server.start()
    assert server.call("chat") == ["chat"]
    assert server.stop().clean


@pytest.mark.filterwarnings("ignore:.*other threads run", "ignore:This process .* is multi-threaded")
def test_servers_in_several_threads() -> None:
    failures = []

    def talk(number: int) -> None:
        try:
            for _ in range(5):
                with Plain() as server:
                    assert server.call("echo", number, timeout=30) == ["echo", str(number)]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")  # Python 3.12's own, without names
def test_forking_beside_other_threads_names_them() -> None:
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait, name="the other one")
    thread.start()
    try:
        with pytest.warns(RuntimeWarning, match=r"other threads run \(the other one\)"):
            Plain().__enter__().stop()
        with Spawned() as server:  # spawning does not mind
            server.call("echo")
    finally:
        waiting.set()
        thread.join()


class Spawned(Plain):
    start_method = "spawn"

    def __init__(self, value: str = "") -> None:
        self.value = value

    @message_handler("value")
    def handle_value(self) -> None:
        self.send_to_client(len(self.value))


def test_a_spawned_server_is_this_object_in_a_fresh_interpreter() -> None:
    with Spawned("x" * 1_000_000) as server:
        assert server.call("value") == ["1000000"]
        assert server.call("pids") == [str(server.server_pid), str(os.getpid())]


class Interrupted(socket.socket):
    """Receives as a process does that is stopped and continued again and again."""

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        return super().recv(min(size, 7), flags)


def test_a_spawned_server_may_be_stopped_while_it_is_sent() -> None:
    ours, theirs = socket.socketpair()
    with ours, Interrupted(fileno=theirs.detach()) as interrupted:
        ours.sendall(encode_scalar("the luggage") + b"more")
        assert spawned._read_scalar(interrupted) == b"the luggage"
        assert interrupted.recv(4) == b"more"
        ours.sendall(encode_scalar("the luggage")[:-1])
        ours.close()
        with pytest.raises(SystemExit):
            spawned._read_scalar(interrupted)


def test_a_spawned_server_has_nothing_of_the_parents(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w") as file:
        os.set_inheritable(file.fileno(), True)
        with Spawned() as server:
            assert len(server.call("working descriptors")) == 5  # 0, 1, 2, the connection, the last words


def test_a_spawned_server_that_fails_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    server = Spawned()
    server.start()
    with pytest.raises(ServerError, match="exit status 1; LookupError: nothing here"):
        server.call("fail")
    assert "Traceback" in capfd.readouterr().err


def test_a_server_that_cannot_be_sent_is_not_spawned() -> None:
    server = Spawned()
    server.define_message_handler("lambda", lambda: None)
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        server.start()
    with pytest.raises(ValueError, match="'fork' or 'spawn', not by 'thread'"):
        server.start("thread")  # type: ignore[arg-type]  # the point


SCRIPT = """
from coachman import AbstractServer, message_handler

class Here(AbstractServer):
    @message_handler("where")
    def where(self):
        self.send_to_client(type(self).__module__)

if __name__ == "__main__":
    server = Here()
    server.start("spawn")
    print(*server.call("where"))
    server.stop()
"""


@pytest.mark.parametrize(
    "arguments", [["program.py"], ["-m", "program"], ["-m", "folder"], ["folder"], ["folder.zip"]]
)
def test_a_server_of_the_main_module_is_spawned(tmp_path: Path, arguments: list[str]) -> None:
    main = tmp_path / "folder" / "__main__.py"
    main.parent.mkdir()
    for program in (tmp_path / "program.py", main):
        program.write_text(SCRIPT)
    shutil.make_archive(str(main.parent), "zip", main.parent)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("__coachman_main__\n", "")


def test_a_server_started_from_asyncio_has_no_loop_and_may_make_one() -> None:
    class Looping(Plain):
        @message_handler("run a loop")
        def handle_run_a_loop(self) -> None:
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.get_running_loop()
            self.send_to_client(asyncio.run(asyncio.sleep(0, "ran")))

    async def start_and_call() -> list[str]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, print, "the client's handler")
        with Looping() as server:
            return server.call("run a loop")

    assert asyncio.run(start_and_call()) == ["ran"]
