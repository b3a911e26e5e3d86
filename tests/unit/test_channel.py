"""What a channel promises about waiting, turns, signals and its end."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from coachman import ChannelBusy, ChannelDead, ChannelTimeout, LocalProtocolError, MessageChannel
from coachman.protocol.messages import Decoder, encode_scalar

Ends = tuple[MessageChannel, MessageChannel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    left, right = socket.socketpair()
    with MessageChannel(left) as a, MessageChannel(right) as b:
        yield a, b


def test_a_timeout_loses_no_byte() -> None:
    left, peer = socket.socketpair()
    with MessageChannel(left) as channel, peer:
        with pytest.raises(ChannelTimeout):
            channel.read(timeout=0)
        for byte in b"\0\x02a":
            peer.send(bytes([byte]))
            with pytest.raises(ChannelTimeout):
                channel.read(timeout=0.001)
        peer.send(b"\0")
        assert channel.read(timeout=0) == ["a"]


def test_a_write_that_timed_out_continues_and_no_other_may(ends: Ends) -> None:
    a, b = ends
    body = os.urandom(1_000_000)
    with pytest.raises(ChannelTimeout):
        a.write_scalar(body, timeout=0.001)
    with pytest.raises(LocalProtocolError, match="repeat that call"):
        a.write("something else")
    with pytest.raises(LocalProtocolError, match="repeat that call"):
        a.send_io(0, negotiate=False)
    written, received = False, None
    while received is None:
        try:
            received = b.read_scalar(timeout=0)
        except ChannelTimeout:
            assert not written
        if not written:
            try:
                a.write_scalar(body, timeout=0)
                written = True
            except ChannelTimeout:
                continue
    assert received == body
    a.write("something else")
    assert b.read() == ["something else"]


def test_a_write_that_timed_out_before_its_first_byte_has_not_happened(ends: Ends) -> None:
    a, b = ends
    while True:
        try:
            a.write("filling", timeout=0)
        except ChannelTimeout:
            break
    count = a.statistics().messages_written
    with pytest.raises(ChannelTimeout):
        a.write("another", timeout=0.001)
    with pytest.raises(ChannelTimeout):
        a.send_io(0, negotiate=False, timeout=0)
    a.close()
    assert list(b) == [["filling"]] * count


@pytest.mark.parametrize("timeout", [30 * 86_400, float("inf")])
def test_a_timeout_may_be_as_long_as_one_likes(timeout: float) -> None:
    with read_in_a_thread(timeout) as (_, b, outcome):
        b.write("in time")
    assert outcome == [["in time"]]


def test_many_messages_in_one_call(ends: Ends) -> None:
    a, b = ends
    with pytest.raises(LocalProtocolError):
        a.write_all([("fine",), ("not\0fine",)])
    messages = [["message", str(number)] for number in range(1000)]
    a.write_all(messages)
    a.close()
    assert list(b) == messages
    assert a.statistics().messages_written == 1000


class Announcing(MessageChannel):
    """Says when it is about to wait in a read."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.receiving = threading.Event()
        self.waiting = threading.Event()

    def _receive(self, flags: int) -> bool:
        self.receiving.set()
        return super()._receive(flags)

    def _wait(self, event: int, deadline: float | None) -> None:
        self.waiting.set()
        super()._wait(event, deadline)


@contextmanager
def read_in_a_thread(
    timeout: float | None = None,
) -> Iterator[tuple[Announcing, MessageChannel, list[object]]]:
    """Have a thread wait in a read; give its channel, the peer, and the list where the outcome will be."""
    left, right = socket.socketpair()
    outcome: list[object] = []

    def read() -> None:
        try:
            outcome.append(a.read(timeout))
        except ChannelDead as error:
            outcome.append(str(error))

    with Announcing(left) as a, MessageChannel(right) as b:
        thread = threading.Thread(target=read)
        thread.start()
        a.receiving.wait()
        if timeout is not None:
            a.waiting.wait()
        yield a, b, outcome
        thread.join()


def test_a_second_reader_or_writer_is_refused() -> None:
    with read_in_a_thread() as (a, b, outcome):
        with pytest.raises(ChannelBusy, match="reading"):
            a.read()
        with pytest.raises(ChannelBusy, match="reading"):
            a.send_io(0)
        a.write("a writer may work meanwhile")
        assert b.read() == ["a writer may work meanwhile"]
        with a._writing.lock, pytest.raises(ChannelBusy, match="writing"):
            a.write("x")
        b.write("released")
    assert outcome == [["released"]]


def test_closing_wakes_who_waits_and_closes_after_it() -> None:
    with read_in_a_thread() as (a, _, outcome):
        a.close()
    assert outcome == ["the channel is closed"]
    assert a.fileno() == -1


