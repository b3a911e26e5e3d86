"""The asyncio flavour: the same promises, and what cancelling means."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine

import pytest

from coachman import (
    AsyncMessageChannel,
    ChannelBusy,
    ChannelDead,
    ChannelTimeout,
    LocalProtocolError,
    MessageChannel,
    MessageCut,
    PeerGone,
    RemoteProtocolError,
)

Ends = tuple[AsyncMessageChannel, AsyncMessageChannel]
Talk = Callable[[AsyncMessageChannel, AsyncMessageChannel], Coroutine[None, None, None]]


def run(talk: Talk) -> None:
    async def between_two_ends() -> None:
        left, right = socket.socketpair()
        async with AsyncMessageChannel(left) as a, AsyncMessageChannel(right) as b:
            await talk(a, b)

    asyncio.run(between_two_ends())


def run_with_peer(talk: Callable[[AsyncMessageChannel, socket.socket], Coroutine[None, None, None]]) -> None:
    async def with_a_bare_socket() -> None:
        left, peer = socket.socketpair()
        with peer:
            async with AsyncMessageChannel(left) as channel:
                await talk(channel, peer)

    asyncio.run(with_a_bare_socket())


async def waiting(coroutine: Coroutine[None, None, object]) -> asyncio.Task[object]:
    """Return a task that has begun and waits."""
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    return task


def test_what_is_written_is_read() -> None:
    async def talk(a: AsyncMessageChannel, b: AsyncMessageChannel) -> None:
        reading = await waiting(b.read())
        await a.write("hello", "Joe")
        assert await reading == ["hello", "Joe"]
        _, received = await asyncio.gather(a.write_scalar(bytes(1_000_000)), b.read_scalar())
        assert received == bytes(1_000_000)
        messages = [["message", str(number)] for number in range(1000)]
        await a.write_all(messages)
        a.close()
        assert [message async for message in b] == messages

    run(talk)


@pytest.mark.parametrize("negotiate", [True, False])
def test_descriptors_pass(negotiate: bool) -> None:
    async def talk(a: AsyncMessageChannel, b: AsyncMessageChannel) -> None:
        _, received = await asyncio.gather(a.send_io(0, negotiate), b.recv_io(negotiate))
        assert received is not None
        assert os.path.sameopenfile(received, 0)
        assert not os.get_inheritable(received)
        os.close(received)

    run(talk)


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
            assert await a.recv_io() is None

    asyncio.run(talk())


def test_a_read_that_is_cancelled_or_out_of_time_loses_nothing() -> None:
    async def talk(channel: AsyncMessageChannel, peer: socket.socket) -> None:
        for byte in b"\0\x02a":
            peer.send(bytes([byte]))
            with pytest.raises(ChannelTimeout):
                await channel.read(timeout=0.001)
            reading = await waiting(channel.read())
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        peer.send(b"\0")
        assert await channel.read(timeout=0) == ["a"]

    run_with_peer(talk)


def test_a_write_that_is_cancelled_continues_and_no_other_may() -> None:
    async def talk(a: AsyncMessageChannel, b: AsyncMessageChannel) -> None:
        body = os.urandom(1_000_000)
        writing = await waiting(a.write_scalar(body))
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        with pytest.raises(LocalProtocolError, match="repeat that call"):
            await a.write("something else")
        _, received = await asyncio.gather(a.write_scalar(body), b.read_scalar())
        assert received == body
        await a.write("something else")
        assert await b.read() == ["something else"]

    run(talk)


def test_a_negotiation_that_is_cancelled_continues() -> None:
    async def talk(a: AsyncMessageChannel, b: AsyncMessageChannel) -> None:
        receiving = await waiting(b.recv_io())
        receiving.cancel()
        sending = await waiting(a.send_io(0))
        sending.cancel()
        await asyncio.gather(receiving, sending, return_exceptions=True)
        _, received = await asyncio.gather(a.send_io(0), b.recv_io())
        assert received is not None
        os.close(received)
        await a.write("in step")
        assert await b.read() == ["in step"]

    run(talk)


def test_a_second_reader_is_refused_and_closing_wakes_the_first() -> None:
    async def talk(a: AsyncMessageChannel, b: AsyncMessageChannel) -> None:
        reading = await waiting(a.read())
        with pytest.raises(ChannelBusy, match="reading"):
            await a.read()
        await a.write("a writer may work meanwhile")
        a.close()
        a.close()
        with pytest.raises(ChannelDead, match="closed"):
            await reading
        with pytest.raises(ChannelDead, match="closed"):
            await a.write("x")
        assert await b.read() == ["a writer may work meanwhile"]

    run(talk)


def test_the_errors_are_the_same() -> None:
    async def cut(channel: AsyncMessageChannel, peer: socket.socket) -> None:
        peer.sendall(b"\0\x05abc")
        peer.close()
        with pytest.raises(MessageCut, match="2 are missing"):
            await channel.read()
        with pytest.raises(ChannelDead, match="2 are missing"):
            await channel.write("x")

    async def gone(channel: AsyncMessageChannel, peer: socket.socket) -> None:
        peer.close()
        with pytest.raises(PeerGone):
            await channel.write("x")

    async def no_descriptor(channel: AsyncMessageChannel, peer: socket.socket) -> None:
        peer.sendall(b"\0")
        with pytest.raises(RemoteProtocolError, match="descriptor was expected"):
            await channel.recv_io(negotiate=False)

    for talk in (cut, gone, no_descriptor):
        run_with_peer(talk)
