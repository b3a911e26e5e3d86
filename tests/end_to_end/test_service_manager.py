"""Under a service manager: what it is told, what it passes, and the pid file."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import pytest

from .applications import HELLO, ONE_PROCESS, write_application
from .coachman_serve import COMMAND, CoachmanServe
from .gate import WAIT_AT_GATE, Gate
from .notify_receiver import NotifyReceiver, abstract_address
from .raw_client import RawClient

GATED_START = "wait_at_gate()\n" + HELLO
SHOW_ENVIRONMENT = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\\n".join(os.environ).encode()]
"""
BROKEN = "raise RuntimeError('out of oats')\n"


@pytest.fixture(params=["path", "abstract"])
def manager(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NotifyReceiver]:
    address = tmp_path / "notify" if request.param == "path" else abstract_address()
    with NotifyReceiver(address) as receiver:
        yield receiver


def test_it_is_ready_only_when_its_first_worker_is(tmp_path: Path, manager: NotifyReceiver) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED_START)
    with Gate(tmp_path) as gate:
        environment = {**gate.environment, **manager.environment}
        with CoachmanServe(tmp_path, *ONE_PROCESS, environment=environment) as server:
            gate.wait_for_arrival()
            assert not any("READY" in message for message in [*manager.messages, *manager.rest()])
            assert manager.messages[0]["STATUS"] == "starting"
            assert int(manager.messages[0]["EXTEND_TIMEOUT_USEC"]) > 90_000_000
            gate.open()
            ready = manager.wait_for("READY")
            assert ready["READY"] == "1"
            assert ready["MAINPID"] == str(server.pid)
            assert ready["STATUS"].endswith("1 of 1 worker ready, generation 1")
            assert httpx.get(server.url, timeout=30, trust_env=False).status_code == 200
            server.send_signal(signal.SIGTERM)
            stopping = manager.wait_for("STOPPING")
            assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 10_000_000
            assert server.outcome()[0] == 0


def test_a_worker_that_dies_shows_in_the_status(tmp_path: Path, manager: NotifyReceiver) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, environment=manager.environment) as server:
        manager.wait_for("READY")
        [pid] = server.ready_workers(1)
        os.kill(pid, signal.SIGKILL)
        assert "0 of 1 worker ready" in manager.wait_for("STATUS")["STATUS"]
        while "1 of 1 worker ready" not in manager.wait_for("STATUS")["STATUS"]:
            pass
        assert not [message for message in manager.messages if "RELOADING" in message]


def test_a_restart_is_reloading_and_then_ready(tmp_path: Path, manager: NotifyReceiver) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, environment=manager.environment) as server:
        manager.wait_for("READY")
        before = time.monotonic_ns() // 1000
        server.send_signal(signal.SIGHUP)
        reloading = manager.wait_for("RELOADING")
        assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        assert "restart to generation 2 under way" in reloading["STATUS"]
        assert "restart to generation 2 done" in manager.wait_for("READY")["STATUS"]

        write_application(tmp_path, BROKEN)
        server.send_signal(signal.SIGHUP)
        manager.wait_for("RELOADING")
        status = manager.wait_for("READY")["STATUS"]
        assert "1 of 1 worker ready, generation 2, restart to generation 3 failed" in status
        assert "out of oats" in status
        assert httpx.get(server.url, timeout=30, trust_env=False).text == "hello"


def test_a_stop_gets_the_time_that_was_configured_last(tmp_path: Path, manager: NotifyReceiver) -> None:
    write_application(tmp_path, HELLO)
    file = tmp_path / "coachman.toml"
    usual = 'bind = "127.0.0.1:0"\nprocesses = 1\n'
    file.write_text(usual)
    with CoachmanServe("--config", file, environment=manager.environment) as server:
        manager.wait_for("READY")
        file.write_text(usual + "drain-timeout = 500\n")
        server.send_signal(signal.SIGHUP)
        server.wait_for_output("the restart is done")
        server.send_signal(signal.SIGTERM)
        assert int(manager.wait_for("STOPPING")["EXTEND_TIMEOUT_USEC"]) > 500_000_000
        assert server.outcome()[0] == 0


