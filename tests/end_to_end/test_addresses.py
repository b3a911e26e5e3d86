"""`coachman serve --bind`: TCP addresses, socket files, several at once, and those that are taken."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .applications import HELLO, write_application
from .coachman_serve import CoachmanServe
from .raw_client import RawClient


@pytest.fixture
def site(tmp_path: Path) -> Path:
    write_application(tmp_path / "site", HELLO)
    return tmp_path / "site"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        yield owner.getsockname()[1]


def says_hello(url: str) -> bool:
    with RawClient(url) as client:
        client.get()
        return client.answer().body == b"hello"


def killed_server(site: Path, path: Path) -> None:
    """Have a server listen at `path`, and kill it so that its socket file stays."""
    with CoachmanServe(site, "--bind", f"unix:{path}", "--processes", "1") as server:
        server.wait_for_output(f"listening at unix:{path}")
        server.kill()
    assert stat.S_ISSOCK(path.stat().st_mode)


def test_several_addresses_are_served_at_once(site: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    binds = ("--bind", "127.0.0.1:0", "--bind", f"unix:{path}", "--bind", "localhost:0")
    with CoachmanServe(site, *binds, "--processes", "2") as server:
        found = server.wait_for_output(
            rf"listening at (http://127\S+)\n.*listening at (unix:{path})\n.*listening at (http://localhost\S+)\n"
        )
        assert all(says_hello(url) for url in found.groups())
        assert server.stop() == 0, server.output()


def test_the_socket_file_is_removed_at_the_end(site: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with CoachmanServe(site, "--bind", f"unix:{path}", "--processes", "1") as server:
        server.wait_for_output("listening at")
        assert says_hello(f"unix:{path}")
        assert server.stop() == 0, server.output()
    assert not path.exists()


def test_a_relative_socket_path_is_relative_to_the_current_folder(site: Path, tmp_path: Path) -> None:
    with CoachmanServe(site, "--bind", "unix:socket", "--processes", "1", folder=tmp_path) as server:
        server.wait_for_output(f"listening at unix:{tmp_path}/socket")
        assert says_hello(f"unix:{tmp_path}/socket")


def test_the_socket_file_of_a_killed_server_is_taken_over(site: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    killed_server(site, path)
    with CoachmanServe(site, "--bind", f"unix:{path}", "--processes", "1") as server:
        server.wait_for_output("listening at")
        assert says_hello(f"unix:{path}")


def test_the_socket_file_is_removed_where_the_start_fails(tmp_path: Path) -> None:
    write_application(tmp_path, "raise RuntimeError('broken')")
    with CoachmanServe(tmp_path, "--bind", f"unix:{tmp_path}/socket", "--processes", "1") as server:
        assert server.outcome()[0] == 1
    assert not (tmp_path / "socket").exists()


def test_a_regular_file_is_refused_as_an_address_and_left_alone(site: Path, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("content")
    with CoachmanServe(site, "--bind", f"unix:{path}") as server:
        status, output = server.outcome()
    assert status == 1
    assert output == f"coachman: cannot listen on unix:{path}: there is a file that is not a socket\n"
    assert path.read_text() == "content"


def test_the_socket_file_of_a_living_server_is_refused_and_left_alone(site: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with CoachmanServe(site, "--bind", f"unix:{path}", "--processes", "1") as first:
        first.wait_for_output("listening at")
        with CoachmanServe(site, "--bind", f"unix:{path}") as second:
            status, output = second.outcome()
        assert status == 1
        assert "in use by another process" in output
        assert says_hello(f"unix:{path}")


def test_a_socket_file_that_another_server_has_put_in_its_place_is_left_alone(
    site: Path, tmp_path: Path
) -> None:
    path = tmp_path / "socket"
    arguments = (site, "--bind", f"unix:{path}", "--processes", "1")
    with CoachmanServe(*arguments) as first:
        first.wait_for_output("listening at")
        path.unlink()
        with CoachmanServe(*arguments) as second:
            second.wait_for_output("listening at")
            assert first.stop() == 0, first.output()
            assert says_hello(f"unix:{path}")


def test_a_port_in_use_is_said_clearly(site: Path, taken_port: int) -> None:
    with CoachmanServe(site, "--bind", f"127.0.0.1:{taken_port}") as server:
        status, output = server.outcome()
    assert status == 1
    assert output == (
        f"coachman: cannot listen on 127.0.0.1:{taken_port}: the address is in use by another process; "
        "stop that one, or choose another address\n"
    )


def test_a_second_address_in_use_gives_up_the_first(site: Path, tmp_path: Path, taken_port: int) -> None:
    path = tmp_path / "socket"
    with CoachmanServe(site, "--bind", f"unix:{path}", "--bind", f"127.0.0.1:{taken_port}") as server:
        assert server.outcome()[0] == 1
    assert not path.exists()


def test_a_port_can_be_taken_again_at_once(site: Path) -> None:
    # An address of its own: what is free again here, nobody who is given any port takes meanwhile.
    with CoachmanServe(site, "--bind", "127.53.0.1:0", "--processes", "1") as server:
        url = server.url
        # Its connection makes the port linger in TIME_WAIT.
        with httpx.Client(timeout=30, trust_env=False) as client:
            assert client.get(url).text == "hello"
            assert server.stop() == 0, server.output()
    with CoachmanServe(site, "--bind", url.removeprefix("http://"), "--processes", "1") as again:
        assert says_hello(again.url)


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("8000", "neither HOST:PORT nor unix:PATH"),
        (":8000", "has no host"),
        ("127.0.0.1:65536", "neither HOST:PORT nor unix:PATH"),
        ("::1:8000", "needs brackets: [::1]:8000"),
        ("unix:", "has no path"),
    ],
)
def test_what_is_no_address_is_wrong_usage(site: Path, address: str, complaint: str) -> None:
    with CoachmanServe(site, "--bind", address) as server:
        status, output = server.outcome()
    assert status == 2
    assert "'--bind'" in output
    assert complaint in " ".join(output.split())


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("unix:/no/such/folder/socket", "there is no folder /no/such/folder"),
        ("192.0.2.1:0", "this machine has no such address"),
        (f"unix:/{'x' * 200}", "its path has 201 bytes, and that of a unix socket has room for 107"),
    ],
)
def test_an_address_that_cannot_be_is_explained(site: Path, address: str, complaint: str) -> None:
    with CoachmanServe(site, "--bind", address) as server:
        status, output = server.outcome()
    assert status == 1
    assert output.startswith("coachman: ")
    assert complaint in output
    assert output.count("\n") == 1, "one line says it"
