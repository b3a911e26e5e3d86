"""The wrappers that docs/wrappers.md teaches with."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import httpx
import pytest

from .coachman_spawn import CoachmanSpawn
from .programs import installed

WRAPPERS = Path(__file__).parents[2] / "examples" / "wrappers"


@pytest.fixture(params=["wrapper.py", "wrapper.js", "wrapper.sh"])
def wrapper(request: pytest.FixtureRequest) -> Path:
    if request.param == "wrapper.js":
        installed("nodejs", "node")
    return WRAPPERS / str(request.param)


def get(address: str, path: str) -> httpx.Response:
    """Make a request to ``unix:/PATH`` or ``tcp://HOST:PORT``."""
    if address.startswith("unix:"):
        transport = httpx.HTTPTransport(uds=address.removeprefix("unix:"))
        url = "http://localhost"
    else:
        transport, url = httpx.HTTPTransport(), address.replace("tcp:", "http:")
    with httpx.Client(base_url=url, transport=transport, timeout=30) as client:
        return client.get(path)


def accepts(address: str) -> bool:
    """Return whether anybody accepts connections there. httpx would lose the socket of a failed attempt."""
    family = socket.AF_UNIX if address.startswith("unix:") else socket.AF_INET
    host, _, port = address.removeprefix("tcp://").partition(":")
    with socket.socket(family) as sock:
        if family == socket.AF_UNIX:
            return sock.connect_ex(address.removeprefix("unix:")) == 0
        return sock.connect_ex((host, int(port))) == 0


def test_it_serves_over_the_socket_that_it_advertises(wrapper: Path, tmp_path: Path) -> None:
    (tmp_path / "hello").write_text("hello from the folder\n")
    with CoachmanSpawn("--option", f"app_root={tmp_path}", "--", wrapper) as spawned:
        address = spawned.address()
        for _ in range(3):
            response = get(address, "/hello")
            assert response.status_code == 200
            assert response.text.startswith("hello from ")
        assert spawned.end() == 0, spawned.errors()
        assert not accepts(address)


def test_it_ends_at_the_end_of_its_stdin_without_a_signal(wrapper: Path) -> None:
    with CoachmanSpawn("--quit-wait", "60", "--", wrapper) as spawned:
        spawned.properties()
        assert spawned.end() == 0, spawned.errors()
        assert "SIGTERM" not in spawned.errors()


def test_it_says_why_it_cannot_start(wrapper: Path) -> None:
    options = ["--option", "socket_dir=/missing", "--option", "port=none"]
    with CoachmanSpawn(*options, "--", wrapper) as spawned:
        assert spawned.status() == 1
        (said,) = [line for line in spawned.errors().splitlines() if line.startswith("coachman: ")]
        assert said.startswith(
            ("coachman: the server could not be started: ", "coachman: there is no place for a pipe")
        )


def test_it_may_be_executed_as_it_is(wrapper: Path) -> None:
    assert wrapper.stat().st_mode & stat.S_IXUSR
    assert wrapper.read_text().startswith("#!")
