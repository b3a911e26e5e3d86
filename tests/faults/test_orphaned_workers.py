"""kill -9 of the supervisor: workers finish what they have in hand, within their time, and are gone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from ..end_to_end.applications import HELLO, write_application
from ..end_to_end.coachman_serve import CoachmanServe
from ..end_to_end.gate import WAIT_AT_GATE, Gate
from ..end_to_end.raw_client import RawClient
from .killing import assert_nothing_outlives
from .pidfds import Pidfds
from .test_killed_supervisor import AT_ONCE, CHILD

PATIENT: Final = ("--drain-timeout", "60")
HASTY: Final = ("--drain-timeout", "0.2")
IN_TIME: Final = 0.2 + 2 + 10
"""Seconds: the drain timeout, the grace, and what a loaded machine may take."""

GATED: Final = """
def application(environ, start_response):
    if environ["PATH_INFO"] == "/stream":
        return stream(start_response)
    if environ["PATH_INFO"] != "/":
        wait_at_gate()
        print("x" * int(environ["PATH_INFO"][1:]), flush=True)
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]

def stream(start_response):
    start_response("200 OK", [])
    yield b"first "
    wait_at_gate()
    yield b"last"
"""
"""The path says how many bytes a request prints once it was let through the gate."""

THREAD: Final = """
import threading
threading.Thread(target=wait_at_gate).start()
"""

STUBBORN: Final = """
import atexit, signal
atexit.register(wait_at_gate)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
    signal.signal(number, signal.SIG_IGN)
"""

IN_C_CODE: Final = """
import re
def application(environ, start_response):
    print("now", flush=True)
    re.match("(a+)+$", "a" * 60 + "b")  # holds the interpreter: no other thread runs
