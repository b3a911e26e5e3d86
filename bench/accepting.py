"""What it costs that a new connection wakes every idle worker: python bench/accepting.py [--rounds N]

One client, on a core of its own, makes one connection after the other, with one request each, to workers
that have nothing else to do: the case in which most are woken in vain. Processor time of all workers for one
connection, by interface and number of workers; the servers take turns within every round, and the figure
of each is the median of the rounds. WSGI workers wait exclusively (EPOLLEXCLUSIVE), those of ASGI cannot.
"""

from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from control import running_coachman
from load import BIN, LOAD_CORE, ROOT, Server

CONNECTIONS = 3_000
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
VARIANTS = [(interface, workers) for interface in ("asgi", "wsgi") for workers in (1, 2, 8)]


def microseconds_per_connection(interface: str, workers: int) -> float:
    """Measure one variant."""
    application = ROOT / "bench" / ("hello_asgi.py" if interface == "asgi" else "hello.py")
    options = ["--bind", "127.0.0.1:0", "--processes", str(workers)]
    with running_coachman(Server("coachman", [BIN / "coachman", "serve", application, *options])) as server:
        pids = [each.pid for each in server.wait_for(lambda found: len(found) == workers)]
        connect_and_ask(server.url, CONNECTIONS // 10)  # the first ones cost more
        before = sum(map(processor_seconds, pids))
        connect_and_ask(server.url, CONNECTIONS)
        return (sum(map(processor_seconds, pids)) - before) / CONNECTIONS * 1e6


def connect_and_ask(url: str, count: int) -> None:
    """Make so many connections, one after the other."""
    parts = urlsplit(url)
    for _ in range(count):
        with socket.create_connection((parts.hostname or "localhost", parts.port or 80)) as client:
            client.sendall(REQUEST)
            while client.recv(4096):
                pass


def processor_seconds(pid: int) -> float:
    """Return the time that a process has run so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    given = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    results: dict[tuple[str, int], list[float]] = {variant: [] for variant in VARIANTS}
    for _ in range(given.rounds):
        for variant in VARIANTS:
            results[variant].append(microseconds_per_connection(*variant))
    for (interface, workers), found in results.items():
        alone = median(results[interface, 1])
        in_vain = (median(found) - alone) / (workers - 1) if workers > 1 else 0.0
        print(
            f"{interface}, {workers} workers: {median(found):6.1f} us of processor a connection"
            + (f", {in_vain:+5.1f} for each further worker" if workers > 1 else "")
        )


if __name__ == "__main__":
    main()
