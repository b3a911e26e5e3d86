"""Stopping: what is in hand is finished, and nothing waits longer than it must."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .applications import HELLO, ONE_PROCESS, write_application
from .coachman_serve import CoachmanServe
from .gate import WAIT_AT_GATE, Gate
from .raw_client import RawClient

GATED = """
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/gate":
        wait_at_gate()
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/stream":
        return stream()
    return [f"{path} by {os.getpid()}".encode()]

def stream():
    yield b"begun, "
    wait_at_gate()
    yield b"finished"
"""


PATIENT = ("--drain-timeout", "600")
"""What waits for the end of that has waited for nothing: no test takes as long."""


@pytest.fixture(params=[1, 4], ids=["1 thread", "4 threads"])
def server(tmp_path: Path, gate: Gate, request: pytest.FixtureRequest) -> Iterator[CoachmanServe]:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    options = (*ONE_PROCESS, *PATIENT, "--threads", str(request.param))
    with CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
        yield server


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_flight_is_answered_completely(
    server: CoachmanServe, gate: Gate, number: signal.Signals
) -> None:
    with RawClient(server.url) as client:
        client.get("/gate")
        gate.wait_for_arrival()
        server.send_signal(number)
        server.wait_for_output(f"{number.name}: stopping")
        gate.open()
        answer = client.answer()
        assert (answer.status, answer.body.startswith(b"/gate by ")) == (200, True)
        assert client.read_to_end() == b""
    status, output = server.outcome()
    assert status == 0
    assert "replacing it" not in output
    assert "killed" not in output


def test_a_streamed_response_in_flight_is_finished(server: CoachmanServe, gate: Gate) -> None:
    with RawClient(server.url) as client:
        client.get("/stream")
        gate.wait_for_arrival()
        assert client.read_through(b"begun, ")
        server.send_signal(signal.SIGTERM)
        server.wait_for_output("SIGTERM: stopping")
        gate.open()
        assert client.read_to_end().endswith(b"\r\n8\r\nfinished\r\n0\r\n\r\n")
    assert server.outcome()[0] == 0


def test_an_upload_in_flight_is_taken_to_its_end(server: CoachmanServe) -> None:
    with RawClient(server.url) as client:
        client.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 8\r\n\r\n")
        assert client.read_through(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"half")
        with RawClient(server.url) as other:  # once its close is seen, the drain has begun
            other.get()
            other.answer()
            server.send_signal(signal.SIGTERM)
            assert other.read_to_end() == b""
        client.send(b"half")
        assert client.answer().status == 200
    assert server.outcome()[0] == 0


def test_requests_that_wait_behind_a_busy_thread_are_answered(server: CoachmanServe, gate: Gate) -> None:
    with RawClient(server.url) as busy, RawClient(server.url) as waiting:
        waiting.get("/first")
        assert waiting.answer().status == 200
        busy.get("/gate")
        gate.wait_for_arrival()
        waiting.get("/second")
        server.send_signal(signal.SIGTERM)
        server.wait_for_output("SIGTERM: stopping")
        gate.open()
        assert busy.answer().status == 200
        assert waiting.answer().status == 200
    assert server.outcome()[0] == 0


def test_idle_connections_hold_nothing_up(server: CoachmanServe) -> None:
    with RawClient(server.url) as used, RawClient(server.url) as unused:
        used.get()
        used.answer()
        assert server.stop() == 0
        assert used.read_to_end() == b""
        # It may still have been in the kernel's queue, where the end is a reset.
        try:
            assert unused.read_to_end() == b""
        except ConnectionResetError:
            pass


def test_a_response_that_begins_during_the_drain_says_that_it_is_the_last(tmp_path: Path, gate: Gate) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    with (
        CoachmanServe(tmp_path, *ONE_PROCESS, "--threads", "2", environment=gate.environment) as server,
        RawClient(server.url) as client,
        RawClient(server.url) as idle,
    ):
        idle.get()
        idle.answer()
        client.get("/gate")
        gate.wait_for_arrival()
        server.send_signal(signal.SIGTERM)
        assert idle.read_to_end() == b""  # so the drain has begun
        gate.open()
        assert client.answer().headers["connection"] == "close"


def test_a_second_signal_gives_up_what_is_in_hand(server: CoachmanServe, gate: Gate) -> None:
    with RawClient(server.url) as client:
        client.get("/gate")
        gate.wait_for_arrival()
        server.send_signal(signal.SIGINT)
        server.wait_for_output("SIGINT: stopping")
        server.send_signal(signal.SIGINT)
        status, output = server.outcome()
        assert status == 0
        assert "SIGINT again: what is in hand is given up" in output
        assert re.search(
            r"worker 1 \(pid \d+\) ended with SIGKILL .*, in GET /gate.*: the server stops", output
        )
        with pytest.raises((ConnectionResetError, AssertionError)):
            client.answer()


def test_a_worker_that_gets_sigterm_drains_and_is_replaced(server: CoachmanServe, gate: Gate) -> None:
    with RawClient(server.url) as client, RawClient(server.url) as idle:
        idle.get()
        assert idle.answer().status == 200
        client.get("/gate")
        gate.wait_for_arrival()
        (pid,) = server.ready_workers(1)
        os.kill(pid, signal.SIGTERM)
        gate.open()
        answer = client.answer()
        assert answer.body == f"/gate by {pid}".encode()
        assert "connection" not in answer.headers
        server.wait_for_output(
            rf"worker 1 \(pid {pid}\) ended with exit status 0 after .* s: it had got SIGTERM"
        )
        # Neither connection has ended: both wait for the successor.
        client.get("/later")
        idle.get("/later")
        successors = {int(each.answer().body.rpartition(b" ")[2]) for each in (client, idle)}
    assert len(successors) == 1
    (successor,) = successors
    assert successor != pid
    server.wait_for_output(rf"worker 2 \(pid {successor}\) is ready")
    assert server.worker_pids() == {successor}
    assert server.stop() == 0, server.output()
    assert server.outcome()[1].count("replacing it") == 1


def test_a_worker_that_gets_sigterm_is_replaced_while_it_finishes_what_it_has_in_hand(
    tmp_path: Path, gate: Gate
) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    threads = ("--threads", "4")
    with (
        CoachmanServe(tmp_path, *ONE_PROCESS, *threads, environment=gate.environment) as server,
        RawClient(server.url) as slow,
        RawClient(server.url) as idle,
    ):
        idle.get()
        assert idle.answer().status == 200
        slow.get("/gate")
        gate.wait_for_arrival()
        (pid,) = server.ready_workers(1)
        for _ in range(3):  # one of them is enough, and more than one does no more
            os.kill(pid, signal.SIGTERM)
        drains = rf"worker 1 \(pid {pid}\) got SIGTERM and drains; replacing it"
        server.wait_for_output(drains)
        (successor,) = map(int, server.wait_for_output(r"worker 2 \(pid (\d+)\) is ready").groups())
        idle.get("/idle")
        assert idle.answer().body == f"/idle by {successor}".encode()
        gate.open()
        assert slow.answer().body == f"/gate by {pid}".encode()
        server.wait_for_output(rf"worker 1 \(pid {pid}\) ended with exit status 0 .*: it had got SIGTERM")
        assert server.worker_pids() == {successor}
        assert server.stop() == 0
        assert len(re.findall(drains, server.outcome()[1])) == 1


def test_a_worker_that_gets_sigterm_and_does_not_end_is_killed_in_time(tmp_path: Path, gate: Gate) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    options = (*ONE_PROCESS, "--threads", "4", "--drain-timeout", "0.5")
    with (
        CoachmanServe(tmp_path, *options, environment=gate.environment) as server,
        RawClient(server.url) as client,
    ):
        client.get("/gate")
        gate.wait_for_arrival()
        (pid,) = server.ready_workers(1)
        os.kill(pid, signal.SIGTERM)
        server.wait_for_output(rf"worker 1 \(pid {pid}\) gave up requests that took too long, in GET /gate")
        server.wait_for_output(rf"worker 1 \(pid {pid}\) ended .*: it had got SIGTERM", timeout=10)
        server.wait_for_output(r"worker 2 \(pid \d+\) is ready")


def test_a_worker_that_the_supervisor_ends_is_not_replaced_because_of_a_signal(
    tmp_path: Path, gate: Gate
) -> None:
    write_application(tmp_path, WAIT_AT_GATE, GATED)
    two = ("--bind", "127.0.0.1:0", "--processes", "2", "--threads", "4")
    with CoachmanServe(tmp_path, *two, environment=gate.environment) as server, ExitStack() as stack:
        stays, goes = server.ready_workers(2)
        busy: set[int] = set()
        while busy != {stays, goes}:  # one that has no thread left leaves the next to the other
            stack.enter_context(RawClient(server.url)).get("/gate")
            gate.wait_for_arrival()
            busy.add(gate.last_pid)
        server.send_signal(signal.SIGTTOU)
        server.wait_for_output("is to have 1 worker, after 2")
        for pid in busy:
            os.kill(pid, signal.SIGTERM)
        server.wait_for_output(rf"worker 1 \(pid {stays}\) got SIGTERM and drains; replacing it")
        gate.open()
        server.wait_for_output(rf"worker 1 \(pid {stays}\) ended .*: it had got SIGTERM")
        server.wait_for_output(rf"worker 2 \(pid {goes}\) ended .*: it is not needed any more")
        # The surge was used up by the other one that drained: whichever ended first made room for it.
        ready = server.wait_for_output(rf"worker \d+ \(pid (?!({stays}|{goes})\))(\d+)\) is ready")
        assert server.worker_pids() == {int(ready[2])}
        assert server.stop() == 0
        assert server.outcome()[1].count("replacing it") == 1


HANGS_THE_SECOND_TIME = """
try:
    os.open("started", os.O_CREAT | os.O_EXCL)