"""


@pytest.fixture(params=["1 direct", "4 direct", "1 auto", "4 auto"])
def options(request: pytest.FixtureRequest) -> tuple[str, ...]:
    threads, method = request.param.split()
    kind = ("--threads", threads, "--spawn-method", method)
    return ("--bind", "127.0.0.1:0", "--processes", "2", *kind)


# What is finished.


def test_a_request_in_hand_is_answered(tmp_path: Path, gate: Gate, options: tuple[str, ...]) -> None:
    write_application(tmp_path, CHILD, WAIT_AT_GATE, GATED)
    with CoachmanServe(tmp_path, *options, *PATIENT, environment=gate.environment) as server:
        workers = server.ready_workers(2)
        server.wait_for_output("child runs")
        with RawClient(server.url) as client:
            client.get("/1000")
            gate.wait_for_arrival()
            (idle,) = set(workers) - {gate.last_pid}
            with Pidfds(server.processes()) as pidfds:
                server.kill()
                pidfds.wait(idle)
                gate.open()
                assert client.answer().body == b"hello"
                assert client.read_to_end() == b"", "the connection is not kept"
                left = pidfds.living_after(AT_ONCE)
                assert not left, f"{left} still run"


def test_a_response_in_progress_is_completed(tmp_path: Path, gate: Gate, options: tuple[str, ...]) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    with CoachmanServe(tmp_path, *options, *PATIENT, environment=gate.environment) as server:
        workers = server.ready_workers(2)
        with RawClient(server.url) as client:
            client.get("/stream")
            gate.wait_for_arrival()
            (idle,) = set(workers) - {gate.last_pid}
            with Pidfds(server.processes()) as pidfds:
                server.kill()
                pidfds.wait(idle)
                gate.open()
                assert client.answer().body == b"first last"
                assert not pidfds.living_after(AT_ONCE)


def test_a_request_that_prints_more_than_a_pipe_holds_is_answered(tmp_path: Path, gate: Gate) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    options = ("--bind", "127.0.0.1:0", "--processes", "1", "--threads", "2", *PATIENT)
    with CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
        server.ready_workers(1)
        with RawClient(server.url) as client:
            client.get("/1000000")
            gate.wait_for_arrival()
            server.kill()
            gate.open()
            assert client.answer().body == b"hello"


def test_a_worker_that_drains_already_finishes(tmp_path: Path, gate: Gate, options: tuple[str, ...]) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    with CoachmanServe(tmp_path, *options, *PATIENT, environment=gate.environment) as server:
        workers = server.ready_workers(2)
        with RawClient(server.url) as client:
            client.get("/10")
            gate.wait_for_arrival()
            (idle,) = set(workers) - {gate.last_pid}
            with Pidfds(server.processes()) as pidfds:
                server.send_signal(signal.SIGTERM)
                pidfds.wait(idle)
                server.kill()
                gate.open()
                assert client.answer().body == b"hello"
                assert not pidfds.living_after(AT_ONCE)


# What is cut.


def test_a_request_that_does_not_end_is_cut(tmp_path: Path, gate: Gate, options: tuple[str, ...]) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    with CoachmanServe(tmp_path, *options, *HASTY, environment=gate.environment) as server:
        server.ready_workers(2)
        with RawClient(server.url) as client:
            client.get("/10")
            gate.wait_for_arrival()
            assert_nothing_outlives(server, within=IN_TIME, at_least=4)


def test_a_stopped_worker_ends_in_the_time_that_was_configured_last(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    file = tmp_path / "coachman.toml"
    usual = 'bind = "127.0.0.1:0"\nprocesses = 1\n'
    file.write_text(usual + "drain-timeout = 3600\n")
    with CoachmanServe("--config", file) as server:
        server.ready_workers(1)
        file.write_text(usual + "drain-timeout = 0.2\n")
        server.send_signal(signal.SIGHUP)
        server.wait_for_output("the restart is done")
        (worker,) = re.findall(r"worker 2 \(pid (\d+)\) is ready", server.output())
        os.kill(int(worker), signal.SIGSTOP)
        assert_nothing_outlives(server, within=IN_TIME, at_least=3)


def test_a_stopped_worker_ends(tmp_path: Path, options: tuple[str, ...]) -> None:
    write_application(tmp_path, CHILD, HELLO)
    with CoachmanServe(tmp_path, *options, *HASTY) as server:
        workers = server.ready_workers(2)
        server.wait_for_output("child runs")
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        assert_nothing_outlives(server, within=IN_TIME, at_least=5)


def test_a_worker_whose_interpreter_is_held_by_c_code_ends(tmp_path: Path, options: tuple[str, ...]) -> None:
    write_application(tmp_path, IN_C_CODE)
    with CoachmanServe(tmp_path, *options, *HASTY) as server:
        server.ready_workers(2)
        with RawClient(server.url) as client:
            client.get()
            server.wait_for_output("stdout: now")
            assert_nothing_outlives(server, within=IN_TIME, at_least=4)


@pytest.mark.parametrize("obstacle", [THREAD, STUBBORN], ids=["thread", "stubborn"])
def test_a_worker_that_does_not_want_to_end_does(
    tmp_path: Path, gate: Gate, options: tuple[str, ...], obstacle: str
) -> None:
    write_application(tmp_path, WAIT_AT_GATE, obstacle, HELLO)
    with CoachmanServe(tmp_path, *options, *HASTY, environment=gate.environment) as server:
        server.ready_workers(2)
        assert_nothing_outlives(server, within=IN_TIME, at_least=4)


def test_a_daemon_that_holds_every_descriptor_holds_up_nothing_but_itself(tmp_path: Path) -> None:
    daemon = """
    import os, signal
    def application(environ, start_response):
        daemon = os.fork()
        if daemon == 0:
            os.setsid()
            print("daemon runs", flush=True)
            while True:
                signal.pause()
        start_response("200 OK", [])
        return [str(daemon).encode()]
    """
    write_application(tmp_path, daemon)
    with CoachmanServe(tmp_path, "--bind", "127.0.0.1:0", "--processes", "1", *HASTY) as server:
        server.ready_workers(1)
        with RawClient(server.url) as client:
            client.get()
            daemon_pid = int(client.answer().body)
        server.wait_for_output("daemon runs")
        with Pidfds(server.processes() - {daemon_pid}) as pidfds:
            server.kill()
            assert not pidfds.living_after(IN_TIME)
        # It left the group to outlive its worker, and there is no supervisor that would be its parent now.
        assert server.processes() == {daemon_pid}


INTO_CLOSED_FOLDERS: Final = (
    *("setpriv", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
    "--securebits=+no_setuid_fixup",
)
"""Lets processes of another user run an interpreter below a folder that is closed to them, such as /root.

