"""The pid file: who holds it, and what is in the way."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

import pytest

from coachman.errors import ConfigurationError
from coachman.unix.pid_file import pid_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "coachman.pid"


def test_it_has_our_pid_while_it_lasts(path: Path) -> None:
    with pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"
        assert path.stat().st_mode & 0o777 == 0o644
        assert os.listdir(path.parent) == [path.name]
    assert os.listdir(path.parent) == []


def test_a_second_holder_is_refused_with_the_pid_of_the_first(path: Path) -> None:
    with pid_file(path):
        with (
            pytest.raises(ConfigurationError, match=f"belongs to the living process {os.getpid()}"),
            pid_file(path),
        ):
            pytest.fail("it was taken")
        assert path.read_text() == f"{os.getpid()}\n"
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("content", ["1\n", "99999999", "", "\n"])
def test_one_that_nobody_holds_is_replaced_whoever_has_the_number_now(path: Path, content: str) -> None:
    path.write_text(content)
    with pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_whoever_reads_while_it_is_replaced_sees_the_old_or_the_new_one(path: Path) -> None:
    path.write_text("99999999\n")
    with path.open() as old, pid_file(path):
        assert old.read() == "99999999\n"


@pytest.mark.parametrize("content", ["important", "12 monkeys", "-1", "1" * 100 + "x"])
def test_what_is_no_pid_file_is_left_alone(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="is no pid file"), pid_file(path):
        pytest.fail("it was taken")
    assert path.read_text() == content
    assert os.listdir(path.parent) == [path.name]


def test_one_that_somebody_has_replaced_is_not_removed(path: Path) -> None:
    with pid_file(path):
        path.unlink()
        path.write_text("4711\n")
    assert path.read_text() == "4711\n"


def test_one_that_somebody_has_removed_is_no_error(path: Path) -> None:
    with pid_file(path):
        path.unlink()


@pytest.mark.parametrize("kind", ["folder", "fifo", "link", "dangling link"])
def test_what_is_no_file_is_refused(path: Path, kind: str) -> None:
    target = path.with_name("target")
    match kind:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "link":
            target.write_text("4711\n")
            path.symlink_to(target)
        case _:
            path.symlink_to(target)
    before = path.lstat()
    with pytest.raises(ConfigurationError, match=re.escape(str(path))), pid_file(path):
        pytest.fail("it was taken")
    assert os.path.samestat(path.lstat(), before)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"), pid_file(tmp_path / "missing" / "x.pid"):
        pytest.fail("it was taken")


def test_one_that_vanishes_while_we_look_is_made_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("4711\n")
    lock = fcntl.flock

    def vanish(fd: int, operation: int) -> None:
        lock(fd, operation)
        if operation & fcntl.LOCK_NB:
            path.unlink()

    monkeypatch.setattr(fcntl, "flock", vanish)
    with pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"
