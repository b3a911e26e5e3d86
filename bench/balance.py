"""Short requests beside long ones, with keep-alive, beside gunicorn (gthread) and granian in one run.

    .venv/bin/python bench/balance.py [--rounds N] [--seconds S] [--part PART]

Two workers of two threads each; the servers on one core, the clients on another. The requests sleep. What
counts is the latency of the short ones, and whether every client gets its share; of all figures the median
of the rounds. Parts: `beside` (16 clients of 1-ms requests, 3 of 100-ms ones), `mixed` (64 clients, each
tenth request of 100 ms), `one-sided` (as `beside`, but all clients connect before the second worker is
there), `idle` (10,000 idle connections).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import psutil
from load import BIN, LOAD_CORE, ROOT, Server, measure, running

PORT = 18_431
LONG_SHARE = 0.1
IDLE_CONNECTIONS = 10_000


def coachman(application: str = "sleeper.py", processes: int = 2, threads: int = 2) -> Server:
    options = ["--bind", "127.0.0.1:0", "--processes", str(processes), "--threads", str(threads)]
    return Server("coachman", [BIN / "coachman", "serve", ROOT / "bench" / application, *options])


def gunicorn() -> Server:
    options = ["--bind", "127.0.0.1:0", "--worker-class", "gthread", "--workers", "2", "--threads", "2"]
    return Server("gunicorn gthread", [BIN / "gunicorn", "sleeper:application", *options], ROOT / "bench")


def granian() -> Server:
    options = ["--interface", "wsgi", "--port", str(PORT), "--workers", "2", "--blocking-threads", "2"]
    return Server("granian", [BIN / "granian", "sleeper:application", *options], ROOT / "bench")


@dataclass
class Result:
    """What the clients of one kind saw."""

    latencies: list[float]
    """Milliseconds of the short requests."""
    counts: list[int]
    """Requests that each client was answered."""

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
        self._received += data
        if self._received.endswith(b"\r\n\r\nok"):
            assert self._received.startswith(b"HTTP/1.1 200"), self._received
            self._received = b""
            self._result.counts[self._index] += 1
            if self._path == "/1":
                self._result.latencies.append((time.perf_counter() - self._asked_at) * 1000)
            if not self.closed:
                self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed:
            raise SystemExit(f"a connection has ended: {error}")

    def close(self) -> None:
        self.closed = True
        self._transport.close()


async def load(
    url: str, kinds: dict[str, tuple[int, Callable[[], str]]], seconds: float, pause: float
) -> dict[str, Result]:
    """Put load on `url`: so many clients of each kind; start `pause` seconds after they have connected."""
    host, port = host_and_port(url)
    loop = asyncio.get_running_loop()
    results = {kind: Result([], []) for kind in kinds}
    clients = []
    for kind, (count, path_of_next) in kinds.items():
        for _ in range(count):
            _, client = await loop.create_connection(
                lambda path_of_next=path_of_next, kind=kind: Client(path_of_next, results[kind]),  # type: ignore[misc]
                host,
                port,
            )
            clients.append(client)
    await asyncio.sleep(pause)
    for client in clients:
        client.ask()
    await asyncio.sleep(seconds)
    for client in clients:
        client.close()
    return results


def beside() -> dict[str, tuple[int, Callable[[], str]]]:
    return {"short": (16, lambda: "/1"), "long": (3, lambda: "/100")}


def mixed() -> dict[str, tuple[int, Callable[[], str]]]:
    dice = random.Random(1)
    return {"mixed": (64, lambda: "/100" if dice.random() < LONG_SHARE else "/1")}


def compare(
    title: str, kinds: Callable[[], dict[str, tuple[int, Callable[[], str]]]], given: argparse.Namespace
) -> None:
    print(f"{title}: {given.rounds} rounds of {given.seconds} s")
    servers = [coachman(), gunicorn(), granian()]
    found: dict[str, list[dict[str, Result]]] = {server.name: [] for server in servers}
    for _ in range(given.rounds):
        for server in servers:
            with running(server, {}) as url:
                found[server.name].append(asyncio.run(load(url, kinds(), given.seconds, 0.2)))
    p99 = {}
    for name, rounds in found.items():
        kind = next(iter(rounds[0]))
        p99[name] = median(results[kind].p99 for results in rounds)
        shares = ", ".join(
            f"{each} {median(results[each].share for results in rounds):.2f}" for each in rounds[0]
        )
        answered = median(sum(results[kind].counts) for results in rounds) / given.seconds
        print(
            f"  {name:18} p99 of short ones {p99[name]:7.1f} ms   {kind} {answered:6,.0f}/s   "
            f"slowest/mean {shares}"
        )
    best = min(p99[name] for name in p99 if name != "coachman")
    print(
        f"  best peer / coachman {best / p99['coachman']:.1f}   goal: at least 3; slowest/mean at least 0.25"
    )


def one_sided(given: argparse.Namespace) -> None:
    """All clients are connected while one of the two workers is stopped (SIGSTOP), which goes on then."""
    print(f"one-sided: {given.rounds} rounds of {given.seconds} s")
    even: list[float] = []
    uneven: list[float] = []
    for _ in range(given.rounds):
        for stopped, results in ((False, even), (True, uneven)):
            with running(coachman(), {}) as url, one_worker_stopped(url, stopped) as go_on:

                async def run(url: str = url, go_on: Callable[[], None] = go_on) -> dict[str, Result]:
                    asyncio.get_running_loop().call_later(1.0, go_on)
                    return await load(url, beside(), given.seconds, 1.1)

                results.append(asyncio.run(run())["short"].p99)
    ratio = median(uneven) / median(even)
    print(
        f"  p99 of short ones {median(uneven):.1f} ms, otherwise {median(even):.1f}: {ratio:.2f}   "
        "goal: at most 1.2"
    )


@contextmanager
def one_worker_stopped(url: str, stopped: bool) -> Iterator[Callable[[], None]]:
    """Keep all but one worker of the server from running, until what is given is called."""
    workers = workers_at(url) if stopped else []
    for worker in workers[1:]:
        worker.suspend()
    try:
        yield lambda: resume(workers[1:])
    finally:
        for worker in workers[1:]:
            if worker.is_running():
                worker.resume()


def resume(workers: list[psutil.Process]) -> None:
    for worker in workers:
        worker.resume()


def host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "localhost", parts.port or 80


def workers_at(url: str) -> list[psutil.Process]:
    """Return the processes that listen there, without those that have no connection of their own to make."""
    _, port = host_and_port(url)
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            # The supervisor listens as well, and has no epoll of listeners; it is the parent of the others.
            if process.name() != "coachman" and any(
                connection.status == psutil.CONN_LISTEN and connection.laddr[1] == port
                for connection in process.net_connections("tcp")
            ):
                found.append(process)
    return found


def idle(given: argparse.Namespace) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(IDLE_CONNECTIONS, hard - 200)
    print(f"idle: {count} idle connections on one worker of one thread")
    ratios, sizes = [], []
    for _ in range(given.rounds):
        with running(coachman("hello.py", 1, 1), {}) as url:
            (worker,) = workers_at(url)
            alone = measure(url + "/", connections=32, seconds=given.seconds)
            before = private(worker)

            async def crowd(url: str = url, worker: psutil.Process = worker) -> tuple[int, float]:
                host, port = host_and_port(url)
                writers = []
                for _ in range(count):
                    reader, writer = await asyncio.open_connection(host, port)
                    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    await reader.readuntil(b"world!")
                    writers.append(writer)
                after = private(worker)
                among = await asyncio.to_thread(measure, url + "/", connections=32, seconds=given.seconds)
                for writer in writers:
                    writer.close()
                return after, among.requests_per_second

            after, among = asyncio.run(crowd())
        sizes.append((after - before) / count / 1024)
        ratios.append(among / alone.requests_per_second)
    print(f"  {median(sizes):.1f} KiB each   goal: under 6")
    print(f"  throughput of 32 others: {median(ratios):.2f} of that without   goal: at least 0.9")


def private(process: psutil.Process) -> int:
    rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return 1024 * sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--seconds", type=int, default=5, help="seconds of load in a round (default 5)")
    parser.add_argument("--part", choices=["beside", "mixed", "one-sided", "idle"], help="this part alone")
    given = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    parts: dict[str, Callable[[], None]] = {
        "beside": lambda: compare("16 clients of 1 ms beside 3 of 100 ms", beside, given),
        "mixed": lambda: compare("64 clients, 10 % of 100 ms", mixed, given),
        "one-sided": lambda: one_sided(given),
        "idle": lambda: idle(given),
    }
    for name, part in parts.items():
        if given.part in (None, name):
            part()


if __name__ == "__main__":
    main()
