"""curl as a client: what it does by itself (upgrades, expectations, connections) works with coachman."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from .applications import write_application
from .coachman_serve import CoachmanServe
from .conftest import Curl, Upload

APPLICATION = """
import hashlib

def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/large":
        return (b"x" * 100_000 for _ in range(100))
    port, method = environ["REMOTE_PORT"], environ["REQUEST_METHOD"]
    return [f"{port} {method} {len(body)} {hashlib.sha256(body).hexdigest()}\\n".encode()]
"""


@pytest.fixture(scope="module", params=[1, 3], ids=["1 thread", "3 threads"])
def server(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[CoachmanServe]:
    folder = tmp_path_factory.mktemp("site")
    write_application(folder, APPLICATION)
    options = ("--processes", "1", "--threads", str(request.param))
    binds = ("--bind", "127.0.0.1:0", "--bind", f"unix:{folder}/socket")
    with CoachmanServe(folder, *options, *binds) as server:
        yield server


def answers(output: bytes) -> list[list[str]]:
    """Return port, method, size and hash of each request."""
    return [line.split() for line in output.decode().splitlines()]


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0", "--http2"])
def test_each_version_gets_its_answer(server: CoachmanServe, curl: Curl, version: str) -> None:
    ((_port, method, size, _hash),) = answers(curl(version, server.url))
    assert (method, size) == ("GET", "0")


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0", "--http2"])
def test_each_version_can_bring_a_body(server: CoachmanServe, curl: Curl, version: str) -> None:
    ((_port, method, size, digest),) = answers(curl(version, "--data", "hello", server.url))
    assert (method, size, digest) == ("POST", "5", hashlib.sha256(b"hello").hexdigest())


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_connections_are_kept(server: CoachmanServe, curl: Curl, version: str) -> None:
    urls = [f"{server.url}/{number}" for number in range(5)]
    requests = answers(curl(version, "--data", "hello", *urls))
    assert len(requests) == 5
    assert len({port for port, *_ in requests}) == 1


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0", "--http2"])
def test_a_large_upload_arrives_as_it_was_sent(
    server: CoachmanServe, curl: Curl, large_file: Upload, version: str
) -> None:
    # Above 1 MB curl asks with "Expect: 100-continue" first, and would wait a second for the answer.
    ((_port, method, size, digest),) = answers(
        curl(version, "--data-binary", f"@{large_file.path}", server.url)
    )
    assert (method, size, digest) == ("POST", str(large_file.size), large_file.sha256)


def test_an_upload_in_chunks_arrives_as_it_was_sent(
    server: CoachmanServe, curl: Curl, large_file: Upload
) -> None:
    ((_port, method, size, digest),) = answers(
        curl("--header", "Transfer-Encoding: chunked", "--upload-file", str(large_file.path), server.url)
    )
    assert (method, size, digest) == ("PUT", str(large_file.size), large_file.sha256)


def test_curl_is_told_to_continue(server: CoachmanServe, curl: Curl, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    # By itself it would wait for a second, and then send the body together with what was held back.
    patient = ("--expect100-timeout", "30", "--trace-ascii", str(trace))
    curl("--header", "Expect: 100-continue", "--data", "hello", *patient, server.url)
    assert "HTTP/1.1 100 Continue" in trace.read_text()


def test_head_brings_headers_alone(server: CoachmanServe, curl: Curl) -> None:
    headers = curl("--head", server.url, f"{server.url}/large")
    assert headers.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert headers.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0", "--http2"])
def test_a_streamed_response_is_complete(server: CoachmanServe, curl: Curl, version: str) -> None:
    assert curl(version, f"{server.url}/large") == b"x" * 10_000_000


def test_a_socket_file_serves_as_well(server: CoachmanServe, curl: Curl) -> None:
    path = server.wait_for_output(r"listening at unix:(\S+)")[1]
    ((method, size, _hash),) = answers(curl("--unix-socket", path, "--data", "hello", "http://localhost/"))
    assert (method, size) == ("POST", "5")
