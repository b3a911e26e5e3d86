"""Rolling restarts under load, beside other servers in the same run: what they cost the clients.

    .venv/bin/python bench/reload.py [--restarts N] [--every S] [--connections N] [SERVER ...]

Each server serves with 2 workers. All connections send one request after the other, as fast as they are
answered, while SIGHUP asks for a restart every few seconds. Counted are requests that got no whole answer
with status 200, connections that the server closed, and restarts that were done by the end, as its log has
them: a server that is still at the last one when it is asked again may leave one out. What is not installed
is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from load import BIN, temporary_folder

GOAL_RATIO = 2.0
"""How many times the usual median latency that during a restart may be."""
AROUND_SECONDS = 1.0
"""How long after it was asked for a restart counts as going on, for the latency."""
CALM_SECONDS = 5.0

WSGI = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""
ASGI = """
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})
"""


@dataclass(frozen=True)
class Server:
    """A server: `command` may have {port} in it, and is run in the folder of the applications."""

    name: str
    command: tuple[str, ...]
    replaced: str
    """What it logs whenever a worker has been replaced."""
    ours: bool = False

    @property
    def installed(self) -> bool:
        return (BIN / self.command[0]).exists()


WORKERS = 2


def coachman(interface: str) -> Server:
    command = ("coachman", "serve", f"reload_{interface}:application", "--bind", "127.0.0.1:{port}")
    options = ("--processes", str(WORKERS))
    return Server(f"coachman {interface}", command + options, replaced="takes its place", ours=True)


def granian(interface: str) -> Server:
    command = ("granian", "--interface", interface, f"reload_{interface}:application", "--port", "{port}")
    # It waits between two workers, 3.5 seconds by default: a restart would outlast the next call for one.
    options = ("--workers", str(WORKERS), "--respawn-interval", "1", "--workers-kill-timeout", "2")
    return Server(f"granian {interface}", command + options, replaced="Stopped old worker")


SERVERS = (
    coachman("wsgi"),
    Server(
        "gunicorn gthread",
        (
            *("gunicorn", "reload_wsgi:application", "-b", "127.0.0.1:{port}", "-w", str(WORKERS)),
            *("-k", "gthread", "--threads", "8"),
        ),
        replaced="Worker exiting",
    ),
    granian("wsgi"),
    coachman("asgi"),
    Server(
        "uvicorn",
        ("uvicorn", "reload_asgi:application", "--port", "{port}", "--workers", str(WORKERS)),
        replaced="Finished server process",
    ),
    granian("asgi"),
)


@dataclass
class Load:
    """What the clients have seen."""

    failed: int = 0
    closed: int = 0
    answered: int = 0
    latencies: list[tuple[float, float]] = field(default_factory=list)
    """When a request was answered, in monotonic seconds, and how long that took."""
    ending: bool = False

    async def client(self, port: int) -> None:
        """Send one request after the other; connect anew where the connection is gone."""
        while not self.ending:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                self.failed += 1
                await asyncio.sleep(0.01)
                continue
            with suppress(OSError):
                await self._use(reader, writer)
            writer.close()

    async def _use(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self.ending:
            began = time.monotonic()
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)\ncontent-length: *(\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
            except (asyncio.IncompleteReadError, ConnectionError):
                self.failed += 1
                self.closed += 1
                return
            now = time.monotonic()
            self.answered += 1
            self.failed += not head.startswith(b"HTTP/1.1 200 ")
            self.latencies.append((now, now - began))
            if re.search(rb"(?i)\nconnection: *close", head):
                self.closed += 1
                return


@contextmanager
def running(server: Server, folder: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [part.format(port=port) for part in server.command]
    with Path(folder, "log").open("wb") as log:
        process = subprocess.Popen(
            [str(BIN / command[0]), *command[1:]], cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def listening(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


async def measure(server: Server, port: int, *, restarts: int, every: float, connections: int) -> bool:
    """Print what restarts cost; return whether they cost nothing."""
    with temporary_folder() as folder:
        Path(folder, "reload_wsgi.py").write_text(WSGI)
        Path(folder, "reload_asgi.py").write_text(ASGI)
        with running(server, folder, port) as process:
            await listening(port)
            load = Load()
            clients = [asyncio.create_task(load.client(port)) for _ in range(connections)]
            await asyncio.sleep(CALM_SECONDS)
            asked_at = []
            for _ in range(restarts):
                asked_at.append(time.monotonic())
                process.send_signal(signal.SIGHUP)
                await asyncio.sleep(every)
            load.ending = True
            await asyncio.gather(*clients)
            text = Path(folder, "log").read_text(errors="replace")
    calm = [took for at, took in load.latencies if at < asked_at[0]]
    restarting = [
        took
        for at, took in load.latencies
        if any(asked <= at <= asked + AROUND_SECONDS for asked in asked_at)
    ]
    ratio = median(restarting) / median(calm) if calm and restarting else float("nan")
    done = text.count(server.replaced) / WORKERS
    print(
        f"{server.name:18} {load.answered:8,} answered  {load.failed:5} failed  {load.closed:5} closed   "
        f"median {median(calm) * 1000:5.1f} ms, in a restart {ratio:4.1f} times that   "
        f"{done:4.1f} of {restarts} restarts done",
        flush=True,
    )
    return not load.failed and not load.closed and ratio <= GOAL_RATIO


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("servers", nargs="*", metavar="SERVER", help="how its name begins (default: all)")
    parser.add_argument("--restarts", type=int, default=20, help="default 20")
    parser.add_argument("--every", type=float, default=2.75, help="seconds between two (default 2.75)")
    parser.add_argument("--connections", type=int, default=64, help="default 64")
    given = parser.parse_args()
    reached = True
    for server in SERVERS:
        if given.servers and not server.name.startswith(tuple(given.servers)):
            continue
        if not server.installed:
            print(f"{server.name:18} is not installed")
            continue
        cost_nothing = asyncio.run(
            measure(
                server,
                free_port(),
                restarts=given.restarts,
                every=given.every,
                connections=given.connections,
            )
        )
        reached = reached and (cost_nothing or not server.ours)
    goal = f"0 failed, 0 closed, a median latency of at most {GOAL_RATIO:g} times the usual"
    print(f"goal: {goal}: {'reached' if reached else 'not reached'}")


if __name__ == "__main__":
    main()
