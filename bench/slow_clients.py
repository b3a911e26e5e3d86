"""Thousands of clients that send a byte now and then, beside a quick one: python bench/slow_clients.py

    .venv/bin/python bench/slow_clients.py [--clients N] [--every S] [--header-timeout S]

Each slow client sends a byte of its headers every few seconds and would never come to their end. What counts:
that all are told 408 and closed in time, and how long the quick client's answers take meanwhile, beside how
long they take when nobody else is there. One worker; the server on one core, the clients on another.
"""

from __future__ import annotations

import argparse
import os
import resource
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from load import BIN, LOAD_CORE, ROOT, Server, running

HEAD: Final = b"GET / HTTP/1.1\r\nHost: slow\r\nX-Slow: " + b"x" * 1000
QUICK: Final = b"GET / HTTP/1.1\r\nHost: quick\r\n\r\n"
GRACE: Final = 3.0
"""Seconds after the header timeout by which all have to be closed."""
WAIT: Final = 0.005
"""Seconds for which the quick client leaves the turn to the slow ones."""


@dataclass
class Slow:
    """The slow clients that are still connected, and what became of the others."""

    clients: dict[int, socket.socket]
    closed_after: list[float] = field(default_factory=list)
    """Seconds."""
    refused: int = 0
    """How many were told 408."""

    def send(self, byte: bytes) -> None:
        for client in self.clients.values():
            try:
                client.send(byte)
            except OSError:
                pass  # closed; epoll tells

    def receive(self, fd: int, elapsed: float) -> None:
        client = self.clients[fd]
        try:
            data = client.recv(4096)
        except OSError:
            data = b""
        if data:
            self.refused += b" 408 " in data
        else:
            del self.clients[fd]
            client.close()
            self.closed_after.append(elapsed)


def time_of_an_answer(quick: socket.socket) -> float:
    """Return how many milliseconds one answer took."""
    began = time.perf_counter()
    quick.sendall(QUICK)
    if not quick.recv(4096):
        raise SystemExit("the quick client was disconnected")
    return (time.perf_counter() - began) * 1000


def describe(title: str, times: Sequence[float]) -> str:
    ordered = sorted(times)
    p99 = ordered[int(len(ordered) * 0.99)]
    return (
        f"{title}: median {ordered[len(ordered) // 2]:.2f} ms, p99 {p99:.2f} ms, longest {ordered[-1]:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=5000, help="slow clients (default 5000)")
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two bytes (default 3)")
    parser.add_argument("--header-timeout", type=int, default=20, help="seconds (default 20)")
    given = parser.parse_args()
    soft = 2 * given.clients + 1000
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (soft, max(soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    )
    options = ["--bind", "127.0.0.1:0", "--processes", "1", "--header-timeout", str(given.header_timeout)]
    server = Server("coachman", [BIN / "coachman", "serve", ROOT / "bench" / "hello.py", *options])
    with running(server, {}) as url:
        os.sched_setaffinity(0, {LOAD_CORE})
        host, port = url.removeprefix("http://").split(":")
        address = (host, int(port))
        with socket.create_connection(address) as quick:
            print(describe("a quick client alone", [time_of_an_answer(quick) for _ in range(2000)]))
            measure_beside(quick, address, given)


def measure_beside(quick: socket.socket, address: tuple[str, int], given: argparse.Namespace) -> None:
    slow = Slow({})
    epoll = select.epoll()
    for _ in range(given.clients):
        client = socket.create_connection(address)
        client.setblocking(False)
        slow.clients[client.fileno()] = client
        epoll.register(client, select.EPOLLIN)
    began = time.monotonic()
    sent, times = 0, []
    while slow.clients and (elapsed := time.monotonic() - began) < 2 * given.header_timeout + GRACE:
        if elapsed >= sent * given.every:
            slow.send(HEAD[sent : sent + 1])
            sent += 1
        times.append(time_of_an_answer(quick))
        for fd, _ in epoll.poll(WAIT):
            slow.receive(fd, time.monotonic() - began)
    print(describe(f"beside {given.clients} slow ones", times))
    last = max(slow.closed_after, default=float("inf"))
    print(f"closed {len(slow.closed_after)}, the last after {last:.1f} s; told 408: {slow.refused}")
    reached = not slow.clients and last <= given.header_timeout + GRACE
    print(f"goal: all are closed within {GRACE:g} s of their time: {'reached' if reached else 'not reached'}")
    epoll.close()
    for client in slow.clients.values():
        client.close()


if __name__ == "__main__":
    main()
