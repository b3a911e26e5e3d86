"""How the supervisor reads the pipes that applications print to."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import pytest

from coachman.supervisor.log.gate import Gate
from coachman.supervisor.process.pipes import PIPE_SIZE, READ_SIZE, LineReceiver, PipeReader
from coachman.unix.pipes import DEFAULT_SIZE, enlarge, waiting_bytes

Main = Callable[[], Awaitable[None]]


class Writer:
    """The end of a pipe that an application would write to, and what a reader has received from it."""

    def __init__(self) -> None:
        self.read_end, self.fd = os.pipe()
        self.received: list[bytes] = []
        self.news = asyncio.Event()

    def receive(self, data: bytes) -> None:
        self.received.append(data)
        self.news.set()

    async def wait(self) -> None:
        """Wait until something is received."""
        await asyncio.wait_for(self.news.wait(), 10)
        self.news.clear()

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


@pytest.fixture
def writer() -> Iterator[Writer]:
    writer = Writer()
    yield writer
    writer.close()


def fill(fd: int) -> int:
    """Write until the pipe is full; return how many bytes that were."""
    os.set_blocking(fd, False)
    size = 0
    with suppress(BlockingIOError):
        while True:
            size += os.write(fd, b"x" * 4096)
    return size


async def turns(count: int = 3) -> None:
    """Let the loop look at its descriptors so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_what_is_printed_arrives_and_then_the_end(writer: Writer) -> None:
    async def main() -> None:
        reader = PipeReader(writer.read_end, writer.receive, Gate())
        os.write(writer.fd, b"one")
        await writer.wait()
        writer.close()
        await writer.wait()
        assert reader.ended
        reader.close()

    asyncio.run(main())
    assert writer.received == [b"one", b""]


def test_a_pipe_is_enlarged(writer: Writer) -> None:
    async def main() -> None:
        reader = PipeReader(writer.read_end, writer.receive, Gate())
        assert fill(writer.fd) == PIPE_SIZE
        reader.close()

    asyncio.run(main())


def test_what_cannot_be_enlarged_stays_as_it_is() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    assert enlarge(null, PIPE_SIZE) == DEFAULT_SIZE
    os.close(null)


def test_while_the_gate_is_shut_a_pipe_is_left_to_fill(writer: Writer) -> None:
    async def main() -> None:
        gate = Gate()
        reader = PipeReader(writer.read_end, writer.receive, gate)
        gate.shut()
        size = fill(writer.fd)
        await turns()
        assert writer.received == []
        assert waiting_bytes(writer.read_end) == size
        gate.open()
        while sum(map(len, writer.received)) < size:
            await writer.wait()
        reader.close()

    asyncio.run(main())


def test_an_urgent_pipe_is_read_while_the_gate_is_shut(writer: Writer) -> None:
    async def main() -> None:
        gate = Gate()
        reader = PipeReader(writer.read_end, writer.receive, gate, urgent=True)
        gate.shut()
        os.write(writer.fd, b"!> Ready\n")
        await writer.wait()
        assert writer.received == [b"!> Ready\n"]
        reader.urgent = False
        os.write(writer.fd, b"output\n")
        await turns()
        assert waiting_bytes(writer.read_end) == len("output\n")
        reader.close()
        gate.open()

    asyncio.run(main())
    assert writer.received[1:] == [b"output\n", b""]


def test_a_reader_that_rests_leaves_in_the_pipe_what_comes_meanwhile(writer: Writer) -> None:
    async def main() -> None:
        reader = PipeReader(writer.read_end, writer.receive, Gate(), rest=3600.0)
        os.write(writer.fd, b"the first is not kept waiting\n")
        await writer.wait()
        for _ in range(3):
            os.write(writer.fd, b"more\n")
            await turns()
        assert waiting_bytes(writer.read_end) == len("more\n") * 3
        reader.close()

    asyncio.run(main())
    assert writer.received == [b"the first is not kept waiting\n", b"more\n" * 3, b""]


