"""kill -9 on either side at every step of a message; no descriptor left to receive one with."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Callable

import pytest

from coachman import MessageChannel, MessageCut, PeerGone, RemoteProtocolError
from coachman.protocol.messages import encode_array, encode_scalar


def dying_peer(before: Callable[[MessageChannel], object]) -> tuple[MessageChannel, int]:
    """Fork a peer that does something on its channel and kills itself; return our channel and its pid."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            before(MessageChannel(theirs))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    theirs.close()
    return MessageChannel(ours), pid


def test_killed_after_every_byte_of_a_message() -> None:
    wire = encode_array(("hello", "world"))
    for size in range(len(wire) + 1):
        channel, pid = dying_peer(lambda peer, size=size: os.write(peer.fileno(), wire[:size]))  # type: ignore[misc]  # a default is no hint
        with channel:
            if size == 0:
                assert channel.read() is None
            elif size == len(wire):
                assert channel.read() == ["hello", "world"]
                assert channel.read() is None
            else:
                with pytest.raises(MessageCut) as caught:
                    channel.read()
                assert caught.value.received == size
                assert 0 < caught.value.missing <= len(wire) - size
        os.waitpid(pid, 0)


def test_killed_in_the_middle_of_a_scalar() -> None:
    wire = encode_scalar(bytes(1_000_000))
    channel, pid = dying_peer(lambda peer: peer._socket.sendall(wire[:700_000]))
    with channel, pytest.raises(MessageCut, match="700000 bytes came, 300004 are missing"):
        channel.read_scalar()
    os.waitpid(pid, 0)


def test_killed_while_we_write() -> None:
    channel, pid = dying_peer(lambda peer: os.read(peer.fileno(), 10))
    with channel, pytest.raises(PeerGone):
        channel.write_scalar(bytes(10_000_000))
    os.waitpid(pid, 0)


def ask_for_a_descriptor(peer: MessageChannel) -> None:
    peer.write("pass IO")


def take_a_descriptor(peer: MessageChannel) -> None:
    peer.write("pass IO")
    os.read(peer.fileno(), 1)


@pytest.mark.parametrize("before", [repr, ask_for_a_descriptor, take_a_descriptor])
def test_killed_while_a_descriptor_is_sent_to_it(before: Callable[[MessageChannel], object]) -> None:
    channel, pid = dying_peer(before)
    with channel, pytest.raises(PeerGone):
        channel.send_io(0)
    os.waitpid(pid, 0)


def test_killed_while_a_descriptor_is_received_from_it() -> None:
    channel, pid = dying_peer(lambda peer: peer.read())
    with channel:
        assert channel.recv_io() is None
    os.waitpid(pid, 0)


def test_killed_right_after_it_sent_a_descriptor() -> None:
    def send_a_descriptor(peer: MessageChannel) -> None:
        peer.read()
        peer.send_io(0, negotiate=False)

    channel, pid = dying_peer(send_a_descriptor)
    with channel:
        received = channel.recv_io()
        assert received is not None
        os.close(received)
    os.waitpid(pid, 0)


def test_no_descriptor_left_while_receiving_one() -> None:
    left, right = socket.socketpair()
    with MessageChannel(left) as channel, MessageChannel(right) as peer:
        peer.send_io(0, negotiate=False)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            with pytest.raises(RemoteProtocolError, match="RLIMIT_NOFILE"):
                channel.recv_io(negotiate=False)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        peer.write("lost")
        with pytest.raises(Exception, match="no free one left"):
            channel.read()
