"""Static files, the access log and time-outs of the WSGI engine, on real sockets."""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import os
import queue
import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from coachman.config.model import AccessLogFormat, WorkerConfig
from coachman.protocol.access_log import Access
from coachman.protocol.handoff import MAX_SIZE
from coachman.protocol.scoreboard import view_of
from coachman.protocol.static.ranges import Span
from coachman.worker.access_log import TOGETHER, AccessLog
from coachman.worker.late_answer import LATE_BODY
from coachman.worker.services import Services, make_services
from coachman.worker.static.files import StaticAnswer
from coachman.worker.watchdog import Watchdog, Watched
from coachman.worker.wsgi.engine import Application, Engine
from coachman.worker.wsgi.outbox import PendingFile
from coachman.worker.wsgi.request import Request
from coachman.worker.wsgi.static_answers import pending_part

from .served import TIMEOUT, receive_all, receive_exactly, receive_response, served
from .worker_group import Group

Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], None]]

CONTENT = os.urandom(5_000_000)


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def public(tmp_path: Path) -> Path:
    folder = tmp_path / "public"
    folder.mkdir()
    (folder / "small.txt").write_bytes(b"small")
    (folder / "large.bin").write_bytes(CONTENT)
    return folder


@pytest.fixture
def files(public: Path) -> Services:
    services = make_services(WorkerConfig(static={"/s": str(public)}), None, lambda fd: None)
    assert services is not None
    return services


def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"application " + environ["PATH_INFO"].encode()]


