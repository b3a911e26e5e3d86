"""The handoff queue, and what travels through it."""

from __future__ import annotations

import os
import resource
import select
import socket
from collections.abc import Iterator

import pytest

from coachman.policy.slow_calls import AMONG, SlowCalls, Usage, Verdict
from coachman.protocol.handoff import USUAL_SIZE, Passport, decode_passport, encode_passport, messages_in
from coachman.unix.handoff import OVERTAKING_SECONDS, HandoffQueue, NoDescriptorLeft


@pytest.fixture
def queue() -> Iterator[HandoffQueue]:
    made = HandoffQueue.create()
    yield made
    made.close()


def make_small(queue: HandoffQueue, *, express: bool = False) -> None:
    """Leave no room for more than a few connections in one of its lanes."""
    put_fd = queue.descriptors[2] if express else queue.put_fd
    with socket.socket(fileno=os.dup(put_fd)) as put_end:
        put_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def put_one_side(queue: HandoffQueue, message: bytes, *, express: bool = False) -> socket.socket:
    """Put one side of a new connection, which nobody else has then; return the other."""
    ours, theirs = socket.socketpair()
    with theirs:
        assert queue.put(theirs, message, express=express)
    return ours


def take_message(queue: HandoffQueue) -> bytes | None:
    """Take a connection and close it; return the message that came with it."""
    taken = queue.take(100)
    if taken is None:
        return None
    taken[0].close()
    return taken[1]


def test_connections_come_out_in_the_order_in_which_they_were_put(queue: HandoffQueue) -> None:
    clients = [put_one_side(queue, b"%d" % number) for number in range(5)]
    for number, client in enumerate(clients):
        taken = queue.take(100)
        assert taken is not None
        sock, message = taken
        assert message == b"%d" % number
        client.sendall(b"hello")
        assert sock.recv(100) == b"hello"
        assert not sock.get_inheritable()
        sock.close()
        client.close()
    assert queue.take(100) is None


def test_what_was_not_read_travels_along(queue: HandoffQueue) -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(b"early")
    with theirs:
        queue.put(theirs, b"x")
    taken = queue.take(100)
    assert taken is not None
    with taken[0] as sock, ours:
        assert sock.recv(100) == b"early"


def test_a_full_queue_refuses_and_takes_again_once_there_is_room(queue: HandoffQueue) -> None:
    make_small(queue)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        count = 0
        while queue.put(theirs, b"x"):
            count += 1
        assert count > 0
        for _ in range(count):
            taken = queue.take(100)
            assert taken is not None
            taken[0].close()
        assert queue.put(theirs, b"x")


def test_the_express_lane_goes_first_and_keeps_its_order(queue: HandoffQueue) -> None:
    for number in range(6):
        put_one_side(queue, b"%d" % number, express=number % 2 == 1).close()
    assert [take_message(queue) for _ in range(7)] == [b"1", b"3", b"5", b"0", b"2", b"4", None]


def test_nobody_is_overtaken_for_longer_than_a_while() -> None:
    now = 0.0
    made = HandoffQueue.create()
    queue = HandoffQueue([os.dup(fd) for fd in made.descriptors], lambda: now)
    made.close()
    for number in range(4):
        put_one_side(queue, b"overtaken %d" % number).close()
        put_one_side(queue, b"first %d" % number, express=True).close()
    now += 100
    assert take_message(queue) == b"first 0", "nobody has been overtaken yet"
    now += OVERTAKING_SECONDS / 2
    assert take_message(queue) == b"first 1"
    now += OVERTAKING_SECONDS / 2
    assert take_message(queue) == b"overtaken 0"
    now += OVERTAKING_SECONDS
    assert take_message(queue) == b"first 2"
    queue.close()


def test_who_finds_no_room_in_the_express_lane_goes_into_the_other(queue: HandoffQueue) -> None:
    make_small(queue, express=True)
    for number in range(50):
        put_one_side(queue, b"%d" % number, express=True).close()
    taken = [take_message(queue) for _ in range(50)]
    assert sorted(int(message or b"-1") for message in taken) == list(range(50))


