"""What a forked server has of its parent's descriptors and servers: nothing, not even their numbers."""

from __future__ import annotations

import fcntl
import gc
import mmap
import os
import resource
import select
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coachman import message_handler
from coachman.unix.descriptors import END_OF_DESCRIPTORS, open_numbers, standard_streams
from tests.process.servers import Plain, works


def test_nothing_works_but_the_standard_streams_and_the_connection() -> None:
    read_end, write_end = os.pipe()
    with Plain() as server:
        os.close(write_end)
        assert os.read(read_end, 1) == b"", "the server holds the parent's pipe"
        working = {int(number) for number in server.call("working descriptors")}
        assert working >= standard_streams()
        assert len(working - standard_streams()) == 1
    os.close(read_end)


class RawOwner:
    """As C code does: owns a bare number and closes it when it goes."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        try:
            os.close(self.number)
        except OSError:
            pass


class Inheriting(Plain):
    """Holds descriptors of every kind; in the server, opens many of its own, then drops what it inherited."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inherited: list[object] = []
        self.integers: list[int] = []

    def before_fork(self) -> None:
        ours, theirs = socket.socketpair()
        read_end, write_end = os.pipe()
        number = os.open(self.path, os.O_RDONLY)
        self.inherited = [
            open(self.path),  # noqa: SIM115  # left open: the point
            open(self.path, "rb", buffering=0),  # noqa: SIM115
            ours,
            theirs,
            select.epoll(),
            RawOwner(read_end),
            RawOwner(write_end),
            os.scandir(self.path.parent),
        ]
        self.integers = [number]

    @message_handler("open and drop")
    def handle_open_and_drop(self) -> None:
        opened = [os.open(self.path, os.O_RDONLY) for _ in range(100)]
        gc.unfreeze()
        self.inherited.clear()
        for number in self.integers:
            os.close(number)
        gc.collect()
        self.send_to_client("broken", *(number for number in opened if not works(number)))

    @message_handler("reuse")
    def handle_reuse(self) -> None:
        self.inherited[0] = file = open(self.path)  # noqa: SIM115  # in the place of one that goes now
        self.send_to_client(file.read())


@contextmanager
def inheriting(tmp_path: Path) -> Iterator[Inheriting]:
    path = tmp_path / "file"
    path.write_text("content")
    server = Inheriting(path)
    with server:
        yield server
    for number in server.integers:
        os.close(number)
    for owner in server.inherited:
        if not isinstance(owner, RawOwner):
            owner.close()  # type: ignore[attr-defined]  # files, sockets and their kin
    server.inherited.clear()


def test_what_the_parent_owned_never_closes_what_the_server_opened(tmp_path: Path) -> None:
    with inheriting(tmp_path) as server:
        assert server.call("open and drop") == ["broken"]


def test_an_inherited_file_can_be_replaced(tmp_path: Path) -> None:
    with inheriting(tmp_path) as server:
        assert server.call("reuse") == ["content"]


def test_the_test_would_catch_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With descriptors that are only closed, the server's own are closed under it."""

    def only_close(numbers: object, keep: set[int], placeholder: int) -> None:
        start = 0
        for number in sorted(keep):
            if start < number:
                os.closerange(start, number)
            start = number + 1
        os.closerange(start, END_OF_DESCRIPTORS)

    monkeypatch.setattr("coachman.server.child.retire", only_close)
    with inheriting(tmp_path) as server:
        assert len(server.call("open and drop")) > len(server.inherited)


def test_an_orphaned_number_behaves_as_if_closed(tmp_path: Path) -> None:
    class Reading(Plain):
        def __init__(self) -> None:
            self.number = os.open(tmp_path, os.O_RDONLY)

        @message_handler("try")
        def handle_try(self) -> None:
            for attempt in (
                lambda: os.read(self.number, 1),
                lambda: os.write(self.number, b"x"),
                lambda: os.fchmod(self.number, 0o600),
                lambda: select.epoll().register(self.number),
            ):
                with pytest.raises(OSError, match="Bad file descriptor"):
                    attempt()
            self.send_to_client("all failed")

    server = Reading()
    with server:
        assert server.call("try") == ["all failed"]
    os.close(server.number)


def test_a_descriptor_beyond_a_limit_that_was_lowered_is_closed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    read_end, write_end = os.pipe()
    beyond = fcntl.fcntl(write_end, fcntl.F_DUPFD_CLOEXEC, min(soft // 2, 1000))
    os.close(write_end)
    resource.setrlimit(resource.RLIMIT_NOFILE, (beyond, hard))
    try:
        with Plain() as server:
            os.close(beyond)
            assert server.call("echo") == ["echo"]
            assert os.read(read_end, 1) == b"", "the server holds the parent's pipe"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(read_end)


def test_the_numbers_of_many_descriptors_are_found_without_listing_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = [os.dup(0) for _ in range(300)]
    os.close(many.pop(100))
    try:
        listed = {int(name) for name in os.listdir("/proc/self/fd") if works(int(name))}
        monkeypatch.setattr(os, "listdir", None)
        assert set(open_numbers()) >= listed
    finally:
        for number in many:
            os.close(number)


class Sibling(Plain):
    """Has inherited other servers. Maps memory, drops them, and looks at the memory."""

    def __init__(self, others: list[Plain]) -> None:
        self.others = others

    @message_handler("map and drop")
    def handle_map_and_drop(self) -> None:
        pages = [mmap.mmap(-1, mmap.PAGESIZE) for _ in range(200)]
        for page in pages:
            page[0] = 1
        with warnings.catch_warnings(action="ignore"):
            self.others.clear()
        self.send_to_client(sum(page[0] for page in pages))


def test_dropping_a_server_of_the_parents_takes_no_memory_away() -> None:
    inherited = [Plain() for _ in range(3)]
    try:
        for number in range(3):
            inherited[number].start()  # with no name for it, which the fork's frames would keep
        with Sibling(inherited) as sibling:
            assert sibling.call("map and drop") == ["200"]
    finally:
        for server in inherited:
            server.stop()
