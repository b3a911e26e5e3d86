"""The same small site in five frameworks: routes, forms, uploads, streams, files, sessions, failures."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .applications import ONE_PROCESS
from .coachman_serve import CoachmanServe

SITES = Path(__file__).with_name("frameworks")
FRAMEWORKS = ["django", "flask", "bottle", "falcon", "pyramid"]


@pytest.fixture(scope="module", params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["1", "3"], ids=["1 thread", "3 threads"])
def server(framework: str, request: pytest.FixtureRequest) -> Iterator[CoachmanServe]:
    site = SITES / f"{framework}_site.py"
    with CoachmanServe(site, *ONE_PROCESS, "--threads", str(request.param)) as server:
        server.ready_workers(1)
        yield server


@pytest.fixture
def client(server: CoachmanServe) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client


def test_routes_have_their_paths_and_queries(client: httpx.Client) -> None:
    assert client.get("/").text == "hello"
    assert (
        client.get("/greet/J\u00f6rg%20\u65e5", params={"mark": "\u203d"}).text
        == "hello, J\u00f6rg \u65e5\u203d"
    )
    assert client.get("/nowhere").status_code == 404
    assert client.head("/").content == b""


def test_a_form_arrives_as_it_was_filled_in(client: httpx.Client) -> None:
    answer = client.post("/form", data={"name": "J\u00f6rg & Co", "colour": ["red", "blue"]})
    assert answer.json() == {"name": "J\u00f6rg & Co", "colours": ["red", "blue"]}


@pytest.mark.parametrize("size", [10, 1_500_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_arrives_whole(client: httpx.Client, size: int, chunked: bool) -> None:
    content = random.Random(size).randbytes(size)
    request = client.build_request("POST", "/upload", files={"file": ("a file.bin", content)})
    if chunked:
        body, content_type = request.read(), request.headers["Content-Type"]
        blocks = (body[start : start + 60_000] for start in range(0, len(body), 60_000))
        request = client.build_request(
            "POST", "/upload", content=blocks, headers={"Content-Type": content_type}
        )
    answer = client.send(request)
    assert answer.json() == {
        "name": "a file.bin",
        "size": size,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_a_stream_comes_whole(client: httpx.Client) -> None:
    answer = client.get("/stream")
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.text == "".join(f"{number}\n" for number in range(1000))


def test_a_file_comes_whole(client: httpx.Client, framework: str) -> None:
    content = (SITES / f"{framework}_site.py").read_bytes()
    assert client.get("/file").content == content
    if framework != "falcon":  # which has no HEAD of its own
        answer = client.head("/file")
        assert (answer.content, answer.headers["Content-Length"]) == (b"", str(len(content)))


def test_a_session_lives_in_its_cookies(server: CoachmanServe, client: httpx.Client) -> None:
    assert client.post("/login", data={"name": "keeper"}).text == "welcome"
    assert client.get("/whoami").text == "keeper"
    assert httpx.get(f"{server.url}/whoami", timeout=30, trust_env=False).text == "nobody"


def test_a_redirection_leads_home(client: httpx.Client) -> None:
    answer = client.get("/elsewhere", follow_redirects=True)
    assert (answer.text, len(answer.history)) == ("hello", 1)


def test_a_failure_is_a_500_with_a_traceback_in_the_log(server: CoachmanServe, client: httpx.Client) -> None:
    before = len(server.output())
    assert client.get("/fails").status_code == 500
    server.wait_for_output("LookupError: nothing of the kind", after=before)
    assert client.get("/").text == "hello"