def test_a_process_without_descriptors_takes_nothing_and_loses_nothing(queue: HandoffQueue) -> None:
    client = put_one_side(queue, b"x")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        with pytest.raises(NoDescriptorLeft):
            queue.take(100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    taken = queue.take(100)
    assert taken is not None
    with taken[0] as sock, client:
        client.sendall(b"still here")
        assert sock.recv(100) == b"still here"


def test_what_nobody_has_taken_is_closed_with_the_queue() -> None:
    queue = HandoffQueue.create()
    client = put_one_side(queue, b"x")
    queue.close()
    with client:
        assert client.recv(1) == b""


def readable(*fds: int) -> bool:
    return bool(select.select(fds, [], [], 0)[0])


def test_who_begins_to_take_is_heard_where_connections_are_put(queue: HandoffQueue) -> None:
    assert not readable(queue.put_fd)
    queue.call_out()
    queue.call_out()
    assert readable(queue.put_fd)
    queue.forget_calls()
    assert not readable(queue.put_fd)
    queue.forget_calls()
    queue.call_out()
    assert readable(queue.put_fd)
    assert not readable(*queue.take_fds)
    assert queue.take(100) is None


def test_calls_that_nobody_hears_hold_nobody_up(queue: HandoffQueue) -> None:
    for _ in range(10_000):
        queue.call_out()
    queue.forget_calls()
    assert not readable(queue.put_fd)
    queue.call_out()
    assert readable(queue.put_fd)


def test_to_be_woken_changes_neither_what_is_in_the_queue_nor_its_order(queue: HandoffQueue) -> None:
    queue.wake()
    assert readable(*queue.take_fds)
    assert queue.take(100) is None
    assert not readable(*queue.take_fds)
    clients = [put_one_side(queue, b"first")]
    queue.wake()
    queue.wake()
    clients.append(put_one_side(queue, b"second"))
    for expected, client in zip((b"first", b"second"), clients, strict=True):
        taken = queue.take(100)
        assert taken is not None
        with taken[0], client:
            assert taken[1] == expected
    assert queue.take(100) is None


def test_a_full_queue_wakes_nobody_and_keeps_nobody_waiting(queue: HandoffQueue) -> None:
    make_small(queue)
    for _ in range(1000):
        queue.wake()
    assert queue.take(100) is None


def test_what_is_there_is_counted_in_both_lanes(queue: HandoffQueue) -> None:
    assert messages_in(queue.size) == 0
    message = encode_passport(Passport(peer=("127.0.0.1", "50000")))
    clients = [put_one_side(queue, message, express=number == 1) for number in range(3)]
    queue.wake()
    queue.call_out()
    assert messages_in(queue.size) == 3
    take_message(queue)
    assert messages_in(queue.size) == 2
    for client in clients:
        client.close()


def test_a_passport_has_the_same_size_whatever_it_says() -> None:
    far = ("2001:db8:85a3:1111:2222:8a2e:370:7334", "65000")
    rare = Passport(server=far, peer=far, scheme="https", introduced=True, served=1_000_000)
    assert len(encode_passport(rare)) == len(encode_passport(Passport())) == USUAL_SIZE


def test_a_passport_survives_the_journey() -> None:
    passport = Passport(server=("localhost", "8000"), peer=("::1", "4711"), served=12)
    assert decode_passport(encode_passport(passport)) == passport


def test_a_passport_of_another_version_is_read_as_far_as_it_is_understood() -> None:
    assert decode_passport(b'{"served": 3, "stamp": [1, 2]}') == Passport(served=3)
    assert decode_passport(b"\x00\x01") is None
    assert decode_passport(b'{"served": "many"}') is None


WAITED, WORKED, PREEMPTED = Usage(0.0001, 1), Usage(0.006, 0), Usage(0.0001, 0)


def test_an_application_is_moved_off_once_slow_calls_are_proven_to_be_its_own() -> None:
    calls = SlowCalls()
    assert [calls.note(number, None) for number in (1, 2, 3)][-1] is Verdict.WATCH
    assert calls.note(4, WAITED) is Verdict.NOTHING
    assert calls.note(5, WORKED) is Verdict.NOTHING
    assert calls.note(6, WAITED) is Verdict.MOVE_OFF


def test_calls_that_others_have_made_slow_do_not_count() -> None:
    calls = SlowCalls()
    assert {calls.note(number, PREEMPTED) for number in range(10)} == {Verdict.NOTHING}


def test_calls_that_would_be_brief_if_others_let_them_do_not_count() -> None:
    calls = SlowCalls()
    assert {calls.note(number, Usage(0.004, 0)) for number in range(10)} == {Verdict.NOTHING}


def test_slow_calls_far_between_do_not_count() -> None:
    calls = SlowCalls()
    assert {calls.note(number * AMONG, None) for number in range(10)} == {Verdict.NOTHING}