class LockThatIsLetGo:
    """A lock that another thread has, which leaves its call right behind the first attempt to take it."""

    def __init__(self, channel: MessageChannel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._lock.acquire()
        self.release, self.locked = self._lock.release, self._lock.locked
        self.held = True

    def acquire(self, blocking: bool) -> bool:
        taken = self._lock.acquire(blocking)
        self.leave()
        return taken

    def leave(self) -> None:
        if self.held:
            self.held = False
            self.release()
            self._channel._catch_up()


def test_of_two_who_leave_a_closed_channel_at_once_one_closes_it() -> None:
    left, right = socket.socketpair()
    with right:
        a = MessageChannel(left)
        a._writing.lock = lock = LockThatIsLetGo(a)  # type: ignore[assignment]
        a.close()
        lock.leave()
        assert a.fileno() == -1


def test_a_closed_channel_says_so(ends: Ends) -> None:
    a, _ = ends
    a.close()
    a.close()
    assert a.closed
    for call in (a.read, a.read_scalar, a.recv_io, lambda: a.write("x"), lambda: a.send_io(0)):
        with pytest.raises(ChannelDead, match="closed"):
            call()


def test_a_signal_handler_may_write_on_top_of_a_write(ends: Ends) -> None:
    a, b = ends
    with a._writing:  # where the signal arrives
        a.write("from the handler")
        with pytest.raises(ChannelTimeout):
            b.read(timeout=0)
    assert b.read() == ["from the handler"]


def test_what_a_signal_handler_wrote_waits_for_a_message_that_is_half_written(ends: Ends) -> None:
    a, b = ends
    body = bytes(1_000_000)
    with a._writing:
        a.write("from the handler")
        with pytest.raises(ChannelTimeout):
            a._write_out(encode_scalar(body), timeout=0)
    received: list[bytes | None] = []
    reader = threading.Thread(target=lambda: received.append(b.read_scalar()))
    reader.start()
    a.write_scalar(body)
    reader.join()
    assert received == [body]
    assert b.read() == ["from the handler"]


class LockWithASignal:
    """A lock; right after it was taken for the first time, a signal's handler runs."""

    def __init__(self, handler: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._handlers = [handler]
        self.release, self.locked = self._lock.release, self._lock.locked

    def acquire(self, blocking: bool) -> bool:
        taken = self._lock.acquire(blocking)
        if self._handlers:
            self._handlers.pop()()
        return taken


@pytest.mark.parametrize("call", [MessageChannel.write, MessageChannel.write_scalar])
def test_a_signal_handler_may_write_also_while_a_turn_is_taken(
    ends: Ends, call: Callable[[MessageChannel, str], None]
) -> None:
    a, b = ends
    a._writing.lock = LockWithASignal(lambda: a.write("from the handler"))  # type: ignore[assignment]
    call(a, "interrupted")
    if call is MessageChannel.write:
        assert b.read() == ["interrupted"]
    else:
        assert b.read_scalar() == b"interrupted"
    assert b.read() == ["from the handler"]
    a.write("the next one")
    assert b.read() == ["the next one"]


class Interruption(BaseException):
    """What a signal's handler raises."""


class Interrupting(Decoder):
    """A signal comes between the arrival of bytes and their being noted."""

    def feed(self, data: bytes) -> None:
        raise Interruption


class InterruptingLock:
    """A signal comes when a turn is given back, behind the last of what a call does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acquire, self.locked = self._lock.acquire, self._lock.locked

    def release(self) -> None:
        self._lock.release()
        raise Interruption


def interrupt_the_system_call(channel: MessageChannel) -> None:
    def receive_and_interrupt(*_: int) -> None:
        raise Interruption

    channel._recvmsg = receive_and_interrupt  # type: ignore[assignment]  # where it can be told neither way


def time_out_in_the_system_call(channel: MessageChannel) -> None:
    def receive_and_time_out(*_: int) -> None:
        raise TimeoutError  # a favourite of handlers of SIGALRM, and an OSError

    channel._recvmsg = receive_and_time_out  # type: ignore[assignment]


def interrupt_behind_the_system_call(channel: MessageChannel) -> None:
    channel._decoder = Interrupting()
    channel._array = channel._decoder.array


def interrupt_behind_the_message(channel: MessageChannel) -> None:
    channel._reading.lock = InterruptingLock()  # type: ignore[assignment]


@pytest.mark.parametrize(
    "interrupt",
    [
        interrupt_the_system_call,
        time_out_in_the_system_call,
        interrupt_behind_the_system_call,
        interrupt_behind_the_message,
    ],
)
def test_an_interrupted_read_is_not_continued_as_if_nothing_was_lost(
    ends: Ends, interrupt: Callable[[MessageChannel], None]
) -> None:
    a, b = ends
    interrupt(a)
    b.write("lost")
    with pytest.raises((Interruption, TimeoutError)):
        a.read()
    a._reading.lock = threading.Lock()
    with pytest.raises(ChannelDead, match=r"a read was interrupted by (Interruption|TimeoutError)"):
        a.read(timeout=0)
    a.write("writing is not concerned")
    assert b.read() == ["writing is not concerned"]


@pytest.mark.parametrize("interruption", [Interruption, TimeoutError])
def test_an_interrupted_long_write_is_not_followed_by_another(
    ends: Ends, interruption: type[BaseException]
) -> None:
    def interrupt(*_: object) -> None:
        raise interruption

    a, b = ends
    writer = threading.get_ident()

    def interrupt_once_it_is_under_way() -> None:
        select.select([b], [], [])
        signal.pthread_kill(writer, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        thread = threading.Thread(target=interrupt_once_it_is_under_way)
        thread.start()
        with pytest.raises(interruption):
            a.write_scalar(bytes(1_000_000))
        thread.join()
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises((ChannelDead, LocalProtocolError), match=r"interrupted by|repeat that call"):
        a.write("x")
    b.write("reading is not concerned")
    assert a.read() == ["reading is not concerned"]


def test_a_signal_handler_that_returns_interrupts_nothing(ends: Ends) -> None:
    a, b = ends
    body = bytes(5_000_000)
    received: list[bytes | None] = []
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        reader = threading.Thread(target=lambda: received.append(b.read_scalar()))
        reader.start()
        a.write_scalar(body)
        reader.join()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert received == [body]


def test_statistics_count_both_directions(ends: Ends) -> None:
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


def test_it_says_what_state_it_is_in(ends: Ends) -> None:
    a, _ = ends
    assert "open" in repr(a)
    a.close()
    assert repr(a) == "<MessageChannel -1: closed>"
