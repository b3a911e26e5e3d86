"""What goes out on a connection, and when."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterator
from typing import Final

import pytest

from coachman.worker.wsgi.outbox import ClientGone, Outbox

SIOCOUTQNSD: Final = 0x894B
"""Asks how many bytes the kernel has not sent at all (linux/sockios.h)."""

TIMEOUT = 20.0


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection, the server's first, which does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = socket.create_connection(listener.getsockname(), TIMEOUT)
        here, _ = listener.accept()
    here.setblocking(False)
    with here, there:
        yield here, there


def test_a_head_without_a_body_does_not_wait_for_one(ends: tuple[socket.socket, socket.socket]) -> None:
    here, _ = ends
    Outbox(here, 0).send_both(b"the head", b"")
    unsent = fcntl.ioctl(here, SIOCOUTQNSD, struct.pack("i", -1))
    assert struct.unpack("i", unsent) == (0,)


def test_nothing_follows_where_something_was_given_up(ends: tuple[socket.socket, socket.socket]) -> None:
    """Not even where the application pays no heed to the exception, and goes on to write."""
    here, there = ends
    outbox = Outbox(here, 0.01)
    outbox.send(b"x" * 50_000_000)
    with pytest.raises(ClientGone):
        outbox.wait_until_sent()
    taken = there.recv(1_000_000)
    while not outbox.gone or b"y" not in taken:
        outbox.send(b"y")
        with pytest.raises(ClientGone):
            outbox.wait_until_sent()
        block = there.recv(1_000_000)
        taken += block
        if not block:
            break
    assert b"y" not in taken