except FileExistsError:
    wait_at_gate()
"""


@pytest.mark.parametrize("in_hand", [True, False], ids=["the last worker is busy", "the last worker is gone"])
def test_what_waits_for_a_successor_that_never_comes_is_answered_at_the_end(
    tmp_path: Path, gate: Gate, in_hand: bool
) -> None:
    write_application(tmp_path, WAIT_AT_GATE, HANGS_THE_SECOND_TIME, GATED)
    options = (*ONE_PROCESS, "--threads", "4", "--spawn-method", "direct")
    with (
        CoachmanServe(tmp_path, *options, environment=gate.environment) as server,
        RawClient(server.url) as slow,
        RawClient(server.url) as waiting,
    ):
        waiting.get()
        assert waiting.answer().status == 200
        if in_hand:
            slow.get("/gate")
            gate.wait_for_arrival()
        (pid,) = server.ready_workers(1)
        os.kill(pid, signal.SIGTERM)
        gate.wait_for_arrival()  # the successor, which will never be ready
        if not in_hand:
            server.wait_for_output(rf"\(pid {pid}\) ended")
        waiting.get("/waiting")
        server.send_signal(signal.SIGTERM)
        server.wait_for_output("SIGTERM: stopping")
        if in_hand:
            gate.let_first_through()
            assert slow.answer().status == 200
        last = waiting.answer()
        # By the worker, or where it has gone before it heard of the end by the supervisor.
        by_worker = (200, f"/waiting by {pid}".encode())
        assert last.status == 503 or (in_hand and (last.status, last.body) == by_worker)
        assert waiting.read_to_end() == b""
        assert server.outcome()[0] == 0


def test_a_worker_that_was_told_to_drain_is_replaced_without_delay(server: CoachmanServe) -> None:
    # As failures, the last of these would cost more than the time given to it: 25 s.
    with RawClient(server.url, timeout=20) as client:
        for _ in range(11):
            client.get("/who")
            pid = int(client.answer().body.rpartition(b" ")[2])
            os.kill(pid, signal.SIGTERM)
            server.wait_for_output(rf"worker \d+ \(pid {pid}\) ended .*: it had got SIGTERM")


def test_a_worker_that_gets_sigint_serves_on(server: CoachmanServe) -> None:
    (pid,) = server.ready_workers(1)
    os.kill(pid, signal.SIGINT)
    with RawClient(server.url) as client:
        client.get("/still")
        assert client.answer().body == f"/still by {pid}".encode()


ENDLESS_THREAD = """
import threading
threading.Thread(target=wait_at_gate).start()
"""


def test_a_thread_of_the_application_does_not_hold_up_the_end(tmp_path: Path, gate: Gate) -> None:
    write_application(tmp_path, WAIT_AT_GATE, ENDLESS_THREAD, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *PATIENT, environment=gate.environment) as server:
        server.wait_for_output("listening")
        gate.wait_for_arrival()
        server.send_signal(signal.SIGTERM)
        assert server.outcome()[0] == 0


def test_a_drained_worker_is_replaced_though_a_thread_of_the_application_goes_on(
    tmp_path: Path, gate: Gate
) -> None:
    write_application(tmp_path, WAIT_AT_GATE, ENDLESS_THREAD, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *PATIENT, environment=gate.environment) as server:
        (pid,) = server.ready_workers(1)
        gate.wait_for_arrival()
        os.kill(pid, signal.SIGTERM)
        server.wait_for_output(rf"worker 1 \(pid {pid}\) ended .*: it had got SIGTERM")
        with RawClient(server.url) as client:
            client.get()
            assert client.answer().body == b"hello"
        server.send_signal(signal.SIGTERM)
        server.send_signal(signal.SIGINT)
