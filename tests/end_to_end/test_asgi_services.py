"""Static files, the access log and time-outs around ASGI applications."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from .applications import ONE_PROCESS, write_application
from .coachman_serve import CoachmanServe
from .conftest import Curl
from .gate import WAIT_AT_GATE, Gate
from .raw_client import RawClient

APPLICATION = (
    WAIT_AT_GATE,
    """
    import asyncio

    async def application(scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError
        path = scope["path"]
        if path == "/stuck":
            wait_at_gate()  # the loop as well
        elif path == "/patient":
            await wait_patiently()
        elif path == "/fail":
            raise LookupError("oh")
        elif path == "/nothing":
            return
        elif path == "/body":
            while (await receive()).get("more_body"):
                pass
        elif path == "/until-the-client-goes":
            while (await receive())["type"] != "http.disconnect":
                pass
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if path == "/events":
            await send({"type": "http.response.body", "body": b"first ", "more_body": True})
            await asyncio.get_running_loop().run_in_executor(None, wait_at_gate)
        await send({"type": "http.response.body", "body": b"application " + path.encode()})

    async def wait_patiently():
        await asyncio.Event().wait()
    """,
)
LARGE = random.Random(2).randbytes(8 * 1024 * 1024)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoachmanServe]:
    folder = tmp_path_factory.mktemp("site")
    write_application(folder, *APPLICATION)
    (folder / "secret").write_text("secret")
    (folder / "public").mkdir()
    (folder / "public" / "large.bin").write_bytes(LARGE)
    (folder / "public" / "hello.txt").write_text("0123456789")
    (folder / "public" / "link").symlink_to("../secret")
    options = ("--static", "/assets=public", "--access-log", "common", "--max-body-size", "10")
    with CoachmanServe(".", *ONE_PROCESS, *options, folder=folder) as server:
        yield server


def test_curl_fetches_and_resumes_a_large_file(server: CoachmanServe, curl: Curl, tmp_path: Path) -> None:
    target, url = tmp_path / "large.bin", f"{server.url}/assets/large.bin"
    target.write_bytes(LARGE[:1_000_001])
    curl("--continue-at", "-", "--output", str(target), url)
    assert target.read_bytes() == LARGE
    assert curl("--range", "2-4", f"{server.url}/assets/hello.txt") == b"234"
    assert curl("--http1.0", f"{server.url}/assets/hello.txt") == b"0123456789"


@pytest.mark.parametrize("target", ["/assets/link", "/assets/%2e%2e/secret", "/assets/missing", "/other"])
def test_the_application_gets_what_is_no_file(server: CoachmanServe, target: str) -> None:
    with RawClient(server.url) as client:
        client.get(target)
        assert client.answer().body.startswith(b"application /")


def test_clients_that_read_slowly_or_leave_hold_nobody_up(server: CoachmanServe) -> None:
    clients = [RawClient(server.url) for _ in range(20)]
    try:
        for client in clients:
            client.get("/assets/large.bin")
            assert client.sock.recv(1) == b"H"
        with RawClient(server.url) as quick:
            for target, body in (("/assets/hello.txt", b"0123456789"), ("/x", b"application /x")):
                quick.get(target)
                assert quick.answer().body == body
    finally:
        for client in clients:
            client.sock.close()


def test_a_line_says_how_it_went(server: CoachmanServe) -> None:
    with RawClient(server.url) as client:
        client.send(b"GET /logged?a HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine-1\r\n\r\n")
        assert client.answer().headers["x-request-id"] == "mine-1"
    server.wait_for_output(
        r'access: 127\.0\.0\.1 .* "GET /logged\?a HTTP/1\.1" 200 19 \d\.\d{6} \d+ mine-1\n'
    )


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (b"GET /fail HTTP/1.1\r\nHost: x\r\n\r\n", '"GET /fail HTTP/1\\.1" 500 26 '),
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", '"GET /nothing HTTP/1\\.1" 500 26 '),
        (b"GET /refused HTTP/1.1\r\n\r\n", '"-" 400 16 '),
        (
            b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"8\r\n12345678\r\n8\r\n12345678\r\n",
            '"POST /body HTTP/1\\.1" 413 22 ',
        ),
    ],
    ids=["failed", "no answer", "no request", "body too large"],
)
def test_what_is_answered_without_the_application_has_its_line(
    server: CoachmanServe, sent: bytes, line: str
) -> None:
    before = len(server.output())
    with RawClient(server.url) as client:
        client.send(sent)
        answer = client.answer()
    server.wait_for_output(rf"access: 127\.0\.0\.1 .* {line}", after=before)
    assert f" {answer.status} {len(answer.body)} " in line
    assert line.startswith('"-"') == (f' "-" {answer.status} ' in server.output()[before:])


@pytest.mark.parametrize("path", ["/stuck", "/patient"])
def test_a_request_that_takes_too_long_is_answered_and_explained(tmp_path: Path, path: str) -> None:
    write_application(tmp_path, *APPLICATION)
    options = ("--request-timeout", "0.3", "--drain-timeout", "0.2")
    with (
        Gate(tmp_path) as gate,
        CoachmanServe(".", *ONE_PROCESS, *options, folder=tmp_path, environment=gate.environment) as server,
    ):
        (pid,) = server.ready_workers(1)
        with RawClient(server.url) as client:
            client.get(path)
            answer = client.answer()
            assert answer.status == 504
            assert client.read_to_end() == b""
        server.wait_for_output(rf"worker 1 \(pid {pid}\): GET {path} from 127\.0\.0\.1 has been in the app")
        function = {"/stuck": "wait_at_gate", "/patient": "wait_patiently"}[path]
        server.wait_for_output(rf'App {pid} stacks:   File ".*wsgi\.py", line \d+, in {function}')
        server.wait_for_output(r"worker 2 \(pid (\d+)\) is ready")
        server.wait_for_output(rf"worker 1 \(pid {pid}\) ended with .* it had to give up GET {path} ")


def test_a_response_that_has_begun_may_take_its_time(tmp_path: Path) -> None:
    write_application(tmp_path, *APPLICATION)
    with (
        Gate(tmp_path) as gate,
        CoachmanServe(
            ".", *ONE_PROCESS, "--request-timeout", "0.2", folder=tmp_path, environment=gate.environment
        ) as server,
        RawClient(server.url) as patient,
        RawClient(server.url) as late,
    ):
        patient.get("/events")
        gate.wait_for_arrival()
        late.get("/until-the-client-goes")  # and no longer, or the worker would wait for it in the end
        assert late.answer().status == 504  # so the time of the other one was up as well
        gate.open()
        assert patient.answer().body == b"first application /events"
