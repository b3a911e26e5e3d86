"""Clients of the control socket that do what they should not, and a runtime folder that is gone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import msgspec
import pytest

from coachman.protocol.control_socket import FOLLOW, STATUS, Answer, LogLines
from coachman.protocol.status import SupervisorStatus
from coachman.supervisor.control.server import MOST_CLIENTS
from coachman.unix.channel import MessageChannel

from ..end_to_end.applications import ONE_PROCESS, write_application
from ..end_to_end.coachman_command import coachman
from ..end_to_end.coachman_serve import CoachmanServe

SECONDS = 60.0
TALKING = """
def application(environ, start_response):
    print("x" * 200 + "\\n" + environ["PATH_INFO"] * int(environ["QUERY_STRING"] or 1), flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runtime"
    monkeypatch.setenv("COACHMAN_RUNTIME_FOLDER", str(folder))
    return folder


@pytest.fixture
def server(tmp_path: Path, runtime: Path) -> Iterator[CoachmanServe]:
    write_application(tmp_path / "site", TALKING)
    with CoachmanServe(tmp_path / "site", *ONE_PROCESS) as server:
        server.wait_for_output("listening at")
        yield server


def connected(runtime: Path) -> socket.socket:
    """Connect to the only supervisor, whose path may be longer than an address."""
    (path,) = runtime.glob("*.sock")
    connection = socket.socket(socket.AF_UNIX)
    folder = os.open(runtime, os.O_RDONLY)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
    return connection


def status_of(channel: MessageChannel) -> SupervisorStatus:
    channel.write(STATUS, timeout=SECONDS)
    data = channel.read_scalar(timeout=SECONDS)
    assert data is not None
    return msgspec.json.decode(msgspec.json.decode(data, type=Answer).result, type=SupervisorStatus)


def serves(server: CoachmanServe) -> bool:
    answer = httpx.get(server.url, timeout=SECONDS, trust_env=False)
    return answer.text == "hello" and coachman("status").status == 0


@pytest.mark.parametrize(
    "garbage",
    [b"\0\0", b"\0\5hello", b"\0\1\0" * 1000, bytes(100_000), b"\0\7status\1"],
    ids=["no element", "no end", "empty names", "zeros", "no NUL"],
)
def test_a_client_that_sends_garbage_is_sent_away(
    server: CoachmanServe, runtime: Path, garbage: bytes
) -> None:
    with connected(runtime) as client:
        try:
            client.sendall(garbage)
            while client.recv(65536):
                pass
        except ConnectionError:
            pass  # it was sent away in the middle
    assert serves(server)


def test_a_wrong_request_is_answered_with_what_would_be_right(server: CoachmanServe, runtime: Path) -> None:
    with MessageChannel(connected(runtime)) as channel:
        for message, complaint in (
            (["sing"], "there is no request 'sing'; there are status, restart"),
            (["scale", "1"], "the request 'scale' has 2 arguments, not 1"),
            (["dump", "", "seven"], "'seven' is no pid"),
            (["follow", "nobody"], "there is no application 'nobody'"),
        ):
            channel.write(*message)
            answer = msgspec.json.decode(channel.read_scalar(timeout=SECONDS) or b"", type=Answer)
            assert answer.error.startswith(complaint)
        assert status_of(channel).pid == server.pid, "it may go on"


def test_a_client_that_stalls_in_a_request_is_sent_away(server: CoachmanServe, runtime: Path) -> None:
    with connected(runtime) as half, connected(runtime) as silent:
        half.sendall(b"\0\7sta")
        assert serves(server), "nobody waits for it"
        assert half.recv(1) == b""
        assert silent.recv(1) == b""


def test_100_clients_that_ask_at_once_are_all_answered(server: CoachmanServe, runtime: Path) -> None:
    with ExitStack() as clients:
        channels = [clients.enter_context(MessageChannel(connected(runtime))) for _ in range(100)]
        for channel in channels:
            channel.write(STATUS)
        for channel in channels:
            assert channel.read_scalar(timeout=SECONDS)
        assert status_of(channels[0]).pid == server.pid
    assert serves(server)


def test_clients_beyond_the_bound_are_told_so(server: CoachmanServe, runtime: Path) -> None:
    with ExitStack() as clients:
        connections = [connected(runtime) for _ in range(MOST_CLIENTS)]
        channels = [clients.enter_context(MessageChannel(connection)) for connection in connections]
        for channel in channels:
            channel.write(FOLLOW, "")  # these stay
        for channel in channels:
            assert channel.read_scalar(timeout=SECONDS)
        with MessageChannel(connected(runtime)) as surplus:
            answer = msgspec.json.decode(surplus.read_scalar(timeout=SECONDS) or b"", type=Answer)
            assert answer.error == f"{MOST_CLIENTS} clients are being served; try again"
        for connection in connections:
            connection.shutdown(socket.SHUT_WR)
        for channel in channels:  # who comes next is one too many until it is known that these have gone
            while channel.read_scalar(timeout=SECONDS) is not None:
                pass
    assert serves(server)


def test_a_client_that_follows_and_does_not_read_is_told_what_it_missed(
    tmp_path: Path, runtime: Path
) -> None:
    write_application(tmp_path / "site", TALKING)
    log = tmp_path / "log"
    with CoachmanServe(tmp_path / "site", *ONE_PROCESS, "--log-file", log) as server:
        assert serves(server)
        memory = private_memory(server.pid)
        with MessageChannel(connected(runtime)) as channel, httpx.Client(trust_env=False) as client:
            channel.write(FOLLOW, "")
            for _ in range(40):
                # About 200 KiB a request, in lines: many times of what is kept for whoever follows.
                client.get(f"{server.url}/{'y' * 98}%0A?2000", timeout=SECONDS)
            # Not by the command, which takes a while to start: ten seconds are what the follower has.
            with MessageChannel(connected(runtime)) as other:
                assert status_of(other).pid == server.pid
            assert private_memory(server.pid) < memory + 16 * 2**20
            skipped = 0
            while not skipped:
                data = channel.read_scalar(timeout=SECONDS)
                assert data is not None
                answer = msgspec.json.decode(data, type=Answer)
                skipped = msgspec.json.decode(answer.result, type=LogLines).skipped
        assert serves(server)
        assert server.stop() == 0
    assert 0 < skipped < log.read_bytes().count(b"\n")


def private_memory(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_")) * 1024


def test_a_client_that_goes_away_while_it_waits_disturbs_nobody(server: CoachmanServe, runtime: Path) -> None:
    with MessageChannel(connected(runtime)) as channel:
        channel.write("restarted", "")
    server.wait_for_output("generation 2 serves")
    assert serves(server)


def test_a_supervisor_that_is_stopped_is_said_not_to_answer(server: CoachmanServe) -> None:
    server.send_signal(signal.SIGSTOP)
    try:
        done = coachman("status")
    finally:
        server.send_signal(signal.SIGCONT)
    assert (done.status, done.errors) == (5, f"coachman: supervisor {server.pid} does not answer\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_refused(server: CoachmanServe, runtime: Path) -> None:
    (path,) = runtime.glob("*.sock")
    assert path.stat().st_mode & 0o777 == 0o600
    assert runtime.stat().st_mode & 0o777 == 0o700
    # Let nobody in as far as the check of who it is.
    with tempfile_of_everybody(path) as open_path:
        program = (
            "import os, socket, sys; os.setgid(65534); os.setuid(65534); s = socket.socket(socket.AF_UNIX); "
            "s.connect(sys.argv[1]); sys.stdout.buffer.write(s.recv(1000)[4:])"
        )
        done = subprocess.run([sys.executable, "-c", program, open_path], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    error = msgspec.json.decode(done.stdout, type=Answer).error
    assert error == "user 65534 may not control what user 0 has started"
    assert serves(server)


class tempfile_of_everybody:  # noqa: N801  # it is used like a function
    """A second name of a socket, in a folder and with a mode that let everybody connect."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = Path(f"/tmp/coachman-test-{os.getpid()}")

    def __enter__(self) -> str:
        self._folder.mkdir(mode=0o755)
        os.link(self._path, self._folder / "s")
        self._path.chmod(0o666)
        return str(self._folder / "s")

    def __exit__(self, *error: object) -> None:
        self._path.chmod(0o600)
        shutil.rmtree(self._folder)


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    write_application(tmp_path / "site", TALKING)
    with CoachmanServe(tmp_path / "site", *ONE_PROCESS, "--runtime-folder", folder) as server:
        status, output = server.outcome()
    assert status == 1
    assert f"no control socket: the runtime folder {folder} belongs to user" in output
    assert coachman("status", "--runtime-folder", folder).status == 1


def test_a_folder_that_has_vanished_is_made_anew_upon_the_next_signal(
    server: CoachmanServe, runtime: Path
) -> None:
    shutil.rmtree(runtime)
    assert coachman("status").status == 3
    server.send_signal(signal.SIGUSR2)
    server.wait_for_output(rf"the control socket had vanished; it is back at {runtime}/{server.pid}-")
    assert serves(server)

    shutil.rmtree(runtime)
    runtime.write_text("in the way")
    server.send_signal(signal.SIGUSR2)
    server.wait_for_output("the control socket has vanished, and cannot be made anew: ")
    assert server.stop() == 0
    assert runtime.read_text() == "in the way"


def test_a_supervisor_serves_on_when_descriptors_for_clients_have_run_out(
    tmp_path: Path, runtime: Path
) -> None:
    write_application(tmp_path / "site", TALKING)
    with CoachmanServe(tmp_path / "site", *ONE_PROCESS, "--spawn-method", "direct") as server:
        server.wait_for_output("listening at")
        subprocess.run(["prlimit", "--nofile=3:", f"--pid={server.pid}"], check=True)
        with MessageChannel(connected(runtime)) as client:
            server.wait_for_output("cannot accept on the control socket: Too many open files")
            subprocess.run(["prlimit", "--nofile=1000:", f"--pid={server.pid}"], check=True)
            assert status_of(client).pid == server.pid
        assert serves(server)
