"""In which order the threads of a pool serve what waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from coachman.worker.wsgi.pool import Pool


class Waiting:
    """A connection that waits for a thread."""

    def __init__(self, serve: Callable[[], None]) -> None:
        self.serve_unread = serve


def test_what_came_out_of_the_queue_goes_before_what_is_still_in_it() -> None:
    served: list[str] = []
    queue: deque[Any] = deque()
    pool = Pool(lambda: queue.popleft() if queue else None, lambda: None)
    pool.full = True

    def named(name: str) -> Any:
        return Waiting(lambda: served.append(name))

    own, first, second, third = (named(name) for name in ("own", "first", "second", "third"))
    pool.add(own)
    pool.add_taken(first)
    pool.add_taken(second)
    queue.append(third)
    pool.add(Waiting(pool.end))  # type: ignore[arg-type]  # all that a pool looks at
    assert pool.waiting == 4
    pool.work()
    assert served == ["first", "second", "third", "own"]


def test_what_came_out_of_the_queue_can_go_back_in_its_order() -> None:
    pool = Pool(lambda: None, lambda: None)
    own, first, second = (Waiting(lambda: None) for _ in range(3))
    for connection, add in ((own, pool.add), (first, pool.add_taken), (second, pool.add_taken)):
        add(connection)  # type: ignore[arg-type]  # as above
    pool.return_taken()
    back: list[object] = list(pool.unread)
    assert back == [first, second, own]
