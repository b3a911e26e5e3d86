"""Temporary files that are used for one body after the other, and what applications can keep of them."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

import pytest

from coachman.worker.wsgi.body import MEMORY_LIMIT, RequestBody
from coachman.worker.wsgi.scratch_files import KEPT_FILES, KEPT_SIZE, ScratchFile, ScratchFiles

LARGE = MEMORY_LIMIT + 1


@pytest.fixture
def files() -> Iterator[ScratchFiles]:
    made = ScratchFiles()
    yield made
    made.close()


def used(files: ScratchFiles, content: bytes) -> ScratchFile:
    """Return the file that `content` went through."""
    file = files.take()
    file.write(content)
    with file.open() as reader:
        assert reader.read() == content
    files.give_back(file)
    return file


def test_a_file_is_used_for_one_body_after_the_other(files: ScratchFiles) -> None:
    first = used(files, b"a" * LARGE)
    assert used(files, b"b" * LARGE) is first


@pytest.mark.parametrize("size", [LARGE - 1, LARGE + 1])
def test_nothing_of_an_earlier_body_is_in_a_later_one(files: ScratchFiles, size: int) -> None:
    used(files, b"a" * LARGE)
    body = RequestBody(files)
    for _ in range(2):
        body.append(b"b" * LARGE)
    reader = body.opened_at_start()
    assert reader.read() == b"b" * LARGE * 2
    assert reader.read() == b""
    body.close()
    used(files, b"c" * size)


def test_a_body_that_was_not_completed_leaves_nothing(files: ScratchFiles) -> None:
    broken = RequestBody(files)
    broken.append(b"a" * LARGE * 2)
    broken.close()
    used(files, b"b" * LARGE)


def test_what_the_application_has_ends_with_the_request(files: ScratchFiles) -> None:
    body = RequestBody(files)
    body.append(b"a" * LARGE)
    reader = body.opened_at_start()
    raw = reader.raw  # type: ignore[attr-defined]
    body.close()
    used(files, b"secret" * LARGE)
    for stream in (reader, raw):
        with pytest.raises(ValueError, match="closed file"):
            stream.read(1)


def test_a_file_whose_descriptor_was_asked_for_is_not_used_again(files: ScratchFiles) -> None:
    file = files.take()
    file.write(b"a" * LARGE)
    kept = os.dup(file.open().fileno())
    files.give_back(file)
    assert used(files, b"b" * LARGE) is not file
    assert os.pread(kept, 10, 0) == b"a" * 10
    os.close(kept)


def fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def test_a_file_that_a_child_may_read_on_is_not_used_again(files: ScratchFiles) -> None:
    file = files.take()
    fork()
    files.give_back(file)
    assert used(files, b"b" * LARGE) is not file


def test_a_fork_between_two_uses_does_no_harm(files: ScratchFiles) -> None:
    file = used(files, b"a" * LARGE)
    fork()
    assert used(files, b"b" * LARGE) is file


def test_files_are_kept_in_a_small_number_and_size(files: ScratchFiles) -> None:
    several = [files.take() for _ in range(KEPT_FILES + 1)]
    for file in several:
        files.give_back(file)
    assert [files.take() for _ in range(KEPT_FILES)] == several[-2::-1]
    large = several[0]
    large.write(b"x" * (KEPT_SIZE + 1))
    for file in several[:-1]:
        files.give_back(file)
    assert large not in [files.take() for _ in range(KEPT_FILES - 1)]
    for file in several[1:-1]:
        files.give_back(file)


def test_a_disk_that_is_full_gets_all_room_back(files: ScratchFiles) -> None:
    kept = used(files, b"a" * LARGE)
    taken = [files.take(), files.take()]
    for file in taken:
        files.give_back(file)
    assert kept in taken
    body = RequestBody(files)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGE // 2, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            body.append(b"b" * LARGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    body.close()
    fresh = [files.take(), files.take()]
    assert not set(fresh) & set(taken)
    for file in fresh:
        file.close()
