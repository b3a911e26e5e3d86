"""The undertaker by itself: what it holds, when it lets go, and that it is there."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from coachman.supervisor.undertaker import undertaker as module
from coachman.supervisor.undertaker.undertaker import Estate, Undertaker
from coachman.unix.lifeline import Lifeline

PATIENCE = 30.0
"""Seconds: a deadline where a test would fail, nothing that a test waits for."""


class Bench:
    """The supervisor's place: its own lifeline, those of two applications, a listening socket."""

    def __init__(self, on_end: ExitStack) -> None:
        self.supervisor, self.brief, self.long = Lifeline(), Lifeline(), Lifeline()
        for lifeline in (self.supervisor, self.brief, self.long):
            on_end.callback(lifeline.close)
        self.listener = on_end.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._on_end = on_end

    def lower_end(self, lifeline: Lifeline) -> int:
        fd = lifeline.lower_end()
        self._on_end.callback(os.close, fd)
        return fd

    def start(self, brief: float, long: float) -> subprocess.Popen[bytes]:
        """Start the program, and keep nothing of what it holds but the supervisor's lifeline."""
        ours = self.supervisor.lower_end()
        fds = [ours, self.listener.fileno(), self.brief.upper_end, self.long.upper_end]
        lifelines = f"{self.brief.upper_end}:{brief},{self.long.upper_end}:{long}"
        arguments = [str(ours), str(self.listener.fileno()), lifelines]
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(module.PROGRAM), *arguments], pass_fds=fds
        )
        os.close(ours)
        self._on_end.callback(process.wait)
        self._on_end.callback(process.kill)
        return process


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as on_end:
        yield Bench(on_end)


def wait_for_hangup(fd: int) -> float:
    """Return the moment."""
    poll = select.poll()
    poll.register(fd, 0)
    assert poll.poll(PATIENCE * 1000), "the lifeline still holds"
    return time.monotonic()


def test_every_lifeline_holds_for_its_time(bench: Bench) -> None:
    brief, long = bench.lower_end(bench.brief), bench.lower_end(bench.long)
    process = bench.start(brief=0.1, long=0.3)
    bench.brief.close()
    bench.long.close()
    killed_at = time.monotonic()
    bench.supervisor.close()
    assert wait_for_hangup(brief) - killed_at >= 0.1
    assert wait_for_hangup(long) - killed_at >= 0.3
    assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("seconds", [3600, 40 * 86_400], ids=["an hour", "more than poll takes"])
def test_a_lifeline_on_which_nobody_depends_is_given_up_at_once(bench: Bench, seconds: float) -> None:
    process = bench.start(brief=seconds, long=seconds)
    bench.brief.close()
    bench.long.close()
    bench.supervisor.close()
    assert process.wait(PATIENCE) == 0


def test_the_listening_sockets_are_deaf_once_the_supervisor_is_gone(bench: Bench) -> None:
    depends = bench.lower_end(bench.long)
    bench.start(brief=3600, long=3600)
    bench.long.close()
    with socket.create_connection(bench.listener.getsockname(), PATIENCE) as waiting:
        bench.supervisor.close()
        with pytest.raises(ConnectionResetError):
            waiting.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(bench.listener.getsockname(), PATIENCE)
    assert not select.select([depends], [], [], 0)[0]


class Notes:
    """What the supervisor's half says, one after the other."""

    def __init__(self) -> None:
        self._notes: asyncio.Queue[str] = asyncio.Queue()
        self.add = self._notes.put_nowait

    async def next(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return await self._notes.get()


def test_it_is_deaf_to_every_signal_from_its_first_moment() -> None:
    async def main() -> None:
        lifeline = Lifeline()
        undertaker = Undertaker([Estate(lifeline, 3600.0, [])], Notes().add)
        (pid,) = undertaker.pids()
        status = Path(f"/proc/{pid}/status").read_text()
        undertaker.close()
        lifeline.close()
        (blocked,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigBlk"))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
            assert int(blocked, 16) >> number - 1 & 1, number

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    asyncio.run(main())
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask


def test_it_is_gone_when_it_is_closed() -> None:
    async def main() -> None:
        undertaker = Undertaker([], Notes().add)
        (pid,) = undertaker.pids()
        undertaker.close()
        assert not undertaker.pids()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(main())


def test_what_it_sees_to_can_change() -> None:
    async def main() -> None:
        lifeline, notes = Lifeline(), Notes()
        undertaker = Undertaker([Estate(lifeline, 5.0, [])], notes.add)
        (first,) = undertaker.pids()
        undertaker.look_after([Estate(lifeline, 5.0, [])])
        assert undertaker.pids() == {first}, "that is no change"
        undertaker.look_after([Estate(lifeline, 60.0, [])])
        (second,) = undertaker.pids()
        assert second != first
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        undertaker.close()
        lifeline.close()

    asyncio.run(main())


def test_one_that_cannot_be_replaced_goes_on_until_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        lifeline, notes = Lifeline(), Notes()
        undertaker = Undertaker([Estate(lifeline, 5.0, [])], notes.add)
        (first,) = undertaker.pids()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", "/nonexistent/python")
            undertaker.look_after([Estate(lifeline, 60.0, [])])
            assert "goes by the drain timeouts of before: [Errno 2]" in await notes.next()
            assert undertaker.pids() == {first}
        note = await notes.next()
        (second,) = undertaker.pids()
        assert note == f"another undertaker (pid {second}) has taken over"
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        undertaker.close()
        lifeline.close()

    asyncio.run(main())


def test_one_that_was_killed_is_replaced() -> None:
    async def main() -> None:
        notes = Notes()
        undertaker = Undertaker([], notes.add)
        (first,) = undertaker.pids()
        os.kill(first, signal.SIGKILL)
        assert await notes.next() == f"the undertaker (pid {first}) ended with SIGKILL; replacing it"
        note = await notes.next()
        (second,) = undertaker.pids()
        assert second != first
        assert note == f"another undertaker (pid {second}) has taken over"
        undertaker.close()

    asyncio.run(main())


def test_one_that_dies_again_and_again_is_replaced_ever_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "program.py"
    program.write_text("raise SystemExit(3)")
    monkeypatch.setattr(module, "PROGRAM", program)

    async def main() -> None:
        notes = Notes()
        undertaker = Undertaker([], notes.add)
        said = [await notes.next() for _ in range(5)]
        undertaker.close()
        assert [note.partition("; ")[2] for note in said[::2]] == [
            "replacing it",
            "replacing it in 100 ms",
            "replacing it in 200 ms",
        ]
        assert "ended with exit status 3" in said[0]

    asyncio.run(main())


def test_one_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    interpreter = sys.executable
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")

    async def main() -> None:
        notes = Notes()
        undertaker = Undertaker([], notes.add)
        assert not undertaker.pids()
        assert "could not be started: [Errno 2]" in await notes.next()
        monkeypatch.setattr(sys, "executable", interpreter)
        assert "has taken over" in await notes.next()
        undertaker.close()

    asyncio.run(main())