def ask(client: socket.socket, target: str, method: str = "GET", **headers: str) -> None:
    lines = [f"{method} {target} HTTP/1.1", "Host: x"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    client.sendall("\r\n".join([*lines, "", ""]).encode())


# Static files.


def test_files_and_the_application_share_a_connection(threads: int, files: Services) -> None:
    with served(application, threads, services=files) as connect:
        client = connect()
        for _ in range(3):
            ask(client, "/s/small.txt")
            assert receive_response(client)[1] == b"small"
            ask(client, "/s/large.bin")
            assert receive_response(client)[1] == CONTENT
            ask(client, "/s/missing")
            assert receive_response(client)[1] == b"application /s/missing"


def test_pipelined_requests_for_files_and_the_application_are_answered_in_order(
    threads: int, files: Services
) -> None:
    with served(application, threads, services=files) as connect:
        client = connect()
        targets = ["/s/large.bin", "/a", "/s/small.txt", "/s/small.txt", "/b", "/s/large.bin"]
        client.sendall(b"".join(f"GET {t} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for t in targets))
        found = [receive_response(client)[1] for _ in targets]
        assert found == [CONTENT, b"application /a", b"small", b"small", b"application /b", CONTENT]


def test_several_ranges_come_in_one_body(threads: int, files: Services) -> None:
    with served(application, threads, services=files) as connect:
        client = connect()
        ask(client, "/s/large.bin", range="bytes=10-2000009,-5")
        head, body = receive_response(client)
        assert head.startswith(b"HTTP/1.1 206 ")
        assert CONTENT[10:2000010] in body
        assert body.rstrip().endswith(b"--")
        assert body.count(b"Content-Range: ") == 2
        ask(client, "/s/small.txt")
        assert receive_response(client)[1] == b"small"


def test_ranges_that_cannot_all_be_sent_leave_no_descriptor_open(
    threads: int, files: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []

    def failing(part: bytes | Span, fd: int) -> bytes | PendingFile:
        made.append(part)
        if len(made) == 4:
            raise OSError(errno.EMFILE, "as if there were no more")
        return pending_part(part, fd)

    monkeypatch.setattr("coachman.worker.wsgi.static_answers.pending_part", failing)
    with served(application, threads, services=files) as connect:
        client = connect()
        ask(client, "/s/large.bin", range="bytes=10-1000009,-1000000")
        assert receive_all(client) == b""
    assert [isinstance(part, Span) for part in made] == [False, True, False, True]


def test_many_pipelined_requests_for_files_hold_few_of_them_open(
    threads: int, files: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert files.static is not None
    find = files.static.answer
    answers: list[StaticAnswer] = []
    most_open = 0

    def counted(*args: Any) -> StaticAnswer | None:
        nonlocal most_open
        answer = find(*args)
        if answer is not None:
            answers.append(answer)
        most_open = max(most_open, sum(answer.fd >= 0 for answer in answers))
        return answer

    monkeypatch.setattr(files.static, "answer", counted)
    with served(application, threads, services=files) as connect:
        client = connect()
        client.sendall(b"GET /s/small.txt HTTP/1.1\r\nHost: x\r\n\r\n" * 300)
        for _ in range(300):
            assert receive_response(client)[1] == b"small"
    assert most_open <= 16


def test_an_answer_without_a_body_leaves_the_connection_in_step(threads: int, files: Services) -> None:
    with served(application, threads, services=files) as connect:
        client = connect()
        ask(client, "/s/large.bin", method="HEAD")
        head = receive_exactly(client, 1)
        while not head.endswith(b"\r\n\r\n"):
            head += receive_exactly(client, 1)
        assert f"Content-Length: {len(CONTENT)}".encode() in head
        etag = head.partition(b"ETag: ")[2].partition(b"\r\n")[0].decode()
        ask(client, "/s/large.bin", if_none_match=etag)
        ask(client, "/s/small.txt")
        answers = receive_exactly(client, 12)
        assert answers == b"HTTP/1.1 304"
        while not answers.endswith(b"\r\n\r\n"):
            answers += receive_exactly(client, 1)
        assert receive_response(client)[1] == b"small"


def test_a_client_that_reads_a_file_slowly_holds_nobody_up(threads: int, files: Services) -> None:
    with served(application, threads, services=files) as connect:
        slow = [connect() for _ in range(5)]
        for client in slow:
            ask(client, "/s/large.bin")
            assert client.recv(1) == b"H"
        quick = connect()
        for target, body in (("/s/small.txt", b"small"), ("/x", b"application /x")):
            ask(quick, target)
            assert receive_response(quick)[1] == body
        head = b"H"
        while not head.endswith(b"\r\n\r\n"):
            head += slow[0].recv(1)
        assert receive_exactly(slow[0], len(CONTENT)) == CONTENT
        # The others leave in the middle: their files are closed, or the fixture would tell.


def test_files_are_served_while_all_threads_are_busy(files: Services) -> None:
    meeting, leave = threading.Barrier(3, timeout=TIMEOUT), threading.Event()

    def busy(environ: Environ, start_response: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/busy":
            meeting.wait()
            assert leave.wait(TIMEOUT)
        return application(environ, start_response)

    with served(busy, 2, services=files) as connect:
        clients, quick, waiting = [connect() for _ in range(2)], connect(), connect()
        for client in (quick, waiting):  # they are accepted while there is nothing else to do
            ask(client, "/x")
            assert receive_response(client)[1] == b"application /x"
        for client in clients:
            ask(client, "/busy")
        meeting.wait()
        ask(waiting, "/s/missing")  # which has to wait for a thread
        for target, body in (
            ("/s/small.txt", b"small"),
            ("/s/large.bin", CONTENT),
            ("/s/small.txt", b"small"),
        ):
            ask(quick, target)
            assert receive_response(quick)[1] == body
        leave.set()
        for client in clients:
            assert receive_response(client)[1] == b"application /busy"
        assert receive_response(waiting)[1] == b"application /s/missing"


def test_a_file_that_shrinks_breaks_its_response_off(threads: int, files: Services, public: Path) -> None:
    with served(application, threads, services=files) as connect:
        client = connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        ask(client, "/s/large.bin")
        assert client.recv(1) == b"H"
        os.truncate(public / "large.bin", 10)
        assert len(receive_all(client)) < len(CONTENT)


def test_a_small_file_that_shrinks_ends_the_connection(
    threads: int, files: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("coachman.worker.wsgi.static_answers.os.pread", lambda fd, size, start: b"")
    with served(application, threads, services=files) as connect:
        client = connect()
        ask(client, "/s/small.txt")
        assert receive_all(client) == b""
    assert "became shorter" in capsys.readouterr().err


def test_the_absolute_form_of_a_target_leads_to_a_file_as_well(threads: int, files: Services) -> None:
    with served(application, threads, services=files) as connect:
        client = connect()
        ask(client, "http://x/s/small.txt?v=1")
        assert receive_response(client)[1] == b"small"


# The access log.


@contextmanager
def logging(application: Application, threads: int, **more: Any) -> Iterator[tuple[Any, Callable[[], Any]]]:
    """Serve with an access log; give a function that connects, and one that reads the next line."""
    ends: list[int] = []
    config = WorkerConfig(access_log=AccessLogFormat.JSON, **more)
    services = make_services(config, None, lambda fd: ends.append(os.dup(fd)))
    assert services is not None
    with open(ends[0], "rb") as lines:
        try:
            with served(application, threads, config, services) as connect:
                yield connect, lambda: json.loads(lines.readline())
        finally:
            services.close()


def test_a_kept_connection_keeps_no_request_that_was_answered(threads: int) -> None:
    with logging(application, threads) as (connect, next_line):
        client = connect()
        before = requests_in_memory()
        for _ in range(20):
            ask(client, "/")
            receive_response(client)
            next_line()
        assert requests_in_memory() <= before + 1  # the last one may be in hand still


def requests_in_memory() -> int:
    gc.collect()
    return sum(type(value) is Request for value in gc.get_objects())


def test_every_request_has_a_line(threads: int, public: Path) -> None:
    with logging(application, threads, static={"/s": str(public)}) as (connect, next_line):
        client = connect()
        ask(client, "/a?b", user_agent="u", referer="r")
        receive_response(client)
        line = next_line()
        assert (line["method"], line["target"], line["protocol"]) == ("GET", "/a?b", "HTTP/1.1")
        assert (line["status"], line["bytes"]) == (200, len("application /a"))
        assert (line["peer"], line["user_agent"], line["referer"]) == ("127.0.0.1", "u", "r")
        assert line["pid"] == os.getpid()
        ask(client, "/s/large.bin", range="bytes=0-1999999")
        receive_response(client)
        line = next_line()
        assert (line["status"], line["bytes"]) == (206, 2_000_000)
        ask(client, "/f", X_Forwarded_For="nonsense, from a proxy")
        ask(client, "/not-any-more")
        receive_all(client)
        line = next_line()
        assert (line["status"], line["target"]) == (400, "/f")
        client = connect()
        client.sendall(b"\0 nonsense\r\n\r\n")
        receive_all(client)
        line = next_line()
        assert (line["status"], line["method"], line["target"]) == (400, None, None)


@pytest.mark.parametrize("kind", ["streamed", "failing", "breaking", "written"])
def test_what_the_application_does_shows_in_the_line(
    threads: int, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def difficult(environ: Environ, start_response: Start) -> Iterable[bytes]:
        if kind == "failing":
            raise LookupError("oh")
        write = start_response("202 Accepted", [("Content-Length", "6")])
        if kind == "written":
            write(b"foobar")
            return []
        return blocks()

    def blocks() -> Iterator[bytes]:
        yield b"foo"
        if kind == "breaking":
            raise LookupError("oh")
        yield b"bar"

    with logging(difficult, threads) as (connect, next_line):
        client = connect()
        ask(client, "/", Connection="close")
        receive_all(client)
        line = next_line()
        expected = {"streamed": (202, 6), "failing": (500, 26), "breaking": (202, 3), "written": (202, 6)}
        assert (line["status"], line["bytes"]) == expected[kind]


def test_a_client_that_leaves_has_a_line_too(threads: int) -> None:
    def endless(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        return iter(lambda: b"x" * 100_000, b"")

    with logging(endless, threads) as (connect, next_line):
        client = connect()
        ask(client, "/")
        client.recv(1)
        client.close()
        assert next_line()["status"] == 200


def test_the_line_names_the_client_that_a_trusted_proxy_has_told_of(threads: int, public: Path) -> None:
    with logging(application, threads, static={"/s": str(public)}) as (connect, next_line):
        client = connect()
        for target in ("/a", "/s/small.txt"):
            ask(client, target, X_Forwarded_For="192.0.2.7")
            receive_response(client)
            assert next_line()["peer"] == "192.0.2.7"


def test_the_application_and_the_client_get_the_id_that_is_logged(threads: int) -> None:
    seen: list[str] = []

    def identified(environ: Environ, start_response: Start) -> Iterable[bytes]:
        seen.append(environ["HTTP_X_REQUEST_ID"])
        own = [("x-request-id", "own")] if environ["PATH_INFO"] == "/own" else []
        start_response("200 OK", [("Content-Length", "0"), *own])
        return [b""]

    with logging(identified, threads) as (connect, next_line):
        client = connect()
        ask(client, "/")
        made = receive_response(client)[0].partition(b"X-Request-Id: ")[2].partition(b"\r\n")[0].decode()
        ask(client, "/", X_Request_Id="given-1")
        assert b"X-Request-Id: given-1\r\n" in receive_response(client)[0]
        ask(client, "/own", X_Request_Id="given 2")  # no sound one
        head = receive_response(client)[0]
        assert b"x-request-id: own\r\n" in head
        assert b"X-Request-Id" not in head
        assert seen[:2] == [made, "given-1"]
        assert seen[2] not in (made, "given 2")
        assert [next_line()["request_id"] for _ in range(3)] == seen


def test_an_id_of_a_stranger_is_replaced(threads: int) -> None:
    with logging(application, threads, trusted_proxies=("192.0.2.1",)) as (connect, next_line):
        client = connect()
        ask(client, "/", X_Request_Id="strangers")
        head = receive_response(client)[0]
        request_id = next_line()["request_id"]
        assert request_id != "strangers"
        assert f"\r\nX-Request-Id: {request_id}\r\n".encode() in head


@pytest.mark.parametrize("kind", ["failing", "no request of one"])
def test_who_is_answered_for_the_application_is_told_the_id_as_well(threads: int, kind: str) -> None:
    def failing(environ: Environ, start_response: Start) -> Iterable[bytes]:
        raise LookupError("oh")

    with logging(failing, threads) as (connect, next_line):
        client = connect()
        more = {} if kind == "failing" else {"X_Forwarded_For": "nonsense, from a proxy"}
        ask(client, "/", X_Request_Id="given-1", **more)
        head, _ = receive_response(client)
        assert head.startswith(b"HTTP/1.1 500 " if kind == "failing" else b"HTTP/1.1 400 ")
        assert head.count(b"X-Request-Id: given-1\r\n") == 1
        assert next_line()["request_id"] == "given-1"


def test_what_is_no_request_is_not_answered_with_the_id_of_the_one_before(threads: int) -> None:
    with logging(application, threads) as (connect, _):
        client = connect()
        ask(client, "/", X_Request_Id="given-1")
        receive_response(client)
        client.sendall(b"\0 nonsense\r\n\r\n")
        assert b"X-Request-Id" not in receive_all(client)


# Time-outs.


class Timed:
    """Services with a watchdog, what it has found, and an application that can be made to take too long."""

    def __init__(self, config: WorkerConfig | None = None) -> None:
        self.found: queue.Queue[tuple[str, bool]] = queue.Queue()
        self.watchdog = Watchdog(1000.0, self._on_timed_out)
        self._ends: list[int] = []
        services = make_services(config or WorkerConfig(), self.watchdog, self._keep)
        assert services is not None
        self.services = services
        self.watchdog.start()
        self._stuck, self._leave = threading.Event(), threading.Event()
        self.left = threading.Event()

    def get_stuck(self) -> None:
        """What the application calls."""
        self._stuck.set()
        assert self._leave.wait(TIMEOUT)

    def wait_until_stuck(self) -> None:
        """Wait until the application is."""
        assert self._stuck.wait(TIMEOUT)

    def run_out(self) -> tuple[str, bool]:
        """Let the time of what is stuck be up; return what the watchdog has done about it."""
        self.wait_until_stuck()
        self.watchdog._timeout = 0.0
        self.watchdog._wake.set()
        found = self.found.get(timeout=TIMEOUT)
        self.watchdog._timeout = 1000.0
        return found

    def leave(self) -> None:
        """Let the application go on."""
        self._leave.set()

    def next_line(self) -> Any:
        """Return the next line of the access log."""
        with open(os.dup(self._ends[0]), "rb", buffering=0) as pipe:
            return json.loads(pipe.read(10_000))

    def close(self) -> None:
        self.watchdog.close()
        self.services.close()
        for fd in self._ends:
            os.close(fd)

    def _keep(self, fd: int) -> None:
        self._ends.append(os.dup(fd))

    def _on_timed_out(self, request: Watched, since: float, thread: int) -> Callable[[], None]:
        line, answered = request.describe_request(), request.answer_late()
        return lambda: self.found.put((line, answered))


@pytest.fixture
def timed() -> Iterator[Timed]:
    timed = Timed(WorkerConfig(access_log=AccessLogFormat.JSON))
    yield timed
    timed.close()


@pytest.mark.parametrize("where", ["in the call", "before the first block", "before the first write"])
def test_an_application_that_takes_too_long_is_answered_for(threads: int, timed: Timed, where: str) -> None:
    def slow(environ: Environ, start_response: Start) -> Iterable[bytes]:
        write = start_response("200 OK", [("Content-Length", "4")])
        if where == "before the first block":
            return blocks()
        try:
            timed.get_stuck()
            if where == "before the first write":
                write(b"late")
            return [b"late"]
        finally:
            timed.left.set()

    def blocks() -> Iterator[bytes]:
        try:
            timed.get_stuck()
            yield b"late"
        finally:
            timed.left.set()

    with served(slow, threads, services=timed.services) as connect:
        client = connect()
        ask(client, "/slow", x_request_id="a-1")
        assert timed.run_out() == ("GET /slow from 127.0.0.1 (request id a-1)", True)
        head, body = receive_response(client)
        assert head.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
        assert b"\r\nx-request-id: a-1\r\n" in head
        assert body == LATE_BODY
        assert client.recv(1) == b""  # and nothing follows, whatever the application still says
        line = timed.next_line()
        assert (line["status"], line["bytes"]) == (504, len(LATE_BODY))
        timed.leave()
        assert timed.left.wait(TIMEOUT)


def test_a_late_answer_to_head_has_no_body(threads: int, timed: Timed) -> None:
    def slow(environ: Environ, start_response: Start) -> Iterable[bytes]:
        timed.get_stuck()
        return application(environ, start_response)

    with served(slow, threads, services=timed.services) as connect:
        client = connect()
        ask(client, "/slow", method="HEAD")
        timed.run_out()
        answer = receive_all(client)
        assert answer.startswith(b"HTTP/1.1 504 ")
        assert answer.endswith(b"\r\n\r\n")
        timed.leave()


def test_what_has_begun_is_broken_off_and_not_answered_twice(threads: int, timed: Timed) -> None:
    def slow(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        yield b"the beginning"
        timed.get_stuck()
        yield b"the end"

    with served(slow, threads, services=timed.services) as connect:
        client = connect()
        ask(client, "/slow", x_request_id="a-1")
        assert timed.run_out() == ("GET /slow from 127.0.0.1 (request id a-1)", False)
        answer = receive_all(client)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"the beginning" in answer
        assert b"504 Gateway" not in answer
        assert not answer.endswith(b"0\r\n\r\n")
        timed.leave()


def test_an_application_that_gets_stuck_after_a_write_is_found_as_well(threads: int, timed: Timed) -> None:
    def slow(environ: Environ, start_response: Start) -> Iterable[bytes]:
        write = start_response("200 OK", [("Content-Length", "20")])
        write(b"the beginning")
        timed.get_stuck()
        return [b"the end"]

    with served(slow, threads, services=timed.services) as connect:
        client = connect()
        ask(client, "/slow", x_request_id="a-1")
        assert timed.run_out() == ("GET /slow from 127.0.0.1 (request id a-1)", False)
        assert receive_all(client).endswith(b"the beginning")
        timed.leave()


def test_each_block_has_the_whole_time(threads: int, timed: Timed) -> None:
    since: list[float] = []

    def steady(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("200 OK", [])
        for _ in range(5):
            since.extend(began for _, began, _ in timed.watchdog.running())
            yield b"block "

    with served(steady, threads, services=timed.services) as connect:
        client = connect()
        ask(client, "/", Connection="close")
        assert receive_all(client).count(b"block ") == 5
    assert len(set(since)) == 5
    assert timed.watchdog.running() == []


def test_what_comes_in_time_is_left_alone(threads: int, timed: Timed) -> None:
    with served(application, threads, services=timed.services) as connect:
        client = connect()
        for _ in range(200):
            ask(client, "/x")
            assert receive_response(client)[1] == b"application /x"
    assert timed.watchdog.running() == []
    assert timed.found.empty()


@pytest.mark.parametrize("end", ["returns", "yields", "fails", "fails when it is closed", "stays"])
def test_a_request_that_was_answered_late_counts_once_with_what_it_was_answered(
    threads: int, timed: Timed, end: str
) -> None:
    def slow(environ: Environ, start_response: Start) -> Iterable[bytes]:
        if end in ("yields", "fails when it is closed"):
            return blocks(start_response)
        timed.get_stuck()
        if end == "fails":
            raise LookupError("oh")
        return application(environ, start_response)

    def blocks(start_response: Start) -> Iterator[bytes]:
        try:
            timed.get_stuck()
            start_response("200 OK", [])
            yield b"late"
        finally:
            if end != "yields":
                raise LookupError("oh")

    engines: list[Engine] = []
    with served(slow, threads, services=timed.services, on_engine=engines.append) as connect:
        client = connect()
        ask(client, "/slow")
        timed.run_out()
        cells = engines[0].tally.cells
        seen = view_of(cells.tolist())
        assert seen.counters.statuses == (0, 0, 0, 0, 1)
        assert seen.counters.requests == sum(seen.counters.durations) == 1
        assert (seen.in_flight, seen.request_line) == (1, b"GET /slow"), "it is in the application still"
        timed.leave()
        assert receive_all(client).startswith(b"HTTP/1.1 504 ")
    seen = view_of(cells.tolist())
    assert seen.counters.statuses == (0, 0, 0, 0, 1)
    assert seen.counters.requests == sum(seen.counters.durations) == 1
    assert (seen.in_flight, seen.oldest_start) == (0, None)


def test_a_response_that_was_broken_off_late_counts_with_the_status_that_was_sent(
    threads: int, timed: Timed
) -> None:
    def slow(environ: Environ, start_response: Start) -> Iterable[bytes]:
        start_response("206 Partial Content", [])
        yield b"the beginning"
        timed.get_stuck()

    engines: list[Engine] = []
    with served(slow, threads, services=timed.services, on_engine=engines.append) as connect:
        ask(connect(), "/slow")
        timed.run_out()
        assert view_of(engines[0].tally.cells.tolist()).counters.statuses == (0, 1, 0, 0, 0)
        timed.leave()


def test_what_was_answered_late_does_not_hold_the_end_up(timed: Timed) -> None:
    entered = threading.Event()
    let_go = threading.Event()

    def sometimes(environ: Environ, start_response: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/stuck":
            timed.get_stuck()
        else:
            entered.set()
            assert let_go.wait(TIMEOUT)
        return application(environ, start_response)

    engine = Engine(sometimes, WorkerConfig(threads=2), timed.services)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    address = listener.getsockname()
    engine.add_listener(listener)
    ended: queue.Queue[bool] = queue.Queue()
    thread = threading.Thread(target=lambda: ended.put(engine.run()))
    thread.start()
    with socket.create_connection(address, TIMEOUT) as stuck, socket.create_connection(address) as other:
        ask(stuck, "/stuck")
        timed.run_out()
        other.settimeout(TIMEOUT)
        ask(other, "/other")
        assert entered.wait(TIMEOUT)
        engine.call_soon(lambda: engine.drain(1000.0))
        let_go.set()
        assert receive_response(other)[1] == b"application /other"
        assert other.recv(1) == b""
        assert ended.get(timeout=TIMEOUT) is False, "something was given up"
        assert not engine.close(timeout=0.0)
        timed.leave()
    thread.join(TIMEOUT)
    assert engine.close(TIMEOUT)


def test_others_leave_a_loop_that_is_stuck_those_first_who_wait_for_an_answer(timed: Timed) -> None:
    def sometimes(environ: Environ, start_response: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/stuck":
            timed.get_stuck()
        return application(environ, start_response)

    group = Group()
    try:
        worker = group.worker(1, listens=False)
        worker.engine.application = sometimes
        worker.do(lambda: worker.engine.use_services(timed.services))
        worker.listen(group.listener)
        idle, asking, stuck = (group.connect() for _ in range(3))
        for client in (idle, asking):
            ask(client, "/")
            receive_response(client)
        ask(stuck, "/stuck")
        timed.wait_until_stuck()
        asking.sendall(b"GET /again ")
        assert timed.run_out()[1]
        assert worker.handed_over == 2, "and not the stuck one"
        for beginning in (b"GET /again ", b""):
            taken = group.queue.take(MAX_SIZE)
            assert taken is not None
            with taken[0] as sock:
                assert peek(sock) == beginning
        timed.leave()
        assert receive_all(stuck).startswith(b"HTTP/1.1 504 ")
    finally:
        timed.leave()
        group.close()


def peek(sock: socket.socket) -> bytes:
    try:
        return sock.recv(100, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


def test_other_requests_go_on_beside_a_stuck_one(timed: Timed) -> None:
    def sometimes(environ: Environ, start_response: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/stuck":
            timed.get_stuck()
        return application(environ, start_response)

    with served(sometimes, 2, services=timed.services) as connect:
        stuck, other = connect(), connect()
        ask(stuck, "/stuck")
        assert timed.run_out()[1]
        ask(other, "/other")
        assert receive_response(other)[1] == b"application /other"
        timed.leave()


# The access log's pipe, where it is full.


@pytest.fixture
def full_log() -> Iterator[tuple[Services, int]]:
    """Services with an access log whose pipe is small, and the end of that to read from."""
    ends: list[int] = []
    config = WorkerConfig(access_log=AccessLogFormat.COMMON)
    services = make_services(config, None, lambda fd: ends.append(os.dup(fd)))
    assert services is not None
    fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, 4096)
    yield services, ends[0]
    os.close(ends[0])


FILLING = TOGETHER * 10
"""Lines that are more than the pipe takes."""


def fill(log: AccessLog) -> None:
    for _ in range(FILLING):
        log.add(Access("", "GET", "/", "HTTP/1.1", 200, 1, 1, 1, "", "", ""))


def test_the_last_lines_may_find_the_pipe_full_after_the_end_of_the_engine(
    full_log: tuple[Services, int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coachman.worker.access_log.CLOSING_SECONDS", 0.01)
    services, _ = full_log
    engine = Engine(application, WorkerConfig(), services)
    engine.close()
    assert services.access_log is not None
    fill(services.access_log)
    services.close()
    assert "lines of the access log are lost" in capsys.readouterr().err


def test_a_pipe_that_fills_while_the_loop_has_just_emptied_it_is_watched_again(
    full_log: tuple[Services, int],
) -> None:
    services, read_end = full_log
    log = services.access_log
    assert log is not None
    flush, found_full = log.flush, threading.Event()

    def flush_before_another_thread_does() -> bool:
        done = flush()
        if done and not found_full.is_set():
            fill(log)
            if not flush():  # as another thread does, before the loop goes on
                found_full.set()
        return done

    log.flush = flush_before_another_thread_does  # type: ignore[method-assign]
    with served(application, 1, services=services):
        fill(log)
        assert flush() is False
        first = receive_lines(read_end, FILLING)
        assert found_full.wait(TIMEOUT)  # nobody reads meanwhile
        receive_lines(read_end, 2 * FILLING - first)
    services.close()


def receive_lines(read_end: int, count: int) -> int:
    """Take so many lines or a few more; return how many."""
    received = 0
    while received < count:
        assert select.select([read_end], [], [], TIMEOUT)[0], f"{received} lines of {count} came"
        received += os.read(read_end, 4096).count(b"\n")
    return received


def test_a_signal_that_comes_when_the_loop_is_closed_finds_nothing_to_do() -> None:
    engine = Engine(application, WorkerConfig())
    engine.close()
    engine.call_soon(pytest.fail)
