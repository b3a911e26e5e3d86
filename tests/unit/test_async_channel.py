import asyncio
import os
import socket

import pytest

from coachman import AsyncMessageChannel, ChannelBusy, ChannelDead, ChannelTimeout, MessageChannel


def pair() -> tuple[AsyncMessageChannel, AsyncMessageChannel]:
    left, right = socket.socketpair()
    return AsyncMessageChannel(left), AsyncMessageChannel(right)


def test_what_is_written_is_read() -> None:
    async def talk() -> None:
        a, b = pair()
        async with a, b:
            reading = asyncio.create_task(b.read())
            await asyncio.sleep(0)
            await a.write("hello", "Joe")
            assert await reading == ["hello", "Joe"]
            await asyncio.gather(a.write_scalar(bytes(1_000_000)), expect_scalar(b))

    async def expect_scalar(channel: AsyncMessageChannel) -> None:
        assert await channel.read_scalar() == bytes(1_000_000)

    asyncio.run(talk())


@pytest.mark.parametrize("negotiate", [True, False])
def test_descriptors_pass(negotiate: bool) -> None:
    async def talk() -> None:
        a, b = pair()
        async with a, b:
            _, received = await asyncio.gather(a.send_io(0, negotiate), b.recv_io(negotiate))
            assert received is not None
            assert os.fstat(received) == os.fstat(0)
            os.close(received)

    asyncio.run(talk())


def test_it_talks_to_the_blocking_flavour() -> None:
    async def talk() -> None:
        left, right = socket.socketpair()
        async with AsyncMessageChannel(left) as a:
            with MessageChannel(right) as b:
                b.write("hello")
                assert await a.read() == ["hello"]
                await a.write("you", "too")
                assert b.read() == ["you", "too"]
            assert await a.read() is None

    asyncio.run(talk())


def test_a_cancelled_read_loses_nothing() -> None:
    async def talk() -> None:
        left, raw = socket.socketpair()
        async with AsyncMessageChannel(left) as a:
            with raw:
                for byte in b"\0\x02a":
                    raw.send(bytes([byte]))
                    with pytest.raises(ChannelTimeout):
                        await a.read(timeout=0.001)
                raw.send(b"\0")
                assert await a.read() == ["a"]

    asyncio.run(talk())


def test_a_second_reader_is_refused_and_closing_wakes_the_first() -> None:
    async def talk() -> None:
        a, b = pair()
        async with a, b:
            reading = asyncio.create_task(a.read())
            await asyncio.sleep(0)
            with pytest.raises(ChannelBusy):
                await a.read()
            a.close()
            with pytest.raises(ChannelDead, match="closed"):
                await reading

    asyncio.run(talk())
