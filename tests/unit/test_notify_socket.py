"""What arrives at a service manager's socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from coachman.unix.notify_socket import NotifySocket


@pytest.fixture(params=["path", "abstract"])
def manager(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, str]]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@coachman-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address.replace("@", "\0"))
        sock.setblocking(False)
        yield sock, address


def test_messages_arrive_in_order_however_slowly_they_are_read(manager: tuple[socket.socket, str]) -> None:
    receiver, address = manager

    async def talk() -> None:
        sock = NotifySocket(address)
        # More than the kernel keeps for a receiver (net.unix.max_dgram_qlen).
        most = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 20
        for number in range(most):
            sock.send(b"%d" % number)
        for number in range(most):
            assert await asyncio.get_running_loop().sock_recv(receiver, 100) == b"%d" % number
        assert sock.problem == ""
        sock.close()

    asyncio.run(asyncio.wait_for(talk(), 30))


def test_what_is_only_offered_neither_waits_nor_comes_late(manager: tuple[socket.socket, str]) -> None:
    receiver, address = manager

    async def talk() -> None:
        sock = NotifySocket(address)
        taken = 0
        while not sock._waiting:
            sock.send(b"%d" % taken)
            taken += 1
        for _ in range(100):
            sock.offer(b"alive")
        for number in range(taken):
            assert await asyncio.get_running_loop().sock_recv(receiver, 100) == b"%d" % number
        for _ in range(taken + 10):
            sock.offer(b"alive")
        assert not sock._waiting
        assert receiver.recv(100) == b"alive"
        sock.close()

    asyncio.run(asyncio.wait_for(talk(), 30))


@pytest.mark.parametrize("address", ["/no/such/socket", "@nobody-is-here", "vsock:2:1234"])
def test_a_manager_that_cannot_be_reached_is_a_problem_and_no_error(address: str) -> None:
    async def talk() -> None:
        sock = NotifySocket(address)
        assert (problem := sock.problem)
        sock.send(b"READY=1")
        assert sock.problem == problem, "what follows from it says less"
        sock.close()

    asyncio.run(talk())


def test_a_manager_that_goes_away_is_a_problem_and_no_error(manager: tuple[socket.socket, str]) -> None:
    receiver, address = manager

    async def talk() -> None:
        sock = NotifySocket(address)
        sock.send(b"READY=1")
        assert sock.problem == ""
        receiver.close()
        sock.send(b"STOPPING=1")
        assert sock.problem
        sock.close()

    asyncio.run(talk())
