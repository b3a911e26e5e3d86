import os
import socket
from collections.abc import Iterator

import pytest

from coachman import (
    ChannelBusy,
    ChannelDead,
    ChannelTimeout,
    LocalProtocolError,
    MessageChannel,
    MessageCut,
    PeerGone,
    RemoteProtocolError,
)


@pytest.fixture
def ends() -> Iterator[tuple[MessageChannel, MessageChannel]]:
    left, right = socket.socketpair()
    with MessageChannel(left) as a, MessageChannel(right) as b:
        yield a, b


@pytest.fixture
def wire() -> Iterator[tuple[MessageChannel, socket.socket]]:
    left, right = socket.socketpair()
    with MessageChannel(left) as a, right:
        yield a, right


def test_what_is_written_is_read(ends: tuple[MessageChannel, MessageChannel]) -> None:
    a, b = ends
    a.write("hello", "Joe", 1234)
    a.write_scalar(b"\0binary\xff")
    assert b.read() == ["hello", "Joe", "1234"]
    assert b.read_scalar() == b"\0binary\xff"


def test_a_descriptor_that_was_passed_is_close_on_exec(ends: tuple[MessageChannel, MessageChannel]) -> None:
    a, b = ends
    read_end, write_end = os.pipe()
    a.send_io(write_end, negotiate=False)
    os.close(write_end)
    received = b.recv_io(negotiate=False)
    assert received is not None
    assert not os.get_inheritable(received)
    os.write(received, b"through")
    os.close(received)
    assert os.read(read_end, 100) == b"through"
    os.close(read_end)


def test_a_descriptor_behind_plain_bytes_is_kept(ends: tuple[MessageChannel, MessageChannel]) -> None:
    a, b = ends
    a.write("before")
    a.send_io(a, negotiate=False)
    a.write("after")
    assert b.read() == ["before"]
    received = b.recv_io(negotiate=False)
    assert received is not None
    os.close(received)
    assert b.read() == ["after"]


def test_end_of_stream_between_messages_is_none(ends: tuple[MessageChannel, MessageChannel]) -> None:
    a, b = ends
    a.write("last")
    a.close()
    assert list(b) == [["last"]]
    assert b.read() is None
    assert b.read_scalar() is None
    assert b.recv_io() is None


def test_end_of_stream_inside_a_message_kills_the_channel(wire: tuple[MessageChannel, socket.socket]) -> None:
    a, raw = wire
    raw.sendall(b"\0\x0chello")
    raw.close()
    with pytest.raises(MessageCut, match="7 bytes came, 7 are missing"):
        a.read()
    with pytest.raises(ChannelDead, match="7 are missing"):
        a.read()


def test_writing_to_a_peer_that_is_gone_says_so(ends: tuple[MessageChannel, MessageChannel]) -> None:
    a, b = ends
    b.close()
    with pytest.raises(PeerGone):
        a.write("anybody?")


def test_a_timeout_loses_no_byte(wire: tuple[MessageChannel, socket.socket]) -> None:
    a, raw = wire
    with pytest.raises(ChannelTimeout):
        a.read(timeout=0)
    for byte in b"\0\x02a":
        raw.send(bytes([byte]))
        with pytest.raises(ChannelTimeout):
            a.read(timeout=0.001)
    raw.send(b"\0")
    assert a.read(timeout=0) == ["a"]


def test_a_write_that_timed_out_continues(ends: tuple[MessageChannel, MessageChannel]) -> None:
    a, b = ends
    body = os.urandom(1_000_000)
    with pytest.raises(ChannelTimeout):
        a.write_scalar(body, timeout=0.001)
    with pytest.raises(LocalProtocolError, match="repeat that call"):
        a.write("something else")
    received = None
    while received is None:
        with pytest.raises(ChannelTimeout):
            b.read_scalar(timeout=0)
        try:
            a.write_scalar(body, timeout=0)
        except ChannelTimeout:
            continue
        received = b.read_scalar()
    assert received == body


def test_a_second_reader_is_refused(ends: tuple[MessageChannel, MessageChannel]) -> None:
    a, _ = ends
    with a._reading.lock, pytest.raises(ChannelBusy, match="reading"):
        a.read()
    with a._writing.lock, pytest.raises(ChannelBusy, match="writing"):
        a.write("x")


def test_a_closed_channel_says_so(ends: tuple[MessageChannel, MessageChannel]) -> None:
    a, _ = ends
    a.close()
    a.close()
    assert a.closed
    with pytest.raises(ChannelDead, match="closed"):
        a.read()
    with pytest.raises(ChannelDead, match="closed"):
        a.write("x")


def test_plain_bytes_where_a_descriptor_is_expected_are_an_error(
    wire: tuple[MessageChannel, socket.socket],
) -> None:
    a, raw = wire
    raw.send(b"\0")
    with pytest.raises(RemoteProtocolError, match="descriptor was expected"):
        a.recv_io(negotiate=False)


def test_statistics_count_both_directions(ends: tuple[MessageChannel, MessageChannel]) -> None:
    a, b = ends
    a.write("hello", "world")
    a.send_io(0, negotiate=False)
    b.read()
    fd = b.recv_io(negotiate=False)
    assert fd is not None
    os.close(fd)
    sent, received = a.statistics(), b.statistics()
    assert (sent.messages_written, sent.bytes_written, sent.descriptors_written) == (1, 15, 1)
    assert (received.messages_read, received.bytes_read, received.descriptors_read) == (1, 15, 1)


def test_a_signal_handler_may_write_on_top_of_a_write(ends: tuple[MessageChannel, MessageChannel]) -> None:
    a, b = ends
    with a._writing:  # where the signal arrives
        a.write("from the handler")
        with pytest.raises(ChannelTimeout):
            b.read(timeout=0)
    assert b.read() == ["from the handler"]
