"""The rows of docs/protocols.md, section 1, on a real socket; each test is named after its row."""

from __future__ import annotations

import array
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

import pytest

from coachman import (
    ChannelDead,
    ChannelTimeout,
    LocalProtocolError,
    MessageChannel,
    MessageCut,
    PeerGone,
    RemoteProtocolError,
)
from coachman.unix.descriptor_queue import MAX_DESCRIPTORS

Wire = tuple[MessageChannel, socket.socket]


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Return a channel and the bare socket of its peer."""
    left, right = socket.socketpair()
    right.settimeout(10)
    with MessageChannel(left) as channel, right:
        yield channel, right


def send_descriptors(sock: socket.socket, data: bytes, numbers: list[int]) -> None:
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", numbers))])


def test_array_message(wire: Wire) -> None:
    channel, peer = wire
    channel.write("hello", "world")
    assert peer.recv(100).hex() == "000c68656c6c6f00776f726c6400"
    channel.write("")
    assert peer.recv(100).hex() == "000100"
    peer.sendall(bytes.fromhex("000c68656c6c6f00776f726c6400000100"))
    assert channel.read() == ["hello", "world"]
    assert channel.read() == [""]


def test_scalar_message(wire: Wire) -> None:
    channel, peer = wire
    channel.write_scalar("")
    assert peer.recv(100).hex() == "00000000"
    channel.write_scalar(b"\0\xff")
    channel.write_scalar("é")
    assert peer.recv(100).hex() == "0000000200ff" + "00000002c3a9"
    peer.sendall(bytes.fromhex("000000000000000200ff"))
    assert channel.read_scalar() == b""
    assert channel.read_scalar() == b"\0\xff"


def test_io_object_sent_with_negotiation(wire: Wire) -> None:
    channel, peer = wire
    with pytest.raises(ChannelTimeout):
        channel.send_io(0, timeout=0)
    peer.sendall(b"\0\x08pass IO\0")
    with pytest.raises(ChannelTimeout):
        channel.send_io(0, timeout=0)
    data, numbers, _, _ = socket.recv_fds(peer, 100, 10)
    assert len(data) == len(numbers) == 1
    assert os.path.sameopenfile(numbers[0], 0)
    os.close(numbers[0])
    peer.sendall(b"\0\x07got IO\0")
    channel.send_io(0, timeout=0)
    assert channel.statistics().descriptors_written == 1


def test_io_object_received_with_negotiation(wire: Wire) -> None:
    channel, peer = wire
    with pytest.raises(ChannelTimeout):
        channel.recv_io(timeout=0)
    assert peer.recv(100) == b"\0\x08pass IO\0"
    send_descriptors(peer, b"\0", [0])
    received = channel.recv_io(timeout=0)
    assert received is not None
    os.close(received)
    assert peer.recv(100) == b"\0\x07got IO\0"


def test_io_object_with_a_peer_that_negotiates_wrongly(wire: Wire) -> None:
    channel, peer = wire
    peer.sendall(b"\0\x08pass UP\0")
    with pytest.raises(RemoteProtocolError, match=r"\['pass UP'\] where 'pass IO' was expected"):
        channel.send_io(0)


def test_element_types(wire: Wire) -> None:
    channel, peer = wire
    channel.write("s", b"b", 1, 1.5, PurePosixPath("/p"), None)
    assert peer.recv(100)[2:] == b"s\0b\x001\x001.5\0/p\0\0"
    with pytest.raises(LocalProtocolError, match="not list"):
        channel.write("s", ["nested"])  # type: ignore[arg-type]  # the point


def test_text(wire: Wire) -> None:
    channel, peer = wire
    every_byte_but_nul = bytes(range(1, 256))
    peer.sendall(b"\x01\x00" + every_byte_but_nul + b"\0")
    message = channel.read()
    assert message is not None
    channel.write(*message)
    assert peer.recv(1000)[2:-1] == every_byte_but_nul


def test_length(wire: Wire) -> None:
    channel, peer = wire
    channel.write("é")
    assert peer.recv(100) == b"\x00\x03\xc3\xa9\x00"


@pytest.mark.parametrize("message", [("x" * 65_535,), ("é" * 32_768,), ("x", "y" * 65_533)])
def test_body_over_65535_bytes(wire: Wire, message: tuple[str, ...]) -> None:
    channel, peer = wire
    with pytest.raises(LocalProtocolError, match="at most 65535"):
        channel.write(*message)
    channel.write("still", "alive")
    assert peer.recv(100) == b"\0\x0cstill\0alive\0"
    channel.write("x" * 65_534)
    assert len(peer.recv(100_000)) == 65_537


def test_nul_inside_an_element(wire: Wire) -> None:
    channel, peer = wire
    with pytest.raises(LocalProtocolError, match="'name' contains a NUL"):
        channel.write("name", "a\0b")
    channel.write("still")
    assert peer.recv(100) == b"\0\x06still\0"


def test_end_of_stream_between_messages(wire: Wire) -> None:
    channel, peer = wire
    peer.sendall(b"\0\x02a\0")
    peer.close()
    assert channel.read() == ["a"]
    for _ in range(2):
        assert channel.read() is None
        assert channel.read_scalar() is None
        assert channel.recv_io(negotiate=False) is None
        assert channel.recv_io() is None


@pytest.mark.parametrize(
    ("part", "missing"), [(b"\0", 1), (b"\0\x05", 5), (b"\0\x05abc", 2), (b"\0\x05abcd", 1)]
)
def test_end_of_stream_inside_a_message(wire: Wire, part: bytes, missing: int) -> None:
    channel, peer = wire
    peer.sendall(part)
    peer.close()
    with pytest.raises(MessageCut, match=f"{missing} are missing") as caught:
        channel.read()
    assert (caught.value.received, caught.value.missing) == (len(part), missing)
    with pytest.raises(ChannelDead, match="missing"):
        channel.read()
    with pytest.raises(ChannelDead, match="missing"):
        channel.write("anything")


@pytest.mark.parametrize(("part", "missing"), [(b"\0\0\0", 1), (b"\0\0\0\x05abc", 2)])
def test_end_of_stream_inside_a_scalar(wire: Wire, part: bytes, missing: int) -> None:
    channel, peer = wire
    peer.sendall(part)
    peer.close()
    with pytest.raises(MessageCut, match=f"{missing} are missing"):
        channel.read_scalar()


def test_connection_reset(wire: Wire) -> None:
    channel, peer = wire
    channel.write("never read, so that closing resets")
    peer.close()
    assert channel.read() is None


def test_connection_reset_inside_a_message(wire: Wire) -> None:
    channel, peer = wire
    channel.write("never read, so that closing resets")
    peer.sendall(b"\0\x05abc")
    peer.close()
    with pytest.raises(MessageCut, match="2 are missing"):
        channel.read()


@pytest.mark.parametrize("body", [b"", b"a", b"\0a", b"abc\xff"])
def test_body_that_does_not_end_in_nul_or_of_length_0(wire: Wire, body: bytes) -> None:
    channel, peer = wire
    peer.sendall(len(body).to_bytes(2, "big") + body + b"\0\x02b\0")
    with pytest.raises(RemoteProtocolError):
        channel.read()
    with pytest.raises(ChannelDead, match="dead since an earlier error"):
        channel.read()


def test_scalar_over_max_size(wire: Wire) -> None:
    channel, peer = wire
    peer.sendall(b"\0\0\0\x05abcde")
    with pytest.raises(RemoteProtocolError, match="5 bytes; at most 4"):
        channel.read_scalar(max_size=4)
    with pytest.raises(ChannelDead, match="5 bytes; at most 4"):
        channel.read_scalar()


def test_descriptors_that_nobody_asked_for(wire: Wire) -> None:
    channel, peer = wire
    read_end, write_end = os.pipe()
    send_descriptors(peer, b"\0\x02a\0", [write_end])
    os.close(write_end)
    assert channel.read() == ["a"]
    os.set_blocking(read_end, False)
    with pytest.raises(BlockingIOError):
        os.read(read_end, 1)  # kept
    channel.close()
    assert os.read(read_end, 1) == b""  # closed
    os.close(read_end)


def test_descriptors_that_nobody_asked_for_over_the_bound(wire: Wire) -> None:
    channel, peer = wire
    send_descriptors(peer, b"\0\x02a", [0] * MAX_DESCRIPTORS)
    with pytest.raises(ChannelTimeout):
        channel.read(timeout=0)
    send_descriptors(peer, b"\0", [0])
    with pytest.raises(RemoteProtocolError, match="more than 253 descriptors"):
        channel.read()


def test_truncated_ancillary_data(wire: Wire) -> None:
    channel, peer = wire
    send_descriptors(peer, b"\0", [0, 0, 0])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, hard))  # room for one
    try:
        with pytest.raises(RemoteProtocolError, match="no free one left"):
            channel.recv_io(negotiate=False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    reopened = os.dup(0)
    os.close(reopened)
    assert reopened == free, "what came was not closed"


def test_received_descriptors(wire: Wire) -> None:
    channel, peer = wire
    os.set_inheritable(peer.fileno(), True)
    send_descriptors(peer, b"\0", [peer.fileno()])
    received = channel.recv_io(negotiate=False)
    assert received is not None
    assert not os.get_inheritable(received)
    os.close(received)


def test_a_descriptor_merged_with_the_bytes_before_it(wire: Wire) -> None:
    channel, peer = wire
    peer.sendall(b"\0\x02a\0")
    send_descriptors(peer, b"\0", [0])
    peer.sendall(b"\0\x02b\0")
    assert channel.read() == ["a"]
    received = channel.recv_io(negotiate=False)
    assert received is not None
    os.close(received)
    assert channel.read() == ["b"]


def test_253_descriptors_in_one_message(wire: Wire) -> None:
    channel, peer = wire
    send_descriptors(peer, b"\0" * 253, [0] * 253)
    received = [channel.recv_io(negotiate=False, timeout=0) for _ in range(253)]
    for number in received:
        assert number is not None
        os.close(number)


@contextmanager
def closing(sock: socket.socket) -> Iterator[socket.socket]:
    with sock:
        yield sock


def test_other_sockets_are_refused() -> None:
    for family, kind in ((socket.AF_INET, socket.SOCK_STREAM), (socket.AF_UNIX, socket.SOCK_DGRAM)):
        with closing(socket.socket(family, kind)) as sock, pytest.raises(ValueError, match="Unix stream"):
            MessageChannel(sock)


def test_writing_to_a_peer_that_is_gone(wire: Wire) -> None:
    channel, peer = wire
    peer.sendall(b"\0\x02a\0")
    peer.close()
    with pytest.raises(PeerGone):
        channel.write("x")
    with pytest.raises(PeerGone):
        channel.send_io(0, negotiate=False)
    assert channel.read() == ["a"], "what it sent before can still be read"