They keep this capability, of which neither signals nor the ends of pipes depend.
"""


def launcher_for(user: str) -> Sequence[str]:
    """Return what the server has to be started by, so that its workers can run as `user`."""
    try:
        subprocess.run([sys.executable, "-c", ""], user=user, cwd="/", check=True)
    except PermissionError:
        return INTO_CLOSED_FOLDERS
    return ()


@pytest.mark.skipif(
    os.geteuid() != 0, reason="workers of another user need root: run pytest tests/faults as root, with sudo"
)
@pytest.mark.parametrize("method", ["direct", "preload"])
def test_workers_of_another_user_are_no_exception(method: str) -> None:
    with tempfile.TemporaryDirectory() as name, ExitStack() as on_end:
        folder = Path(name)  # not pytest's, into which nobody else is let
        folder.chmod(0o755)
        write_application(folder, CHILD, GATED)
        options = ("--bind", "127.0.0.1:0", "--processes", "2", "--spawn-method", method, "--user", "nobody")
        launcher = launcher_for("nobody")
        server = on_end.enter_context(CoachmanServe(folder, *options, *HASTY, launcher=launcher))
        idle, stopped = server.ready_workers(2)
        server.wait_for_output("child runs")
        assert os.stat(f"/proc/{stopped}").st_uid != 0
        os.kill(stopped, signal.SIGSTOP)
        pidfds = on_end.enter_context(Pidfds(server.processes()))
        server.kill()
        pidfds.wait(idle)
        assert not pidfds.living_after(IN_TIME)


# What a new supervisor finds.


def test_the_addresses_are_free_at_once_whatever_their_workers_do(tmp_path: Path, gate: Gate) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    bind = f"unix:{tmp_path}/socket"
    options = ("--processes", "2", "--bind", bind)
    with CoachmanServe(
        tmp_path, *options, *PATIENT, "--bind", "127.0.0.1:0", environment=gate.environment
    ) as old:
        workers = old.ready_workers(2)
        url = old.url
        with RawClient(url) as client:
            client.get("/10")
            gate.wait_for_arrival()
            (other,) = set(workers) - {gate.last_pid}
            os.kill(other, signal.SIGSTOP)
            with RawClient(url) as waiting:
                old.kill()
                # Nobody could accept it: it is refused when the listening sockets are given up.
                with pytest.raises(ConnectionResetError):
                    waiting.read_to_end()
            address = url.removeprefix("http://")
            with CoachmanServe(
                tmp_path, *options, "--bind", address, environment=gate.environment
            ) as successor:
                assert successor.url == url
                for new in (url, bind):
                    with RawClient(new) as fresh:
                        fresh.get()
                        assert fresh.answer().body == b"hello"
                gate.open()
                assert client.answer().body == b"hello"
                os.kill(other, signal.SIGCONT)


# The undertaker.


def test_nothing_outlives_supervisor_and_undertaker(
    tmp_path: Path, gate: Gate, options: tuple[str, ...]
) -> None:
    write_application(tmp_path, CHILD, WAIT_AT_GATE, GATED)
    with CoachmanServe(tmp_path, *options, *PATIENT, environment=gate.environment) as server:
        workers = server.ready_workers(2)
        server.wait_for_output("child runs")
        with RawClient(server.url) as client:
            client.get("/10")
            gate.wait_for_arrival()
            (other,) = set(workers) - {gate.last_pid}
            os.kill(other, signal.SIGSTOP)
            (undertaker,) = server.undertakers()
            with Pidfds(server.processes()) as pidfds:
                # Stopped first, so that neither does anything about the other's end.
                server.send_signal(signal.SIGSTOP)
                os.kill(undertaker, signal.SIGKILL)
                server.kill()
                assert not pidfds.living_after(AT_ONCE)
            assert client.read_to_end() == b""


def test_a_killed_undertaker_is_replaced_and_nobody_notices(tmp_path: Path, gate: Gate) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    options = ("--bind", "127.0.0.1:0", "--processes", "1", *PATIENT)
    with CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
        workers = server.ready_workers(1)
        with RawClient(server.url) as client:
            client.get()
            assert client.answer().body == b"hello"
            (undertaker,) = server.undertakers()
            os.kill(undertaker, signal.SIGKILL)
            server.wait_for_output(rf"the undertaker \(pid {undertaker}\) ended with SIGKILL; replacing it\n")
            replacement = int(server.wait_for_output(r"undertaker \(pid (\d+)\) has taken over")[1])
            client.get("/10")
            gate.wait_for_arrival()
            assert server.worker_pids() == set(workers)
            assert server.undertakers() == {replacement}
            server.kill()
            gate.open()
            assert client.answer().body == b"hello", "the one that replaced it does the same"


def test_without_the_undertaker_those_end_that_can(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    options = ("--bind", "127.0.0.1:0", "--processes", "2", *PATIENT)
    with CoachmanServe(tmp_path, *options) as server:
        idle, stopped = server.ready_workers(2)
        (undertaker,) = server.undertakers()
        os.kill(stopped, signal.SIGSTOP)
        os.kill(undertaker, signal.SIGSTOP)
        with Pidfds(server.processes()) as pidfds:
            server.kill()
            pidfds.wait(idle)
            # It would go on for ever; whoever finds the undertaker ends both.
            os.kill(undertaker, signal.SIGKILL)
            assert not pidfds.living_after(AT_ONCE)


def test_a_program_that_the_application_starts_has_no_lifeline(tmp_path: Path) -> None:
    lists = """
    import subprocess
    def application(environ, start_response):
        start_response("200 OK", [])
        return [subprocess.check_output(["ls", "/proc/self/fd"], close_fds=False)]
    """
    write_application(tmp_path, lists)
    with CoachmanServe(tmp_path, "--bind", "127.0.0.1:0", "--processes", "1") as server:
        with RawClient(server.url) as client:
            client.get()
            numbers = client.answer().body.split()
        assert numbers == [b"0", b"1", b"2", b"3"], "3 is the listing's own"
