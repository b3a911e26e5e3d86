import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

from coachman.supervisor.process.pipe_writer import PipeWriter

MORE_THAN_A_PIPE_HOLDS = bytes(range(256)) * 1024


def with_pipe(use: Callable[[PipeWriter, int], Awaitable[None]]) -> None:
    """Call `use` with a writer and the read end of its pipe, which `use` closes."""

    async def run() -> None:
        read_end, write_end = os.pipe()
        writer = PipeWriter(write_end)
        try:
            await use(writer, read_end)
        finally:
            writer.close()

    asyncio.run(run())


def read_to_the_end(fd: int) -> bytes:
    with open(fd, "rb") as file:
        return file.read()


def test_what_fits_is_written_at_once() -> None:
    async def use(writer: PipeWriter, read_end: int) -> None:
        writer.write(b"one ")
        writer.write(b"two")
        assert os.read(read_end, 100) == b"one two"
        os.close(read_end)

    with_pipe(use)


def test_what_does_not_fit_is_written_in_order_when_there_is_room() -> None:
    async def use(writer: PipeWriter, read_end: int) -> None:
        for _ in range(3):
            writer.write(MORE_THAN_A_PIPE_HOLDS)
        received = b""
        while len(received) < 3 * len(MORE_THAN_A_PIPE_HOLDS):
            received += await asyncio.to_thread(os.read, read_end, 65536)
        assert received == 3 * MORE_THAN_A_PIPE_HOLDS
        writer.write(b"again")
        assert os.read(read_end, 100) == b"again"
        os.close(read_end)

    with_pipe(use)


def test_closing_is_the_end_for_the_reader_and_drops_what_did_not_fit() -> None:
    async def use(writer: PipeWriter, read_end: int) -> None:
        writer.write(MORE_THAN_A_PIPE_HOLDS)
        writer.close()
        writer.close()
        writer.write(b"dropped")
        received = read_to_the_end(read_end)
        assert 0 < len(received) < len(MORE_THAN_A_PIPE_HOLDS)
        assert MORE_THAN_A_PIPE_HOLDS.startswith(received)

    with_pipe(use)


@pytest.mark.parametrize("kept", [b"", MORE_THAN_A_PIPE_HOLDS])
def test_a_reader_that_has_gone_is_no_failure(kept: bytes) -> None:
    async def use(writer: PipeWriter, read_end: int) -> None:
        writer.write(kept)
        os.close(read_end)
        writer.write(b"for nobody")
        await asyncio.sleep(0)  # the loop sees that the pipe is broken
        writer.write(b"for nobody")

    with_pipe(use)
