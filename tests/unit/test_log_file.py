"""The account of what a log could not write, with a file that takes as much as the test says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import ENOSPC
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from coachman.supervisor.log import log_file
from coachman.supervisor.log.log_file import LogFile

NOTE = rb"note: (\d+) lines? \((\d+) bytes\) of the log could not be written and (?:is|are) missing"


class Disk:
    """Takes `room` bytes, and is full then."""

    def __init__(self) -> None:
        self.content = b""
        self.room: int | None = None

    def write_out(self, _fd: int, blocks: Sequence[bytes]) -> tuple[int, OSError | None]:
        data = b"".join(blocks)
        taken = len(data) if self.room is None else min(self.room, len(data))
        self.content += data[:taken]
        if self.room is not None:
            self.room -= taken
        return taken, None if taken == len(data) else OSError(ENOSPC, "No space left on device")


@contextmanager
def log_on(disk: Disk, reports: list[str], note: Callable[[str], bytes] | None = None) -> Iterator[LogFile]:
    with patch.object(log_file, "write_out", disk.write_out):
        yield LogFile(None, reports.append, note or (lambda text: f"note: {text}\n".encode()))


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 30), min_size=1, max_size=4),
            st.none() | st.integers(0, 120),
        ),
        max_size=20,
    )
)
def test_what_is_in_the_log_is_whole_lines_in_order_and_what_is_not_is_counted(
    writes: list[tuple[list[int], int | None]],
) -> None:
    disk, reports = Disk(), list[str]()
    printed: list[bytes] = []
    with log_on(disk, reports) as log:
        for sizes, disk.room in writes:
            lines = [b"%d:" % (len(printed) + n) + b"x" * size for n, size in enumerate(sizes)]
            printed += lines
            log.write([line + b"\n" for line in lines])
        disk.room = None
        log.write([b"last\n"])
        printed.append(b"last")
    assert disk.content.endswith(b"\n")
    found = disk.content[:-1].split(b"\n")
    notes = [match for line in found if (match := re.fullmatch(NOTE, line))]
    kept = [line for line in found if not re.fullmatch(NOTE, line)]
    missing = [line for line in printed if line not in kept]
    assert kept == [line for line in printed if line not in missing]
    assert sum(int(match[1]) for match in notes) == len(missing)
    assert sum(int(match[2]) for match in notes) == sum(len(line) + 1 for line in missing)
    assert bool(reports) >= bool(missing)


def test_a_full_disk_is_reported_once_until_there_is_room_again() -> None:
    disk, reports = Disk(), list[str]()
    with log_on(disk, reports) as log:
        disk.room = 0
        for _ in range(5):
            log.write([b"a line\n"])
        assert len(reports) == 1
        assert "No space left on device" in reports[0]
        disk.room = None
        log.write([b"more\n"])
        disk.room = 0
        log.write([b"a line\n"])
        assert len(reports) == 2


def test_a_line_that_was_cut_is_finished_before_anything_else_is_written() -> None:
    disk, reports = Disk(), list[str]()
    with log_on(disk, reports) as log:
        disk.room = 9
        log.write([b"whole\nhalf and half\nlost\n"])
        assert disk.content == b"whole\nhal"
        disk.room = 4
        log.write([b"lost too\n"])
        assert disk.content == b"whole\nhalf an"
        disk.room = None
        log.write([b"there\n"])
    assert disk.content.split(b"\n") == [
        b"whole",
        b"half and half",
        b"note: 2 lines (14 bytes) of the log could not be written and are missing",
        b"there",
        b"",
    ]


def test_without_a_place_for_notes_what_is_missing_is_reported() -> None:
    disk, reports = Disk(), list[str]()
    with log_on(disk, reports, lambda text: b"") as log:
        disk.room = 0
        log.write([b"lost\n"])
        log.write([b"lost\n"])
        disk.room = None
        log.write([b"there\n"])
        assert disk.content == b"there\n"
        assert len(reports) == 2
        assert "2 lines (10 bytes)" in reports[1]


def test_what_is_missing_at_the_end_is_reported() -> None:
    disk, reports = Disk(), list[str]()
    with log_on(disk, reports) as log:
        disk.room = 3
        log.write([b"a line\n"])
        log.close()
        assert disk.content == b"a l"
        assert len(reports) == 2
        assert reports[1] == "1 line (4 bytes) of the log could not be written and is missing"