def test_a_rest_comes_to_its_end(writer: Writer) -> None:
    async def main() -> None:
        reader = PipeReader(writer.read_end, writer.receive, Gate(), rest=0.001)
        for _ in range(3):
            os.write(writer.fd, b"line\n")
            await writer.wait()
        writer.close()
        await writer.wait()
        assert reader.ended

    asyncio.run(main())
    assert writer.received == [b"line\n"] * 3 + [b""]


def test_what_comes_during_a_rest_is_heard_when_the_pipe_is_closed(writer: Writer) -> None:
    async def main() -> None:
        reader = PipeReader(writer.read_end, writer.receive, Gate(), rest=3600.0)
        os.write(writer.fd, b"one\n")
        await writer.wait()
        os.write(writer.fd, b"two\n")
        await reader.hear_out(time.monotonic() + 10)
        os.write(writer.fd, b"three\n")
        reader.close()

    asyncio.run(main())
    assert writer.received == [b"one\n", b"two\n", b"three\n", b""]


def test_a_flood_leaves_no_time_to_rest(writer: Writer) -> None:
    async def main() -> None:
        reader = PipeReader(writer.read_end, writer.receive, Gate(), rest=3600.0)
        size = fill(writer.fd)
        while sum(map(len, writer.received)) < size:
            await writer.wait()
        reader.close()

    asyncio.run(main())


def test_a_pipe_that_is_half_full_after_a_rest_is_watched_again(writer: Writer) -> None:
    async def main() -> None:
        reader = PipeReader(writer.read_end, writer.receive, Gate(), rest=0.001)
        os.write(writer.fd, b"line\n")
        await writer.wait()
        half = bytes(PIPE_SIZE // 2)
        os.write(writer.fd, half)
        await writer.wait()
        os.write(writer.fd, half)
        await writer.wait()
        assert b"".join(writer.received) == b"line\n" + half + half
        reader.close()

    asyncio.run(main())


def test_every_pipe_has_its_turn(writer: Writer) -> None:
    """A pipe that is always full does not keep another one waiting."""

    async def main() -> None:
        other = Writer()

        def receive_and_refill(data: bytes) -> None:
            writer.received.append(data)
            if data:
                fill(writer.fd)

        gate = Gate()
        reader = PipeReader(writer.read_end, receive_and_refill, gate)
        fill(writer.fd)
        other_reader = PipeReader(other.read_end, other.receive, gate)
        os.write(other.fd, b"a word")
        await other.wait()
        assert len(writer.received) <= 3
        reader.close()
        other_reader.close()
        other.close()

    asyncio.run(main())
    assert max(map(len, writer.received)) == READ_SIZE


def test_what_is_there_is_read_and_not_what_comes_meanwhile(writer: Writer) -> None:
    async def main() -> None:
        def receive_and_refill(data: bytes) -> None:
            writer.received.append(data)
            if data:
                fill(writer.fd)

        reader = PipeReader(writer.read_end, receive_and_refill, Gate())
        size = fill(writer.fd)
        reader.read_available()
        assert sum(map(len, writer.received)) == size
        await reader.hear_out(time.monotonic() + 10)
        assert sum(map(len, writer.received)) == 2 * size
        reader.close()

    asyncio.run(main())


def test_last_words_wait_for_the_gate_and_then_wait_no_longer(writer: Writer) -> None:
    async def main() -> None:
        gate = Gate()
        reader = PipeReader(writer.read_end, writer.receive, gate)
        gate.shut()
        size = fill(writer.fd)
        hearing = asyncio.create_task(reader.hear_out(time.monotonic() + 60))
        await turns()
        assert writer.received == []
        gate.open()
        await asyncio.wait_for(hearing, 10)
        assert sum(map(len, writer.received)) == size

        gate.shut()
        fill(writer.fd)
        await asyncio.wait_for(reader.hear_out(time.monotonic() + 0.01), 10)
        assert sum(map(len, writer.received)) == 2 * size
        reader.close()

    asyncio.run(main())


def test_lines_are_received_in_whole_blocks_and_the_last_one_at_the_end() -> None:
    blocks: list[bytes] = []
    receiver = LineReceiver(blocks.append, b"a ")
    for data in (b"line\nand", b" another\n", b"\nand an", b" unfinished one", b""):
        receiver(data)
    assert blocks == [b"a line\n", b"and another\n", b"\n", b"and an unfinished one\n"]
