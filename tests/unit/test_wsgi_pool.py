"""In which order the threads of a pool take the connections that wait for them."""

from __future__ import annotations

import threading
from collections import deque
from math import inf
from typing import cast

from coachman.worker.wsgi.connection import Connection
from coachman.worker.wsgi.pool import Pool

TIMEOUT = 20.0


class Waiting:
    """A connection that only notes when it is served."""

    def __init__(self, name: str, served: list[str], waits_since: float = 0.0) -> None:
        self.name = name
        self.waits_since = waits_since
        self._served = served

    def serve_unread(self) -> None:
        self._served.append(self.name)

    def pump(self) -> None:
        self._served.append(f"{self.name}, which was read")


class Line:
    """A pool, a handoff queue, and what was served; everything in the thread of the test."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.queue: deque[Connection] = deque()
        self.pool = Pool(self._take, self._do_nothing, self._end)

    def connection(self, name: str, waits_since: float = 0.0) -> Connection:
        return cast(Connection, Waiting(name, self.served, waits_since))

    def serve_all(self) -> list[str]:
        """Serve until nothing is left."""
        self.pool.work()
        return self.served

    def hand_over(self, since: float, room: int) -> list[str]:
        """Hand over to a queue with so much room; return what went there."""
        moved: list[str] = []

        def put(connection: Connection) -> bool:
            if len(moved) == room:
                return False
            moved.append(cast(Waiting, connection).name)
            return True

        self.pool.hand_over(since, put)
        return moved

    def _take(self) -> Connection | None:
        return self.queue.popleft() if self.queue else None

    def _do_nothing(self) -> None:
        pass

    def _end(self) -> None:
        """What a thread calls when it goes to wait."""
        self.pool.end()


def test_connections_are_served_in_the_order_in_which_they_came() -> None:
    line = Line()
    for name in "abc":
        line.pool.add(line.connection(name))
    assert line.serve_all() == ["a", "b", "c"]


def test_what_was_taken_from_the_queue_comes_before_what_is_still_in_it_and_that_before_our_own() -> None:
    line = Line()
    line.pool.full = True
    line.pool.add(line.connection("ours"))
    for name in ("first", "second"):
        line.pool.add_taken(line.connection(name))
    line.queue += [line.connection("third"), line.connection("fourth")]
    assert line.serve_all() == ["first", "second", "third", "fourth", "ours"]


def test_what_has_been_read_goes_on_before_everything_else() -> None:
    line = Line()
    line.pool.full = True
    line.pool.add_taken(line.connection("taken"))
    line.queue.append(line.connection("queued"))
    line.pool.add_begun(line.connection("begun"))
    assert line.serve_all() == ["begun, which was read", "taken", "queued"]


def test_the_queue_is_left_to_others_while_there_are_free_threads() -> None:
    line = Line()
    line.queue.append(line.connection("queued"))
    line.pool.add(line.connection("ours"))
    assert line.serve_all() == ["ours"]


def test_who_is_woken_for_one_and_has_found_another_wakes_somebody_else() -> None:
    """A thread that is about to wait takes from the queue, at the moment at which the loop wakes it."""
    idle, found, served, over = (threading.Event() for _ in range(4))

    class Held:
        """A connection that is served for as long as the other one is not."""

        waits_since = 0.0

        def serve_unread(self) -> None:
            found.set()
            over.set() if served.wait(TIMEOUT) else None

    class Brief(Held):
        def serve_unread(self) -> None:
            served.set()

    looks: list[None] = []

    def take() -> Connection | None:
        if threading.current_thread() is not late:
            return None
        looks.append(None)
        if len(looks) != 2:  # that of a thread that is already known to be idle is the second
            return None
        pool.add(cast(Connection, Brief()))
        return cast(Connection, Held())

    pool = Pool(take, lambda: None, idle.set)
    early, late = (threading.Thread(target=pool.work) for _ in range(2))
    early.start()
    assert idle.wait(TIMEOUT)
    pool.full = True
    late.start()
    assert found.wait(TIMEOUT)
    try:
        assert over.wait(TIMEOUT)
    finally:
        served.set()
        pool.end()
        early.join(TIMEOUT)
        late.join(TIMEOUT)


def test_those_that_have_waited_long_enough_are_handed_over_the_longest_first() -> None:
    line = Line()
    assert line.pool.unread_since == inf
    for number in range(4):
        line.pool.add(line.connection(f"ours {number}", waits_since=float(number)))
    line.pool.add_taken(line.connection("taken", waits_since=1.0))
    assert (line.pool.waiting, line.pool.unread_since) == (5, 0.0)
    assert line.hand_over(2.0, room=9) == ["taken", "ours 0", "ours 1", "ours 2"]
    assert line.serve_all() == ["ours 3"]


def test_what_the_queue_has_no_room_for_keeps_its_place() -> None:
    line = Line()
    for name in "abc":
        line.pool.add(line.connection(name))
    for name in ("first", "second"):
        line.pool.add_taken(line.connection(name))
    assert line.hand_over(inf, room=1) == ["first"]
    assert line.hand_over(inf, room=2) == ["second", "a"]
    assert line.serve_all() == ["b", "c"]
