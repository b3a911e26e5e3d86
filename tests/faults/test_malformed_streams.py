"""A fuzzer: whatever the peer sends, a read ends with an item, the end, or an error that has a name.

COACHMAN_FUZZ=1000000 in the environment makes it as long as it should once have been.
"""

from __future__ import annotations

import array
import os
import random
import socket

from coachman import ChannelError, MessageChannel, PeerGone

ROUNDS = int(os.environ.get("COACHMAN_FUZZ", "3000"))
FRAGMENTS = (
    b"\0\0",
    b"\0\x02a\0",
    b"\0\x08pass IO\0",
    b"\0\x07got IO\0",
    b"\0\0\0\x02ab",
    b"\xff\xff",
    b"\0\x05a",
)


def malformed(numbers: random.Random) -> bytes:
    parts = [
        numbers.choice(FRAGMENTS) if numbers.random() < 0.7 else numbers.randbytes(numbers.randrange(20))
        for _ in range(numbers.randrange(8))
    ]
    stream = bytearray(b"".join(parts))
    for _ in range(numbers.randrange(3)):
        if stream:
            stream[numbers.randrange(len(stream))] = numbers.randrange(256)
    return bytes(stream)


def send(numbers: random.Random, peer: socket.socket, stream: bytes) -> None:
    """Send in pieces, some with descriptors."""
    while stream:
        size = numbers.randrange(len(stream)) + 1
        rights = [0] * numbers.randrange(1, 4) if numbers.random() < 0.2 else []
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", rights))] if rights else []
        peer.sendmsg([stream[:size]], ancillary)
        stream = stream[size:]


def test_no_stream_makes_a_channel_hang_leak_or_fail_without_a_name() -> None:
    seed = random.randrange(2**32)
    numbers = random.Random(seed)
    for _ in range(ROUNDS):
        left, peer = socket.socketpair()
        with MessageChannel(left) as channel:
            with peer:
                send(numbers, peer, malformed(numbers))
            for _ in range(20):
                try:
                    item = ask(numbers, channel)
                except PeerGone:
                    continue
                except ChannelError:
                    break
                if item is None:
                    break


def ask(numbers: random.Random, channel: MessageChannel) -> object:
    question = numbers.randrange(5)
    if question == 0:
        return channel.read_scalar(max_size=numbers.choice((None, 10)), timeout=10)
    if question == 1:
        fd = channel.recv_io(negotiate=numbers.random() < 0.5, timeout=10)
        if fd is not None:
            os.close(fd)
        return fd
    if question == 2:
        channel.send_io(0, negotiate=True, timeout=10)
        return True
    return channel.read(timeout=10)
