from __future__ import annotations

import select
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from coachman.unix.accept_queue import accept_queue_length


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("127.0.0.1", 0)),
        (socket.AF_INET6, ("::1", 0)),
        (socket.AF_UNIX, "socket"),
    ],
)
def test_the_connections_that_wait_are_counted(
    tmp_path: Path, family: socket.AddressFamily, address: tuple[str, int] | str
) -> None:
    with ExitStack() as on_end:
        listener = on_end.enter_context(socket.socket(family))
        listener.bind(str(tmp_path / address) if isinstance(address, str) else address)
        listener.listen(10)
        assert accept_queue_length(listener) == 0
        # A client is connected once it has the listener's answer; the listener when that has got around.
        arrivals = on_end.enter_context(select.epoll())
        arrivals.register(listener, select.EPOLLIN | select.EPOLLET)
        for count in range(1, 4):
            client = on_end.enter_context(socket.socket(family))
            client.connect(listener.getsockname())
            assert arrivals.poll(30), "it has not arrived"
            assert accept_queue_length(listener) == count
        on_end.enter_context(listener.accept()[0])
        assert accept_queue_length(listener) == 2


def test_of_a_socket_that_cannot_tell_nothing_is_known() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert accept_queue_length(sock) is None
