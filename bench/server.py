"""What a server costs to start, call and stop, and to keep: python bench/server.py

The peers take turns within every round and the figure of each is its best. What counts are the ratios.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path

from coachman import AbstractServer, message_handler

ROUNDS = 60
SERVERS = 1_000
MANY_DESCRIPTORS = 20_000


class Echo(AbstractServer):
    @message_handler("hello")
    def handle_hello(self, *args: str) -> None:
        self.send_to_client("hello", *args)


def bare_fork() -> None:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        theirs.sendall(theirs.recv(4096))
        theirs.recv(4096)
        os._exit(0)
    theirs.close()
    with ours:
        ours.sendall(b"hello")
        ours.recv(4096)
    os.waitpid(pid, 0)


def server() -> None:
    with Echo() as echo:
        echo.call("hello")


def started_and_called() -> tuple[float, float]:
    """Return the seconds that start() took, and those to the first answer."""
    echo = Echo()
    start = time.perf_counter()
    echo.start()
    started = time.perf_counter()
    echo.call("hello")
    called = time.perf_counter()
    echo.stop()
    return started - start, called - start


def echo_process(connection: multiprocessing.connection.Connection[object, object]) -> None:
    connection.send(connection.recv())


def multiprocessing_process() -> None:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=echo_process, args=(theirs,))
    process.start()
    theirs.close()
    with ours:
        ours.send("hello")
        ours.recv()
    process.join()
    process.close()


def timed(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def best_of(measures: dict[str, Callable[[], float]]) -> dict[str, float]:
    best = dict.fromkeys(measures, float("inf"))
    for _ in range(ROUNDS):
        for name, measure in measures.items():
            best[name] = min(best[name], measure())
    return best


def private_kib(pid: int | None) -> int:
    """Return a process's private memory: what it shares with no other."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private"))


def start_with_descriptors(count: int) -> tuple[float, float]:
    """Return the best times of start(), and to the first answer, with `count` descriptors in the parent."""
    opened: list[int] = []
    try:
        while len(opened) < count - 20:
            opened.append(os.dup(0))
        started, called = zip(*(started_and_called() for _ in range(20)), strict=True)
        return min(started), min(called)
    finally:
        for fd in opened:
            os.close(fd)


def many_servers() -> tuple[list[float], list[int]]:
    """Start, call and stop; return the seconds per server in ten lots, and the private memory of each."""
    servers = [Echo() for _ in range(SERVERS)]
    lots, memory = [], []
    lot = SERVERS // 10
    for first in range(0, SERVERS, lot):
        start = time.perf_counter()
        for echo in servers[first : first + lot]:
            echo.start()
            echo.call("hello")
        lots.append((time.perf_counter() - start) / lot)
    memory = [private_kib(echo.server_pid) for echo in servers]
    start = time.perf_counter()
    for echo in servers:
        echo.stop()
    print(f"stopping {SERVERS} servers: {(time.perf_counter() - start) / SERVERS * 1e3:.2f} ms each")
    return lots, memory


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.collect()
    best = best_of(
        {
            "bare fork": lambda: timed(bare_fork),
            "AbstractServer": lambda: timed(server),
            "multiprocessing": lambda: timed(multiprocessing_process),
        }
    )
    for name, seconds in best.items():
        print(f"start, one call, stop: {name:18} {seconds * 1e3:6.2f} ms")
    count = min(MANY_DESCRIPTORS, hard - 50)
    few, many = start_with_descriptors(20), start_with_descriptors(count)
    for number, (started, called) in ((20, few), (count, many)):
        print(
            f"{number:6} descriptors: start {started * 1e3:.2f} ms, to the first answer {called * 1e3:.2f} ms"
        )
    lots, memory = many_servers()
    tenths = ", ".join(f"{lot * 1e3:.2f}" for lot in lots)
    print(f"starting and calling {SERVERS} servers: {tenths} ms each, by tenths")
    print()
    fork, ours, peer = best["bare fork"], best["AbstractServer"], best["multiprocessing"]
    print(f"AbstractServer / bare fork             {ours / fork:5.2f}   goal: at most 1.3")
    print(f"AbstractServer / multiprocessing       {ours / peer:5.2f}   goal: less than 1")
    print(f"start, {count} descriptors / 20      {many[0] / few[0]:5.2f}   goal: at most 2")
    print(f"first answer, {count} descriptors / 20 {many[1] / few[1]:3.2f}")
    print(f"last tenth / first tenth of {SERVERS}       {lots[-1] / lots[0]:5.2f}   goal: about 1")
    print(f"private memory, the largest of {SERVERS}    {max(memory) / 1024:5.2f} MiB   goal: below 2")


if __name__ == "__main__":
    main()
