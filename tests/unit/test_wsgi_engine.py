"""The engine on real sockets, in a thread of the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from coachman.config.model import WorkerConfig
from coachman.worker.wsgi.engine import Engine
from coachman.worker.wsgi.responder import LARGE_BODY

from .served import TIMEOUT, receive_all, receive_exactly, receive_response, served

Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], None]]


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def echo(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode(), b" ", environ["wsgi.input"].read()]


def test_a_connection_carries_one_request_after_the_other(threads: int) -> None:
    with served(echo, threads) as connect:
        client = connect()
        for number in range(20):
            client.sendall(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
            assert receive_response(client)[1] == b"/%d " % number


def test_pipelined_requests_are_answered_in_order(threads: int) -> None:
    with served(echo, threads) as connect:
        client = connect()
        client.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(50)))
        assert [receive_response(client)[1] for _ in range(50)] == [b"/%d " % n for n in range(50)]


def test_bad_bytes_behind_good_requests_do_not_cost_their_answers(threads: int) -> None:
    with served(echo, threads) as connect:
        client = connect()
        client.sendall(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGARBAGE / HTTP/1.1\r\n\r\n")
        answer = receive_all(client)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"HTTP/1.1 400 Bad Request" in answer


def test_continue_comes_when_it_is_waited_for(threads: int) -> None:
    with served(echo, threads) as connect:
        client = connect()
        client.sendall(b"POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert receive_exactly(client, len(interim)) == interim
        client.sendall(b"abc")
        assert receive_response(client)[1] == b"/p abc"


@pytest.mark.parametrize("size", [LARGE_BODY, LARGE_BODY + 1, 5_000_000])
def test_responses_of_any_size_stay_apart(threads: int, size: int) -> None:
    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode().ljust(size, b"x")]

    with served(application, threads) as connect:
        client = connect()
        requests = [b"GET /1", b"HEAD /2", b"GET /3"]
        client.sendall(b"".join(request + b" HTTP/1.1\r\nHost: x\r\n\r\n" for request in requests))
        assert receive_response(client)[1] == b"/1".ljust(size, b"x")
        head = receive_exactly(client, 1)
        while not head.endswith(b"\r\n\r\n"):
            head += receive_exactly(client, 1)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n"), "and nothing of a body came before or behind it"
        assert receive_response(client)[1] == b"/3".ljust(size, b"x")


def test_a_slow_reader_gets_a_long_response_whole_and_others_go_on(threads: int) -> None:
    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/long":
            return [b"x" * 20_000_000]
        return [b"short"]

    with served(application, threads) as connect:
        slow, quick = connect(), connect()
        slow.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow.recv(1) == b"H"  # it is on its way, and blocked by now or soon
        quick.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive_response(quick)[1] == b"short"
        head = b"H"
        while not head.endswith(b"\r\n\r\n"):
            head += slow.recv(1)
        assert receive_exactly(slow, 20_000_000) == b"x" * 20_000_000


def test_an_endless_stream_lets_others_have_their_turn() -> None:
    closed = threading.Event()

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x" * 65536

        def close(self) -> None:
            closed.set()

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Endless() if environ["PATH_INFO"] == "/endless" else [b"short"]

    with served(application, 1) as connect:
        endless, quick = connect(), connect()
        endless.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        stop_reading = threading.Event()

        def read_on() -> None:
            while not stop_reading.is_set():
                endless.recv(1 << 20)

        reader = threading.Thread(target=read_on)
        reader.start()
        try:
            quick.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert receive_response(quick)[1] == b"short"
        finally:
            stop_reading.set()
            reader.join()
        endless.close()
        assert closed.wait(TIMEOUT)


def test_what_the_application_returned_is_closed_when_the_peer_leaves(threads: int) -> None:
    closed = threading.Event()

    class Blocks:
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(1000):
                yield b"x" * 1_000_000

        def close(self) -> None:
            closed.set()

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Blocks()

    with served(application, threads) as connect:
        client = connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(1)
        client.close()
        assert closed.wait(TIMEOUT)


def test_a_response_is_made_in_one_thread(threads: int) -> None:
    seen: list[int] = []

    class Blocks:
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(50):
                seen.append(threading.get_ident())
                yield b"x" * 200_000

        def close(self) -> None:
            seen.append(threading.get_ident())

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        seen.append(threading.get_ident())
        start_response("200 OK", [("Content-Length", "10000000")])
        return Blocks()

    with served(application, threads) as connect:
        client = connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert len(receive_response(client)[1]) == 10_000_000
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        receive_all(client)
    assert len(seen) == 104
    assert len(set(seen[:52])) == 1


def test_requests_run_at_the_same_time_in_so_many_threads() -> None:
    meeting = threading.Barrier(3, timeout=TIMEOUT)

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        meeting.wait()
        start_response("200 OK", [])
        return [b"met"]

    with served(application, 3) as connect:
        clients = [connect() for _ in range(3)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert [receive_response(client)[1] for client in clients] == [b"met"] * 3


@pytest.mark.parametrize("fault", ["at once", "system exit", "in the middle", "not bytes", "before start"])
def test_a_failing_application_costs_its_own_request_only(
    threads: int, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def application(environ: Environ, start_response: Start) -> Iterable[Any]:
        if environ["PATH_INFO"] == "/good":
            start_response("200 OK", [])
            return [b"good"]
        if fault == "before start":
            return [b"x"]
        start_response("200 OK", [])
        if fault == "at once":
            raise LookupError("oh")
        if fault == "system exit":
            raise SystemExit(3)
        if fault == "not bytes":
            return ["text"]
        return failing()

    def failing() -> Iterator[bytes]:
        yield b"the beginning"
        raise LookupError("oh")

    with served(application, threads) as connect:
        client = connect()
        client.sendall(b"GET /bad HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = receive_all(client)
        if fault == "in the middle":
            assert b"the beginning" in answer
            assert not answer.endswith(b"0\r\n\r\n")
        else:
            assert answer.startswith(b"HTTP/1.1 500 ")
        another = connect()
        another.sendall(b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive_response(another)[1] == b"good"
    logged = capsys.readouterr().err
    assert "GET /bad from 127.0.0.1: the application failed" in logged
    assert "Traceback" in logged
    assert "connection.py" not in logged or fault in ("not bytes", "before start")


def test_draining_closes_idle_connections_and_finishes_the_rest(threads: int) -> None:
    entered, leave = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            entered.set()
            leave.wait(TIMEOUT)
        start_response("200 OK", [])
        return [b"done"]

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    engine = Engine(application, WorkerConfig(threads=threads))
    engine.add_listener(listener)
    address = listener.getsockname()
    finished: list[bool] = []
    thread = threading.Thread(target=lambda: finished.append(engine.run()))
    thread.start()
    with (
        socket.create_connection(address, TIMEOUT) as idle,
        socket.create_connection(address, TIMEOUT) as busy,
    ):
        for path, client in ((b"/", idle), (b"/slow", busy)):
            client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            if client is idle:
                receive_response(idle)
        assert entered.wait(TIMEOUT)
        engine.call_soon(lambda: engine.drain(TIMEOUT))
        if threads > 1:
            assert idle.recv(1) == b""
        leave.set()
        head, body = receive_response(busy)
        assert body == b"done"
        # Inline, the call was over before the loop could hear of the end.
        assert (b"Connection: close" in head) == (threads > 1)
        assert busy.recv(1) == b""
        assert idle.recv(1) == b""
    thread.join(TIMEOUT)
    engine.close()
    assert finished == [True]


def test_what_turns_out_to_be_no_request_does_not_hold_the_end_up(threads: int) -> None:
    engines: list[Engine] = []
    with served(echo, threads, on_engine=engines.append) as connect:
        client = connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        receive_response(client)

        def drain() -> None:
            client.sendall(b"\r\n")  # in the loop's thread: it has not read that
            engines[0].drain(1000.0)

        engines[0].call_soon(drain)
        assert client.recv(1) == b""


def test_a_drain_whose_time_is_up_says_what_it_gave_up() -> None:
    entered, leave = threading.Event(), threading.Event()

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        entered.set()
        leave.wait(TIMEOUT)
        start_response("200 OK", [])
        return [b"done"]

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    engine = Engine(application, WorkerConfig(threads=2))
    engine.add_listener(listener)
    address = listener.getsockname()
    finished: list[bool] = []
    thread = threading.Thread(target=lambda: finished.append(engine.run()))
    thread.start()
    with socket.create_connection(address, TIMEOUT) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert entered.wait(TIMEOUT)
        engine.call_soon(lambda: engine.drain(0.05))
        thread.join(TIMEOUT)
        assert finished == [False]
        assert engine.close(timeout=0) is False
        leave.set()
        assert engine.close(timeout=TIMEOUT) is True