def test_a_start_that_fails_says_why(tmp_path: Path, manager: NotifyReceiver) -> None:
    write_application(tmp_path, BROKEN)
    with CoachmanServe(tmp_path, *ONE_PROCESS, environment=manager.environment) as server:
        assert server.outcome()[0] == 1
    messages = manager.rest()
    assert "out of oats" in messages[-1]["STATUS"]
    assert not [message for message in messages if "READY" in message]


@pytest.mark.parametrize("address", ["/no/such/socket", "nonsense"])
def test_a_manager_that_cannot_be_reached_is_noted_and_no_more(tmp_path: Path, address: str) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, environment={"NOTIFY_SOCKET": address}) as server:
        assert httpx.get(server.url, timeout=30, trust_env=False).status_code == 200
        assert server.stop() == 0
        assert server.output().count("cannot notify the service manager") == 1


def test_the_watchdog_is_fed_within_half_of_its_time(tmp_path: Path, manager: NotifyReceiver) -> None:
    write_application(tmp_path, HELLO)
    environment = {**manager.environment, "WATCHDOG_USEC": "200000"}
    with CoachmanServe(tmp_path, *ONE_PROCESS, environment=environment) as server:
        # Read from the beginning: what the kernel has no room for (max_dgram_qlen) would come all at once.
        manager.wait_for("READY")
        begun = time.monotonic()  # before: what comes after the rest was sent after this moment, at any rate
        manager.rest()
        for _ in range(10):
            manager.wait_for("WATCHDOG")
        # Never more often than asked for; how much later depends on the machine.
        assert time.monotonic() - begun > 9 * 0.1 * 0.9
        server.send_signal(signal.SIGSTOP)
        try:
            os.waitpid(server.pid, os.WUNTRACED)  # it stands still
            manager.rest()
            with pytest.raises(AssertionError, match="no WATCHDOG within"):
                manager.wait_for("WATCHDOG", timeout=0.5)
        finally:
            server.send_signal(signal.SIGCONT)
        manager.wait_for("WATCHDOG")


def test_a_watchdog_for_another_process_is_not_fed(tmp_path: Path, manager: NotifyReceiver) -> None:
    write_application(tmp_path, HELLO)
    environment = {**manager.environment, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    with CoachmanServe(tmp_path, *ONE_PROCESS, environment=environment) as server:
        manager.wait_for("READY")
        assert server.stop() == 0
    manager.rest()
    assert not [message for message in manager.messages if "WATCHDOG" in message]


def test_the_application_sees_nothing_of_the_manager(tmp_path: Path, manager: NotifyReceiver) -> None:
    write_application(tmp_path, "import os", SHOW_ENVIRONMENT)
    environment = {**manager.environment, "WATCHDOG_USEC": "60000000", "LISTEN_PID": "1", "LISTEN_FDS": "1"}
    with CoachmanServe(tmp_path, *ONE_PROCESS, environment=environment) as server:
        seen = httpx.get(server.url, timeout=30, trust_env=False).text.split("\n")
    assert not [name for name in seen if name.startswith(("NOTIFY", "WATCHDOG", "LISTEN"))]


class Activated:
    """`coachman serve` started with sockets, as a service manager does it."""

    def __init__(
        self,
        folder: Path,
        *sockets: socket.socket,
        names: str = "",
        options: tuple[str, ...] = (),
        promised: int | None = None,
    ) -> None:
        """Start it in `folder`; `promised` is how many sockets it is told of, where that is not the truth."""
        # The numbers have to be 3, 4, ...: a shell arranges that, and knows its own pid before it becomes us.
        moves = " ".join(f"{3 + index}<&{sock.fileno()}" for index, sock in enumerate(sockets))
        assert all(sock.fileno() > 3 + len(sockets) for sock in sockets)
        script = (
            f'LISTEN_PID=$$ LISTEN_FDS={promised or len(sockets)} LISTEN_FDNAMES={names} exec "$@" {moves}'
        )
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", script, "sh", COMMAND, "serve", folder, "--processes", "1", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[sock.fileno() for sock in sockets],
            start_new_session=True,
        )
        self.output = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self.status()

    def kill(self) -> None:
        """Kill it, as kill -9 does, and wait until nothing of it holds its output open."""
        self._process.kill()
        self.status()

    def listens_at(self) -> str:
        """Return the first address that it says it listens at, once a worker is ready."""
        assert self._process.stdout is not None
        while not (found := re.search(r"listening at (\S+)\n", self.output)):
            line: bytes = self._process.stdout.readline()
            assert line, self.output
            self.output += line.decode()
        return found[1]

    def status(self) -> int:
        """Return the exit status, once it has ended, however that came."""
        if self._process.returncode is None:
            rest, _ = self._process.communicate(timeout=30)
            self.output += rest.decode()
        return self._process.returncode


