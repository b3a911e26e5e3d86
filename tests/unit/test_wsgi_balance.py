"""Two engines that share a listening socket, a scoreboard and a handoff queue, in threads of the test."""

from __future__ import annotations

import errno
import socket
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from math import inf

import pytest

from coachman.protocol.handoff import Passport, encode_passport, messages_in
from coachman.unix.handoff import HandoffQueue, NoDescriptorLeft
from coachman.unix.waiting import LONGEST_WAIT
from coachman.worker.wsgi import departures, saturation

from .served import receive_response
from .test_handoff_queue import make_small
from .worker_group import TIMEOUT, Environ, Group, Start, answer, ask, fill, make_busy, wait_until


@pytest.fixture
def group() -> Iterator[Group]:
    made = Group()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_a_connection_of_a_busy_worker_is_served_by_its_sibling(group: Group) -> None:
    busy = group.worker(2)
    client = group.connect()
    ask(client)
    assert answer(client) == busy.name
    waiting = fill(group, busy)
    sibling = group.worker(2, listens=False)
    ask(client)
    assert answer(client) == sibling.name
    ask(client)
    assert answer(client) == sibling.name
    wait_until(lambda: busy.handed_over == 1, busy)  # it is counted behind the answer
    assert sibling.view().counters.taken_over == 1
    group.gate.open()
    assert [answer(each) for each in waiting] == [busy.name] * 2


