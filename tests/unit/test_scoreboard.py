import os
from collections.abc import Iterator

import pytest

from coachman.protocol import scoreboard as layout
from coachman.protocol.scoreboard import Counters, view_of
from coachman.unix.scoreboard import Scoreboard, private_cells


@pytest.fixture
def scoreboard() -> Iterator[Scoreboard]:
    found = Scoreboard.create(3)
    yield found
    found.close()


def test_what_a_worker_writes_is_seen_through_another_map(scoreboard: Scoreboard) -> None:
    assert scoreboard.slots == 3
    scoreboard.clear(2, pid=4711, generation=8)
    theirs = Scoreboard(os.dup(scoreboard.fd))
    with theirs.cells(2) as cells:
        cells[layout.REQUESTS] += 1
        cells[layout.STATUS_CLASSES + 1] += 1
        cells[layout.IN_FLIGHT] = 1
        cells[layout.OLDEST_START] = 1_500_000_000
    theirs.close()
    view = scoreboard.view(2)
    assert (view.pid, view.generation, view.in_flight, view.oldest_start) == (4711, 8, 1, 1.5)
    assert view.counters == Counters(requests=1, statuses=(0, 1, 0, 0, 0))
    assert scoreboard.view(1).counters == Counters()


def test_a_slot_is_empty_for_the_next_worker(scoreboard: Scoreboard) -> None:
    with scoreboard.cells(0) as cells:
        cells[layout.REQUESTS] = 5
    scoreboard.clear(0, pid=1, generation=1)
    assert scoreboard.view(0).counters.requests == 0


def test_counters_add_up() -> None:
    one = Counters(requests=1, statuses=(0, 1, 0, 0, 0), duration_sum=0.5)
    assert (one + one).requests == 2
    assert (one + one).statuses == (0, 2, 0, 0, 0)
    assert one + Counters() == one


def test_the_line_of_a_request_is_read_as_far_as_there_is_room() -> None:
    with private_cells() as cells:
        line = b"GET /" + b"x" * 2000
        cells.cast("B")[layout.REQUEST_LINE * 8 :] = line[: layout.REQUEST_LINE_SIZE]
        cells[layout.REQUEST_LINE_LENGTH] = len(line)
        assert view_of(cells.tolist()).request_line == b""
        cells[layout.IN_FLIGHT] = 1
        assert view_of(cells.tolist()).request_line == line[: layout.REQUEST_LINE_SIZE]