def lifted(sock: socket.socket) -> socket.socket:
    """Return the same socket under a number that no passed one has."""
    fd = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, 50)
    sock.close()
    return socket.socket(fileno=fd)


def test_a_passed_socket_is_served_and_the_default_is_not_bound(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with lifted(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        with RawClient(f"http://127.0.0.1:{port}") as early:
            early.get()  # waits in the kernel until somebody serves
            with Activated(tmp_path, listener) as server:
                assert early.answer().status == 200
                assert server.listens_at() == f"http://127.0.0.1:{port}"
        assert ":8000" not in server.output
        with RawClient(f"http://127.0.0.1:{port}") as late:  # the socket is the manager's, and goes on
            late.get()


def test_a_passed_socket_listens_on_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with lifted(socket.create_server(("127.0.0.1", 0))) as listener:
        with Activated(tmp_path, listener) as server:
            url = server.listens_at()
            server.kill()
        with RawClient(url) as client:  # what the kernel takes on is for whoever the manager starts next
            client.get()
            with Activated(tmp_path, listener):
                assert client.answer().status == 200


def test_a_configured_address_that_was_passed_is_not_bound_again(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with lifted(socket.create_server(("127.0.0.1", 0))) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with Activated(tmp_path, listener, names="http", options=("--bind", address)) as server:
            assert server.listens_at() == f"http://{address}"
            assert httpx.get(f"http://{address}", timeout=30, trust_env=False).status_code == 200


def test_the_file_of_a_passed_unix_socket_is_left(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    path = tmp_path / "site.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        with lifted(sock) as listener, Activated(tmp_path, listener) as server:
            assert server.listens_at() == f"unix:{path}"
            with RawClient(f"unix:{path}") as client:
                client.get()
                assert client.answer().status == 200
    assert path.is_socket()


def test_what_cannot_be_served_is_refused_with_its_name(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with (
        lifted(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock,
        Activated(tmp_path, sock) as server,
    ):
        assert server.status() == 1
    assert "descriptor 3 is a SOCK_DGRAM socket; only stream sockets can be served" in server.output


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_a_promise_of_sockets_that_are_not_there_is_refused(tmp_path: Path, count: int) -> None:
    write_application(tmp_path, HELLO)
    with Activated(tmp_path, promised=count) as server:
        assert server.status() == 1
    assert "coachman: descriptor " in server.output
    assert "Traceback" not in server.output


def test_the_pid_file_is_there_before_the_application_and_gone_at_the_end(tmp_path: Path) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED_START)
    path = tmp_path / "coachman.pid"
    with Gate(tmp_path) as gate:
        options = (*ONE_PROCESS, "--pid-file", str(path))
        with CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
            gate.wait_for_arrival()
            assert path.read_text() == f"{server.pid}\n"
            gate.open()
            server.ready_workers(1)
            with CoachmanServe(tmp_path, *options) as second:
                status, output = second.outcome()
            assert status == 1
            assert f"the pid file {path} belongs to the living process {server.pid}" in output
            assert server.stop() == 0
            assert not path.exists()


def test_the_pid_file_of_a_killed_supervisor_is_taken_over(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    path = tmp_path / "coachman.pid"
    options = (*ONE_PROCESS, "--pid-file", str(path))
    with CoachmanServe(tmp_path, *options) as first:
        first.ready_workers(1)
        first.kill()
        assert path.read_text() == f"{first.pid}\n"
        with CoachmanServe(tmp_path, *options) as second:
            second.ready_workers(1)
            assert path.read_text() == f"{second.pid}\n"
