"""Thousands of idle keep-alive connections on one worker: what each costs, alone and for others."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import mean, median
from urllib.parse import urlsplit

from control import private_memory, running_coachman
from load import BIN, ROOT, Server, measure

CONNECTIONS = 10_000
OTHERS = 32
PER_ADDRESS = 2_000
"""Connections from one client address: a port is needed for each."""
SPARE = 200
"""Descriptors that a process has for other things."""
SIZE_GOAL, THROUGHPUT_GOAL = 6.0, 0.9

_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_IP_BIND_ADDRESS_NO_PORT = 24  # Python does not name it (ip(7))


def measure_idle(rounds: int, seconds: int) -> None:
    """Print the memory of an idle connection, and the throughput beside all of them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # of the server as well, which inherits it
    count = min(CONNECTIONS, hard - SPARE)
    print(f"idle: {count} idle connections on one worker of one thread; {rounds} rounds of 3 x {seconds} s")
    options = ["--bind", "127.0.0.1:0", "--processes", "1", "--threads", "1", "--keep-alive-timeout", "600"]
    server = Server("coachman", [BIN / "coachman", "serve", ROOT / "bench" / "hello.py", *options])
    ratios, spreads, sizes = [], [], []
    for _ in range(rounds):
        with running_coachman(server) as coachman:
            (worker,) = coachman.wait_for(lambda workers: len(workers) == 1)

            def throughput(url: str = coachman.url) -> float:
                return measure(url + "/", connections=OTHERS, seconds=seconds).requests_per_second

            measure(coachman.url + "/", connections=OTHERS, seconds=1)  # to warm up
            alone = [throughput()]
            before = private_memory(worker.pid)
            with crowd(coachman.url, count):
                sizes.append((private_memory(worker.pid) - before) / count / 1024)
                among = throughput()
            coachman.wait_for(lambda workers: workers[0].connections < SPARE)
            alone.append(throughput())
            ratios.append(among / mean(alone))
            spreads.append(alone[1] / alone[0])
    print(f"  {median(sizes):.1f} KiB of the worker's private memory each   goal: under {SIZE_GOAL:g}")
    print(
        f"  throughput of {OTHERS} others: {median(ratios):.2f} of that before and after "
        f"({min(ratios):.2f}-{max(ratios):.2f}; after/before {median(spreads):.2f})   "
        f"goal: at least {THROUGHPUT_GOAL:g}"
    )


@contextmanager
def crowd(url: str, count: int) -> Iterator[None]:
    """Have `count` connections, on each of which one request was answered."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    with ExitStack() as stack:
        for number in range(count):
            client = stack.enter_context(socket.socket())
            # The port is chosen when the other end is known, and may serve for several.
            client.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            client.bind((f"127.0.0.{2 + number // PER_ADDRESS}", 0))
            client.connect((host, port))
            client.sendall(_REQUEST)
            received = b""
            while not received.endswith(b"world!"):
                received += client.recv(4096)
        time.sleep(1)  # what their coming has left to be done is not what is measured
        yield
