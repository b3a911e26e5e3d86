"""Clients with a connection each and one request at a time, in one asyncio loop, and what they see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

Kinds = Mapping[str, tuple[int, Callable[[], str]]]
"""For each kind of client: how many there are, and what gives the path of the next request."""

WARM_UP_SECONDS = 2.0
"""For the server to get to know its application."""


@dataclass
class Result:
    """What the clients of one kind saw."""

    latencies: list[float]
    """Milliseconds of the short requests."""
    counts: list[int]
    """Requests that each client was answered."""

    def forget(self) -> None:
        """Begin anew, with the clients as they are."""
        self.latencies.clear()
        self.counts[:] = [0] * len(self.counts)

    @property
    def p99(self) -> float:
        return sorted(self.latencies)[int(len(self.latencies) * 0.99)]

    @property
    def share(self) -> float:
        """What the slowest client got of the mean."""
        return min(self.counts) / (sum(self.counts) / len(self.counts))


class Client(asyncio.Protocol):
    """One connection with one request at a time, each answered with a body of two bytes."""

    def __init__(self, path_of_next: Callable[[], str], result: Result) -> None:
        self._path_of_next = path_of_next
        self._result = result
        self._index = len(result.counts)
        result.counts.append(0)
        self._received = b""
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self) -> None:
        self._path = self._path_of_next()
        self._asked_at = time.perf_counter()
        self._transport.write(f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        self._received += data
        if self._received.endswith(b"\r\n\r\nok"):
            assert self._received.startswith(b"HTTP/1.1 200"), self._received
            self._received = b""
            self._result.counts[self._index] += 1
            if self._path == "/1":
                self._result.latencies.append((time.perf_counter() - self._asked_at) * 1000)
            self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed:
            raise SystemExit(f"a connection has ended: {error}")

    def close(self) -> None:
        self.closed = True
        self._transport.close()


def put_load(url: str, kinds: Kinds, seconds: float, prepare: Callable[[], None]) -> dict[str, Result]:
    """Return what the clients saw in so many seconds; between connecting and asking, call `prepare`.

    What they saw in the first `WARM_UP_SECONDS` is left out.
    """
    return asyncio.run(_put_load(url, kinds, seconds, prepare))


async def _put_load(url: str, kinds: Kinds, seconds: float, prepare: Callable[[], None]) -> dict[str, Result]:
    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port or 80
    loop = asyncio.get_running_loop()
    results = {kind: Result([], []) for kind in kinds}
    clients: list[Client] = []
    for kind, (count, path_of_next) in kinds.items():
        for _ in range(count):
            client = Client(path_of_next, results[kind])
            clients.append(client)
            await loop.create_connection(lambda client=client: client, host, port)  # type: ignore[misc]
    await asyncio.to_thread(prepare)
    for client in clients:
        client.ask()
    await asyncio.sleep(WARM_UP_SECONDS)
    for result in results.values():
        result.forget()
    await asyncio.sleep(seconds)
    for client in clients:
        client.close()
    return results
