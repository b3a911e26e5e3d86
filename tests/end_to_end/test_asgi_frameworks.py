"""A small real application of each framework, served by the installed command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from .applications import ONE_PROCESS
from .coachman_check import check
from .coachman_serve import CoachmanServe
from .websocket_client import open_websocket

APPLICATIONS: Final = Path(__file__).parent / "asgi_applications"
FRAMEWORKS: Final = ("fastapi", "starlette", "quart", "django")
TIMEOUT: Final = 30.0


@pytest.fixture(scope="module", params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(framework: str) -> Iterator[CoachmanServe]:
    with CoachmanServe(APPLICATIONS / f"{framework}_site.py", *ONE_PROCESS) as server:
        yield server


@pytest.fixture
def client(server: CoachmanServe) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=TIMEOUT, trust_env=False) as client:
        yield client


def test_the_log_says_that_it_is_served_as_asgi(server: CoachmanServe) -> None:
    server.wait_for_output("asgi_applications is served as ASGI: it is a coroutine function\n")


def test_pages_are_served_with_what_the_lifespan_has_prepared(client: httpx.Client, framework: str) -> None:
    greeting = client.get("/").raise_for_status().json()["greeting"]
    assert greeting == ("hello without a lifespan" if framework == "django" else "hello from the lifespan")


def test_what_blocks_runs_in_a_thread(client: httpx.Client) -> None:
    assert client.get("/in-a-thread").raise_for_status().json() == {"ok": True}


def test_bodies_are_read(client: httpx.Client) -> None:
    answer = client.post("/items", json={"name": "harness", "price": 4.5})
    assert answer.raise_for_status().json() == {"created": "harness"}
    assert client.get("/missing").status_code == 404


def test_events_are_streamed(client: httpx.Client) -> None:
    with client.stream("GET", "/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["transfer-encoding"] == "chunked"
        assert "".join(answer.iter_text()) == "data: 0\n\ndata: 1\n\ndata: 2\n\n"


def test_a_websocket_echoes(server: CoachmanServe) -> None:
    before = len(server.output())
    with open_websocket(server.url, "/ws") as websocket:
        for message in ("one", "two"):
            websocket.send(message)
            assert websocket.recv(TIMEOUT) == message
    server.wait_for_output("websocket closed", after=before)


def test_it_ends_with_its_shutdown_run(framework: str) -> None:
    with CoachmanServe(APPLICATIONS / f"{framework}_site.py", *ONE_PROCESS) as server:
        httpx.get(server.url, timeout=TIMEOUT, trust_env=False).raise_for_status()
        assert server.stop() == 0
        _, output = server.outcome()
    if framework != "django":
        assert "stdout: started" in output
        assert "stdout: shut down" in output
    assert "stderr" not in output


def test_check_understands_it(framework: str) -> None:
    done = check(APPLICATIONS / f"{framework}_site.py")
    assert done.returncode == 0, done.stderr
    assert "It is served as ASGI: it is a coroutine function" in done.stdout
