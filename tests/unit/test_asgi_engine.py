"""The ASGI engine: requests, responses, their order, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
from websockets.exceptions import InvalidStatus

from coachman.config.model import WorkerConfig
from coachman.protocol.scoreboard import view_of
from coachman.unix.scoreboard import private_cells
from coachman.worker.asgi.engine import AsgiEngine

from .asgi_serving import (
    TIMEOUT,
    Receive,
    Scope,
    Send,
    answer,
    echo,
    read_body,
    receive_all,
    receive_exactly,
    receive_response,
    receive_through,
    served,
)


def test_a_connection_carries_one_request_after_the_other() -> None:
    with served(echo) as serving:
        client = serving.connect()
        for number in range(20):
            client.sendall(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
            head, body = receive_response(client)
            assert body == b"/%d " % number
            assert b"date: " in head
            assert b"server: " not in head


def test_pipelined_requests_are_answered_in_order() -> None:
    with served(echo) as serving:
        client = serving.connect()
        client.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(50)))
        assert [receive_response(client)[1] for _ in range(50)] == [b"/%d " % n for n in range(50)]


def test_bodies_come_whole_by_length_and_in_chunks() -> None:
    with served(echo) as serving:
        client = serving.connect()
        data = b"x" * 1_000_000
        client.sendall(b"POST /l HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        assert receive_response(client)[1] == b"/l " + data
        client.sendall(b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.sendall(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert receive_response(client)[1] == b"/c abcde"


def test_continue_comes_when_the_application_reads() -> None:
    with served(echo) as serving:
        client = serving.connect()
        client.sendall(b"POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert receive_exactly(client, len(interim)) == interim
        client.sendall(b"abc")
        assert receive_response(client)[1] == b"/p abc"


def test_bad_bytes_behind_good_requests_do_not_cost_their_answers() -> None:
    with served(echo) as serving:
        client = serving.connect()
        client.sendall(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGARBAGE / HTTP/1.1\r\n\r\n")
        assert receive_response(client)[1] == b"/1 "
        assert receive_all(client).startswith(b"HTTP/1.1 400 Bad Request")


def test_requests_of_many_clients_are_in_the_application_at_the_same_time() -> None:
    meeting = asyncio.Barrier(10)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await meeting.wait()
            await answer(send, b"met")

    with served(application) as serving:
        clients = [serving.connect() for _ in range(10)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert [receive_response(client)[1] for client in clients] == [b"met"] * 10


def test_an_offered_protocol_is_declined_and_the_body_is_not_the_next_request() -> None:
    with served(echo) as serving:
        client = serving.connect()
        smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        client.sendall(
            b"POST /p HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
            b"Content-Length: %d\r\n\r\n%bGET /next HTTP/1.1\r\nHost: x\r\n\r\n" % (len(smuggled), smuggled)
        )
        assert receive_response(client)[1] == b"/p " + smuggled
        assert receive_response(client)[1] == b"/next "


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://x/a?b", b"/a"),
        (b"HTTP://x", b"/"),
        (b"/%2Fa%20b", b"//a b"),
    ],
)
def test_targets_of_every_form_are_understood(target: bytes, path: bytes) -> None:
    with served(echo) as serving:
        client = serving.connect()
        client.sendall(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)
        assert receive_response(client)[1] == path + b" "


@pytest.mark.parametrize("target", [b"*", b"ftp://x/a", b"a"])
def test_other_targets_are_refused(target: bytes) -> None:
    with served(echo) as serving:
        client = serving.connect()
        client.sendall(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)
        assert receive_all(client).startswith(b"HTTP/1.1 400 ")


def test_a_tunnel_is_not_served() -> None:
    with served(echo) as serving:
        client = serving.connect()
        client.sendall(b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive_all(client).startswith(b"HTTP/1.1 501 ")


def test_an_old_peer_gets_a_body_without_chunks() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    with served(application) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        head, _, body = receive_all(client).partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert body == b"one two"


@pytest.mark.parametrize("fault", ["at once", "in the middle", "no response", "half a response"])
def test_a_failing_application_costs_its_own_request_only(
    fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/good":
            await answer(send, b"good")
            return
        if fault == "no response":
            return
        if fault == "at once":
            raise LookupError("oh")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"the beginning", "more_body": True})
        if fault == "in the middle":
            raise LookupError("oh")

    with served(application) as serving:
        client = serving.connect()
        client.sendall(b"GET /bad?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        received = receive_all(client)
        if fault in ("at once", "no response"):
            assert received.startswith(b"HTTP/1.1 500 ")
        else:
            assert b"the beginning" in received
            assert not received.endswith(b"0\r\n\r\n")
        another = serving.connect()
        another.sendall(b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive_response(another)[1] == b"good"
    logged = capsys.readouterr().err
    assert "GET /bad?x=1 from 127.0.0.1: the application " in logged
    assert logged.count("Traceback") == (1 if fault in ("at once", "in the middle") else 0)
    assert "http_connection.py" not in logged


def test_an_application_that_waits_for_what_was_cancelled_has_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        waiting = asyncio.get_running_loop().create_future()
        waiting.cancel()
        await waiting

    with served(application) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive_all(client).startswith(b"HTTP/1.1 500 ")
        with pytest.raises(InvalidStatus, match="500"):
            serving.connect_websocket()
    assert capsys.readouterr().err.count("the application failed") == 2


@pytest.mark.parametrize("status", [9999, "200", None])
def test_a_status_that_is_none_is_refused_when_it_is_given(
    status: object, capsys: pytest.CaptureFixture[str]
) -> None:
    started = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": status, "headers": []})
        finally:
            started.set()
            while (await receive())["type"] != "http.disconnect":
                pass

    with served(application) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert started.wait(TIMEOUT)
        client.close()
        serving.drain(1000.0)
        assert serving.wait() is True
    assert f"{status!r} is not a final status" in capsys.readouterr().err


def test_the_application_hears_when_the_client_goes() -> None:
    left = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    with served(application) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.close()
        assert left.wait(TIMEOUT)


def test_the_application_hears_when_the_client_of_a_pipelined_request_goes() -> None:
    left = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    with served(application) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        client.close()
        assert left.wait(TIMEOUT)


def test_a_slow_reader_gets_a_long_response_whole_and_others_go_on() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"x" * 20_000_000 if scope["path"] == "/long" else b"short")

    with served(application) as serving:
        slow, quick = serving.connect(), serving.connect()
        slow.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow.recv(1) == b"H"
        quick.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive_response(quick)[1] == b"short"
        receive_through(slow, b"\r\n\r\n")
        assert receive_exactly(slow, 20_000_000) == b"x" * 20_000_000


def test_the_scoreboard_has_what_happens() -> None:
    entered, leave = threading.Event(), threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            entered.set()
            while not leave.is_set():
                assert (await receive())["type"] == "http.request"
        await answer(send, status=404 if scope["path"] == "/missing" else 200)

    cells = private_cells()
    with served(application) as serving:
        serving.engine.cells = cells
        client, slow = serving.connect(), serving.connect()
        for path in (b"/", b"/missing"):
            client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            receive_response(client)
        slow.sendall(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
        assert entered.wait(TIMEOUT)
        seen = view_of(cells.tolist())
        assert (seen.in_flight, seen.connections) == (1, 2)
        assert seen.request_line == b"POST /slow"
        assert seen.oldest_start is not None
        assert seen.counters.requests == 2
        assert seen.counters.accepted == 2
        assert seen.counters.statuses == (0, 1, 0, 1, 0)
        assert sum(seen.counters.durations) == 2
        leave.set()
        slow.sendall(b"x")
        receive_response(slow)


def test_a_reader_that_fails_ends_the_engine() -> None:
    def fail() -> None:
        raise LookupError("of the reader")

    engine = AsgiEngine(echo, WorkerConfig())
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"x")
        engine.add_reader(ours.fileno(), fail)
        with pytest.raises(LookupError, match="of the reader"):
            engine.run()
        engine.remove_reader(ours.fileno())
    engine.close()