def test_who_is_woken_for_the_queue_in_vain_wakes_all_others(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that does not know of what is in the queue would go idle without a look at it."""
    # Nothing else tells them that they are full.
    monkeypatch.setattr(saturation, "SATURATION_SECONDS", LONGEST_WAIT)
    workers = [group.worker(2) for _ in range(3)]
    make_busy(group, 6)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert group.queue.put(theirs, encode_passport(Passport()))
        wait_until(lambda: all(worker.full for worker in workers), *workers)


@pytest.mark.parametrize("count", [1, 2])
def test_a_brief_request_overtakes_a_long_one(
    group: Group, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departures, "WORTHWHILE_SECONDS", 0.0)  # all calls are long enough for it
    long, brief = group.connect(), group.connect()
    workers = [group.worker(2) for _ in range(count)]
    for client in (long, brief):
        ask(client)
        answer(client)
    make_busy(group, 2 * count)
    for worker in workers:
        expectation = worker.engine.tally.expectation
        assert expectation is not None
        expectation.note(b"GET /gate", 1.0)
        expectation.note(b"GET /", 0.001)
    for worker in workers:
        worker.do(lambda: None)  # what was handed over until now is counted
    before = sum(worker.handed_over for worker in workers)
    for number, (client, path) in enumerate(((long, b"/gate"), (brief, b"/")), before + 1):
        ask(client, path)
        wait_until(lambda: sum(worker.handed_over for worker in workers) == number, *workers)  # noqa: B023
    group.gate.let_through(1)
    assert answer(brief) in {b"0", b"1"}
    group.gate.wait_for_arrival()


def test_pipelined_requests_move_together_and_stay_in_order(group: Group) -> None:
    busy = group.worker(2)
    client = group.connect()
    ask(client)
    answer(client)
    fill(group, busy)
    sibling = group.worker(1, listens=False)
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
    assert [answer(client) for _ in range(10)] == [sibling.name] * 10


def test_a_worker_without_a_free_thread_accepts_nothing(group: Group) -> None:
    busy = group.worker(2)
    fill(group, busy)
    accepted = busy.view().counters.accepted
    clients = [group.connect() for _ in range(10)]
    sibling = group.worker(2)
    for client in clients:
        ask(client)
        assert answer(client) == sibling.name
    assert busy.view().counters.accepted == accepted


def test_who_waits_is_counted_in_the_worker_or_in_the_queue(group: Group) -> None:
    client = group.connect()
    workers = [group.worker(2) for _ in range(2)]
    ask(client)
    answer(client)
    make_busy(group, 4)
    wait_until(lambda: all(worker.full for worker in workers), *workers)
    at_ends_of_turns: list[tuple[int, int]] = []
    for worker in workers:
        worker.engine.at_end_of_turn = lambda worker=worker: at_ends_of_turns.append(
            (messages_in(group.queue.size), worker.view().waiting)
        )
    ask(client)
    wait_until(lambda: (1, 0) in at_ends_of_turns, *workers)
    assert (1, 1) not in at_ends_of_turns


def test_a_worker_that_is_alone_keeps_what_waits(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "WORTHWHILE_SECONDS", inf)  # calls are brief, however busy the machine
    alone = group.worker(2)
    client = group.connect()
    ask(client)
    answer(client)
    waiting = make_busy(group, 2)
    ask(client)
    group.gate.open()
    assert answer(client) == alone.name
    assert [answer(each) for each in waiting] == [alone.name] * 2
    assert alone.view().counters.handed_over == 0


def test_every_connection_that_comes_is_told_once_it_is_on_the_scoreboard(group: Group, threads: int) -> None:
    worker = group.worker(threads)
    told: list[int] = []
    worker.engine.on_connection = lambda: told.append(worker.view().connections)
    clients = [group.connect() for _ in range(2)]
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            assert group.queue.put(theirs, encode_passport(Passport()))
        for client in (*clients, ours):
            ask(client)
            assert answer(client) == worker.name
    assert told == [1, 2, 3]


def test_a_worker_accepts_again_when_a_thread_is_free(group: Group) -> None:
    worker = group.worker(2)
    waiting = make_busy(group, 2)
    client = group.connect()
    ask(client)
    group.gate.open()
    assert answer(client) == worker.name
    assert [answer(each) for each in waiting] == [worker.name] * 2


def test_the_queue_is_served_before_the_connections_of_the_worker_itself(group: Group) -> None:
    worker = group.worker(2)
    fill(group, worker)
    ours, theirs = socket.socketpair()
    with ours:
        ask(ours)
        with theirs:
            assert group.queue.put(theirs, encode_passport(Passport()))
        group.gate.open()
        assert answer(ours) == worker.name
    assert worker.view().counters.taken_over == 1


def test_a_draining_worker_hands_over_what_is_idle_and_then_the_rest(group: Group, threads: int) -> None:
    old = group.worker(threads)
    idle = [group.connect() for _ in range(5)]
    for client in idle:
        ask(client)
        assert answer(client) == old.name
    if threads == 1:  # its loop is busy while the application is, as long as that is fast
        old.drain(hand_over=True)
    else:
        (busy,) = make_busy(group, 1)
        old.drain(hand_over=True)
        # The thread that has answered last may still have its connection in hand.
        wait_until(lambda: old.view().connections == 1, old)
        group.gate.open()
        head, body = receive_response(busy)
        assert body == old.name
        assert b"Connection" not in head
        idle.append(busy)
    old.wait_for_end()
    assert old.finished is True
    assert old.view().counters.handed_over == len(idle)
    # Nobody has them now, and nothing is lost.
    for client in idle:
        ask(client)
    successor = group.worker(threads)
    assert [answer(client) for client in idle] == [successor.name] * len(idle)


def test_a_full_queue_holds_a_drain_up_and_loses_nothing(group: Group) -> None:
    make_small(group.queue)
    old = group.worker(1)
    clients = [group.connect() for _ in range(50)]
    for client in clients:
        ask(client)
        assert answer(client) == old.name
    old.drain(hand_over=True)
    assert 0 < old.view().connections < 50
    late = clients[-1]
    ask(late)  # it could not go, so it is served where it is
    assert answer(late) == old.name
    successor = group.worker(1)
    old.wait_for_end()
    for client in clients:
        ask(client)
        assert answer(client) == successor.name


def test_the_last_worker_closes_its_connections_and_those_in_the_queue(group: Group) -> None:
    last = group.worker(2)
    client = group.connect()
    ask(client)
    assert answer(client) == last.name
    (busy,) = make_busy(group, 1)
    last.drain(hand_over=False)
    assert client.recv(1) == b""
    asking, asking_side = socket.socketpair()
    idle, idle_side = socket.socketpair()
    with asking, idle:
        ask(asking)
        for side in (asking_side, idle_side):
            with side:
                assert group.queue.put(side, encode_passport(Passport()))
        group.gate.open()
        head, body = receive_response(busy)
        assert (body, b"Connection: close" in head) == (last.name, True)
        head, body = receive_response(asking)
        assert (body, b"Connection: close" in head) == (last.name, True)
        assert idle.recv(1) == b""
    last.wait_for_end()
    assert last.finished is True


def test_a_drain_that_hands_over_can_become_one_that_closes(group: Group) -> None:
    old = group.worker(2)
    (busy,) = make_busy(group, 1)
    old.drain(hand_over=True)
    old.drain(hand_over=False)
    group.gate.open()
    assert b"Connection: close" in receive_response(busy)[0]
    old.wait_for_end()


def test_a_worker_without_descriptors_leaves_the_queue_alone_for_a_moment(
    group: Group, threads: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = threading.Event()
    take = HandoffQueue.take

    def take_once_failed(queue: HandoffQueue, max_size: int) -> tuple[socket.socket, bytes] | None:
        if not failed.is_set():
            failed.set()
            raise NoDescriptorLeft(errno.EMFILE, "Too many open files")
        return take(queue, max_size)

    monkeypatch.setattr(HandoffQueue, "take", take_once_failed)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            assert group.queue.put(theirs, encode_passport(Passport()))
        worker = group.worker(threads)
        ask(ours)
        assert answer(ours) == worker.name
    assert "cannot take connections for now" in capsys.readouterr().err


def test_at_the_bound_of_connections_nothing_is_taken(group: Group) -> None:
    worker = group.worker(1, connections=1)
    first, second = group.connect(), group.connect()
    ask(first)
    assert answer(first) == worker.name
    ask(second)
    worker.do(lambda: None)
    assert worker.view().connections == 1
    first.close()
    assert answer(second) == worker.name


def test_slow_calls_leave_the_loop_and_keep_their_thread(group: Group) -> None:
    worker = group.worker(1)
    running = Counter[str]()
    original = worker.application
    pause = threading.Event()

    def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
        running["now"] += 1
        assert running["now"] == 1, "two calls at once"
        try:
            if environ["PATH_INFO"] == "/slow":
                pause.wait(0.02)
            return original(environ, start_response)
        finally:
            running["now"] -= 1

    worker.engine.application = application
    clients = [group.connect() for _ in range(3)]
    while worker.engine.pool is None:
        for client in clients:
            ask(client, b"/slow")
        assert [answer(client) for client in clients] == [worker.name] * 3
    (busy,) = make_busy(group, 1)
    worker.do(lambda: None)  # the loop turns while the application is busy
    assert worker.view().in_flight == 1
    group.gate.open()
    assert answer(busy) == worker.name
    assert len(set(worker.calls)) == 1
    worker.drain(hand_over=False)
    worker.wait_for_end()


def test_no_count_is_lost(group: Group, threads: int) -> None:
    worker = group.worker(threads)
    clients = [group.connect() for _ in range(8)]

    def load(client: socket.socket) -> None:
        for _ in range(50):
            ask(client)
            answer(client)

    loads = [threading.Thread(target=load, args=(client,)) for client in clients]
    for thread in loads:
        thread.start()
    for thread in loads:
        thread.join(TIMEOUT)
    assert worker.view().connections == 8
    # A thread counts what it has done after the answer is out.
    worker.drain(hand_over=False)
    worker.wait_for_end()
    view = worker.view()
    assert view.counters.requests == 400
    assert view.counters.statuses == (0, 400, 0, 0, 0)
    assert sum(view.counters.durations) == 400
    assert (view.in_flight, view.oldest_start, view.connections) == (0, None, 0)
    assert (view.threads, view.counters.accepted) == (threads, 8)


def test_a_refused_request_and_a_failed_one_are_counted(group: Group, threads: int) -> None:
    worker = group.worker(threads)

    def fail(environ: Environ, start_response: Start) -> Iterable[bytes]:
        raise LookupError("oh")

    worker.engine.application = fail
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"nonsense\r\n\r\n"):
        client = group.connect()
        client.sendall(data)
        while client.recv(1000):
            pass
    worker.do(lambda: None)
    assert worker.view().counters.statuses == (0, 0, 0, 1, 1)


def test_the_request_in_the_application_is_named(group: Group, threads: int) -> None:
    worker = group.worker(threads)
    make_busy(group, 1)
    view = worker.view()
    assert view.in_flight == 1
    assert view.oldest_start is not None
    assert view.request_line.startswith(b"GET /gate")
