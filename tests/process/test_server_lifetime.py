"""Nothing is left when somebody dies, however and whenever that is."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from coachman import AbstractServer, message_handler
from coachman.server import forking
from coachman.unix.processes import ChildProcess, Ending
from tests.process.servers import Plain, pid_of

# Everything that lives in the tree below holds the write end of one pipe: its end of stream is their end.


def parent_that_starts(moment: str) -> tuple[int, int]:
    """Fork a parent that kills itself at `moment` of starting a server; return its pid and the pipe's end."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        os.dup2(write_end, 2)  # inherited by the server, which keeps its standard descriptors
        os.close(write_end)

        def die(*_: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        server = Plain()
        if moment == "before the fork":
            server.before_fork = die  # type: ignore[method-assign]  # to die there
        elif moment == "right after the fork":
            vars(forking)["ChildProcess"] = die  # the first thing after it
        try:
            server.start()
            if moment == "while the server waits":
                server.call("echo")
            elif moment == "in the middle of a message":
                server.call("echo")
                os.write(server.server.fileno(), b"\0\x10half")
            die()
        finally:
            os._exit(1)
    os.close(write_end)
    return pid, read_end


@pytest.mark.parametrize(
    "moment",
    [
        "before the fork",
        "right after the fork",
        "right after start",
        "while the server waits",
        "in the middle of a message",
    ],
)
def test_the_server_ends_when_its_parent_is_killed(moment: str) -> None:
    pid, read_end = parent_that_starts(moment)
    parent = ChildProcess(pid)
    assert str(parent.wait()) == "SIGKILL"
    parent.close()
    with open(read_end, "rb") as everybody:
        everybody.read()  # ends when the last process has ended


def test_a_server_that_is_working_ends_at_its_next_look_at_the_connection() -> None:
    class Working(AbstractServer):
        @message_handler("work")
        def handle_work(self) -> None:
            self.send_to_client("working")
            select.select([self.client], [], [])  # its work: as long as the parent lives

    server = Working()
    server.start()
    server.call("work")
    assert server.stop().clean


def test_no_server_holds_the_connection_of_another() -> None:
    first, second = Plain(), Plain()
    first.start()
    second.start()
    second.call("echo")
    assert first.stop().clean, "the end of stream has not reached the first: the second holds its other end"
    assert second.stop().clean


def test_what_a_server_executes_inherits_nothing() -> None:
    class Executing(Plain):
        @message_handler("execute")
        def handle_execute(self) -> None:
            listing = subprocess.run(
                ["ls", "/proc/self/fd"], close_fds=False, capture_output=True, text=True, check=True
            )
            self.send_to_client(*listing.stdout.split())

    leaked, _ = socket.socketpair()
    with leaked, _, Executing() as server:
        # 0, 1, 2, and 3: the directory that ls reads.
        assert {*server.call("execute")} <= {"0", "1", "2", "3", *map(str, inheritable_standard_streams())}


def inheritable_standard_streams() -> list[int]:
    found = []
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        try:
            found.append(stream.fileno())
        except (OSError, ValueError):
            continue
    return found


def test_a_server_that_is_killed_is_noticed_in_the_middle_of_its_message() -> None:
    class Cutting(Plain):
        @message_handler("cut")
        def handle_cut(self) -> None:
            os.write(self.client.fileno(), b"\0\x10half")
            os.kill(os.getpid(), signal.SIGKILL)

    server = Cutting()
    server.start()
    with pytest.raises(Exception, match="SIGKILL") as caught:
        server.call("cut")
    assert "6 bytes came, 12 are missing" in str(caught.value.__cause__)


def test_an_error_in_before_fork_leaves_nothing() -> None:
    class Failing(Plain):
        def before_fork(self) -> None:
            raise LookupError("not today")

    server = Failing()
    with pytest.raises(LookupError, match="not today"):
        server.start()
    assert server.server_pid is None


def test_fork_failing_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", fork)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(BlockingIOError):
        Plain().start()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked


def test_a_pool_of_servers_shares_nothing() -> None:
    pool = [Plain() for _ in range(10)]
    for server in pool:
        server.start()
    pids = {pid_of(server) for server in pool}
    assert len(pids) == 10
    assert [server.call("echo", n) for n, server in enumerate(pool)] == [["echo", str(n)] for n in range(10)]
    assert all(server.stop().clean for server in pool)


def test_the_example_runs() -> None:
    example = Path(__file__).parents[2] / "examples" / "hello_server.py"
    done = subprocess.run([sys.executable, example], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "The server said: Hello Joe Dalton, how are you?\nIn addition, it sent this pointless number: 1234\n"
    )


def test_a_server_that_is_forgotten_ends_with_a_warning() -> None:
    server = Plain()
    server.start()
    server.call("echo")
    process = ChildProcess(pid_of(server))
    with pytest.warns(ResourceWarning, match=r"Plain, process \d+, was not stopped"):
        del server
    assert process.wait() == Ending(0)
    process.close()


def test_a_signal_that_raises_right_after_the_fork_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fork = os.fork

    def fork_and_interrupt() -> int:
        pid = fork()
        if pid:
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        return pid

    monkeypatch.setattr(os, "fork", fork_and_interrupt)
    server = Plain()
    with pytest.raises(KeyboardInterrupt):
        server.start()
    assert server.server_pid is None


def test_sigterm_right_after_start_ends_the_server_quietly() -> None:
    server = Plain()
    server.start()
    os.kill(pid_of(server), signal.SIGTERM)
    assert server.stop().clean


def test_a_stop_that_is_interrupted_forgets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Plain()
    server.start()
    pid = pid_of(server)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ChildProcess, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            server.stop()
        with pytest.raises(KeyboardInterrupt):
            server._ended()
    assert server.stop() == Ending(0)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
