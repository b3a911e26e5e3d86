"""Listening sockets that others have made, and addresses that others have taken."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from coachman.config.addresses import TcpAddress, UnixAddress
from coachman.errors import ConfigurationError
from coachman.unix.listeners import LONGEST_PATH, Listener


def adopted(sock: socket.socket) -> Listener:
    """Return the listener made from `sock`, which comes as sockets come: inheritable and blocking."""
    sock.setblocking(True)
    sock.set_inheritable(True)
    return Listener.adopt(sock.detach())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_tcp_socket_is_made_like_our_own(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, 0), family=family)
    port = sock.getsockname()[1]
    listener = adopted(sock)
    try:
        assert listener.address == TcpAddress(host, port)
        assert listener.sock.gettimeout() == 0
        assert not listener.sock.get_inheritable()
        assert listener.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        listener.close()


def test_the_file_of_a_unix_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "site.sock"
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    listener = adopted(sock)
    assert listener.address == UnixAddress(path)
    listener.close()
    assert path.is_socket()


def test_what_cannot_be_served_is_refused_and_left_alone(tmp_path: Path) -> None:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    deaf = socket.socket()
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind(b"\0coachman-test-%d" % os.getpid())
    abstract.listen()
    refused = [(datagrams, "SOCK_DGRAM"), (deaf, "does not listen"), (abstract, "without a path")]
    for sock, why in refused:
        fd = sock.fileno()
        with pytest.raises(ConfigurationError, match=rf"descriptor {fd} is .*{why}"):
            adopted(sock)
        os.close(fd)
    fd = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(ConfigurationError, match="is no socket"):
        Listener.adopt(fd)
    os.close(fd)
    with pytest.raises(ConfigurationError, match="is no socket: Bad file descriptor"):
        Listener.adopt(fd)


def test_an_address_is_taken_also_where_its_server_has_stopped_accepting(tmp_path: Path) -> None:
    path = tmp_path / "site.sock"
    with socket.socket(socket.AF_UNIX) as server, ExitStack() as clients:
        server.bind(str(path))
        server.listen(0)
        with suppress(BlockingIOError):
            while True:
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(path))
        with pytest.raises(ConfigurationError, match="in use by another process"):
            Listener.bind(UnixAddress(path))
        assert path.is_socket()


def test_a_path_that_is_too_long_is_told_with_what_there_is_room_for(tmp_path: Path) -> None:
    fits = tmp_path / ("x" * (LONGEST_PATH - len(str(tmp_path)) - 1))
    Listener.bind(UnixAddress(fits)).close()
    with pytest.raises(ConfigurationError, match=rf"has {LONGEST_PATH + 1} bytes.* room for {LONGEST_PATH}"):
        Listener.bind(UnixAddress(Path(f"{fits}x")))
