"""What a message costs, against the floor and against multiprocessing: python bench/channel.py

Everything is pinned to one core, so a round trip is two context switches and what the code adds to them. The
peers take turns within every round, and the figure of each is its best: on a shared machine that is the one
that was disturbed least. What counts are the ratios; the absolute figures are this machine's.
"""

from __future__ import annotations

import multiprocessing.connection
import multiprocessing.reduction
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from coachman import AbstractServer, MessageChannel, message_handler
from coachman.protocol.messages import encode_array

MESSAGE = ["hello", "Joe", "Dalton"]
WIRE = encode_array(tuple(MESSAGE))
ROUNDS = 7
TRIPS = 20_000
ONE_WAY = 50_000
PASSES = 5_000

Measure = Callable[[], float]


def in_child(body: Callable[[socket.socket], None]) -> tuple[socket.socket, int]:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        try:
            body(theirs)
        finally:
            os._exit(0)
    theirs.close()
    return ours, pid


def timed(count: int, step: Callable[[], object]) -> float:
    for _ in range(count // 10):
        step()
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count


# Round trips.


def floor_in_c(binary: Path) -> float:
    return int(subprocess.check_output([binary, str(TRIPS)])) / 1e9


def floor_in_python() -> float:
    def echo(sock: socket.socket) -> None:
        fd = sock.fileno()
        while data := os.read(fd, 4096):
            os.write(fd, data)

    sock, pid = in_child(echo)
    fd = sock.fileno()

    def trip() -> None:
        os.write(fd, WIRE)
        os.read(fd, 4096)

    with sock:
        seconds = timed(TRIPS, trip)
    os.waitpid(pid, 0)
    return seconds


def trip_coachman() -> float:
    def echo(sock: socket.socket) -> None:
        channel = MessageChannel(sock)
        while (message := channel.read()) is not None:
            channel.write(*message)

    sock, pid = in_child(echo)
    with MessageChannel(sock) as channel:

        def trip() -> None:
            channel.write("hello", "Joe", "Dalton")
            channel.read()

        seconds = timed(TRIPS, trip)
    os.waitpid(pid, 0)
    return seconds


class Echo(AbstractServer):
    @message_handler("hello")
    def handle_hello(self, first_name: str, last_name: str) -> None:
        self.send_to_client("hello", first_name, last_name)


def trip_server() -> float:
    with Echo() as server:
        return timed(TRIPS, lambda: server.call("hello", "Joe", "Dalton"))


def trip_multiprocessing() -> float:
    def echo(sock: socket.socket) -> None:
        connection: Connection[object, object] = Connection(sock.detach())
        try:
            while True:
                connection.send(connection.recv())
        except EOFError:
            return

    sock, pid = in_child(echo)
    with Connection(sock.detach()) as connection:

        def trip() -> None:
            connection.send(MESSAGE)
            connection.recv()

        seconds = timed(TRIPS, trip)
    os.waitpid(pid, 0)
    return seconds


# One way, as fast as they come; the end is known by an answer.


def one_way_coachman(*, together: int = 1) -> float:
    def swallow(sock: socket.socket) -> None:
        channel = MessageChannel(sock)
        for _ in range(ONE_WAY):
            channel.read()
        channel.write("done")

    sock, pid = in_child(swallow)
    with MessageChannel(sock) as channel:
        start = time.perf_counter()
        if together == 1:
            for _ in range(ONE_WAY):
                channel.write("hello", "Joe", "Dalton")
        else:
            for _ in range(ONE_WAY // together):
                channel.write_all([MESSAGE] * together)
        channel.read()
        seconds = (time.perf_counter() - start) / ONE_WAY
    os.waitpid(pid, 0)
    return seconds


def one_way_together() -> float:
    return one_way_coachman(together=100)


def one_way_multiprocessing() -> float:
    def swallow(sock: socket.socket) -> None:
        connection: Connection[object, object] = Connection(sock.detach())
        for _ in range(ONE_WAY):
            connection.recv()
        connection.send("done")

    sock, pid = in_child(swallow)
    with Connection(sock.detach()) as connection:
        start = time.perf_counter()
        for _ in range(ONE_WAY):
            connection.send(MESSAGE)
        connection.recv()
        seconds = (time.perf_counter() - start) / ONE_WAY
    os.waitpid(pid, 0)
    return seconds


# Descriptors, in the default manner of each: multiprocessing waits for an acknowledgement only on macOS.


def pass_coachman(negotiate: bool) -> float:
    def receive(sock: socket.socket) -> None:
        channel = MessageChannel(sock)
        while (fd := channel.recv_io(negotiate)) is not None:
            os.close(fd)

    sock, pid = in_child(receive)
    with MessageChannel(sock) as channel:
        start = time.perf_counter()
        for _ in range(PASSES):
            channel.send_io(0, negotiate)
        seconds = (time.perf_counter() - start) / PASSES
    os.waitpid(pid, 0)
    return seconds


def pass_multiprocessing() -> float:
    def receive(sock: socket.socket) -> None:
        connection: Connection[object, object] = Connection(sock.detach())
        try:
            while True:
                os.close(multiprocessing.reduction.recv_handle(connection))
        except (EOFError, RuntimeError):
            return

    sock, pid = in_child(receive)
    with Connection(sock.detach()) as connection:
        start = time.perf_counter()
        for _ in range(PASSES):
            multiprocessing.reduction.send_handle(connection, 0, pid)
        seconds = (time.perf_counter() - start) / PASSES
    os.waitpid(pid, 0)
    return seconds


def compiled_floor(directory: str) -> Measure:
    compiler = shutil.which("cc")
    if compiler is None:
        return floor_in_python
    binary = Path(directory) / "floor"
    subprocess.check_call([compiler, "-O2", "-o", binary, Path(__file__).with_name("floor.c")])
    return lambda: floor_in_c(binary)


def best_of(measures: dict[str, Measure]) -> dict[str, float]:
    best = dict.fromkeys(measures, float("inf"))
    for _ in range(ROUNDS):
        for name, measure in measures.items():
            best[name] = min(best[name], measure())
    return best


MEASURES: dict[str, Measure] = {
    "round trip: MessageChannel": trip_coachman,
    "round trip: AbstractServer.call": trip_server,
    "round trip: multiprocessing": trip_multiprocessing,
    "one way: MessageChannel.write": one_way_coachman,
    "one way: MessageChannel.write_all": one_way_together,
    "one way: multiprocessing": one_way_multiprocessing,
    "descriptor: MessageChannel": lambda: pass_coachman(negotiate=False),
    "descriptor: negotiated": lambda: pass_coachman(negotiate=True),
    "descriptor: multiprocessing": pass_multiprocessing,
}
FLOOR = "round trip: floor"
# Title, the slower, the faster, the goal.
RATIOS = [
    ("round trip, MessageChannel / floor", "round trip: MessageChannel", FLOOR, "at most 2.0"),
    ("round trip, AbstractServer.call / floor", "round trip: AbstractServer.call", FLOOR, ""),
    (
        "round trip, multiprocessing / ours",
        "round trip: multiprocessing",
        "round trip: MessageChannel",
        "1.8",
    ),
    ("one way, multiprocessing / write", "one way: multiprocessing", "one way: MessageChannel.write", ""),
    (
        "one way, multiprocessing / write_all",
        "one way: multiprocessing",
        "one way: MessageChannel.write_all",
        "3",
    ),
    ("descriptor, multiprocessing / ours", "descriptor: multiprocessing", "descriptor: MessageChannel", "2"),
]


def main() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as directory:
        best = best_of({FLOOR: compiled_floor(directory), **MEASURES})
    for name, seconds in best.items():
        print(f"{name:36} {seconds * 1e6:8.2f} us")
    print()
    for title, over, under, goal in RATIOS:
        print(f"{title:42} {best[over] / best[under]:5.2f}   {goal and 'goal: ' + goal}")


if __name__ == "__main__":
    main()
