from __future__ import annotations

import os
import select
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coachman.unix.watched_file import WatchedFile


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tmp" / "restart.txt"


@pytest.fixture
def watched(tmp_path: Path, file: Path) -> Iterator[WatchedFile]:
    with closing(WatchedFile(tmp_path, file)) as watched:
        yield watched


def tells(watched: WatchedFile) -> bool:
    """Return whether it was touched by what has just been done; the kernel queues that at once."""
    touched = False
    while select.select([watched], [], [], 0)[0]:
        touched = watched.touched() or touched
    return touched


def test_a_file_that_is_there_already_was_not_touched(tmp_path: Path, file: Path) -> None:
    file.parent.mkdir()
    file.touch()
    with closing(WatchedFile(tmp_path, file)) as watched:
        assert not watched.touched()
        file.touch()
        assert tells(watched)
        assert not tells(watched)


def test_its_folder_may_come_later(watched: WatchedFile, file: Path) -> None:
    file.parent.mkdir()
    assert not tells(watched)
    file.touch()
    assert tells(watched)


def test_it_may_be_deep_below_and_nothing_on_the_way_be_there(tmp_path: Path) -> None:
    file = tmp_path / "run" / "site" / "state" / "restart.txt"
    with closing(WatchedFile(tmp_path, file)) as watched:
        for folder in reversed(file.parents[:3]):
            folder.mkdir()
            assert not tells(watched)
        file.touch()
        assert tells(watched)
        shutil.rmtree(tmp_path / "run")
        tells(watched)
        file.parent.mkdir(parents=True)
        file.touch()
        assert tells(watched)


def test_both_may_come_at_once(watched: WatchedFile, file: Path) -> None:
    file.parent.mkdir()
    file.touch()
    assert tells(watched)


def test_a_folder_with_the_file_may_take_the_place_of_the_other(
    watched: WatchedFile, file: Path, tmp_path: Path
) -> None:
    file.parent.mkdir()
    assert not tells(watched)
    shutil.copytree(file.parent, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / file.name).touch()
    file.parent.rename(tmp_path / "aside")
    (tmp_path / "elsewhere").rename(file.parent)
    assert tells(watched)
    file.touch()
    assert tells(watched)
    (tmp_path / "aside" / file.name).touch()
    assert not tells(watched)


def write(file: Path) -> None:
    file.write_text("now")


def set_its_time(file: Path) -> None:
    os.utime(file, ns=(0, 0))


def replace_it(file: Path) -> None:
    other = file.with_name("other")
    other.touch()
    other.replace(file)


@pytest.mark.parametrize("act", [Path.touch, write, set_its_time, replace_it])
def test_it_is_touched_by(watched: WatchedFile, file: Path, act: Callable[[Path], None]) -> None:
    file.parent.mkdir()
    file.touch()
    assert tells(watched)
    act(file)
    assert tells(watched)


def read(file: Path) -> None:
    file.read_text()


def write_another(file: Path) -> None:
    file.with_name("always_restart.txt").touch()


@pytest.mark.parametrize("act", [read, write_another, Path.unlink])
def test_it_is_not_touched_by(watched: WatchedFile, file: Path, act: Callable[[Path], None]) -> None:
    file.parent.mkdir()
    file.touch()
    assert tells(watched)
    act(file)
    assert not tells(watched)


def test_while_it_is_being_made_it_is_left_alone(watched: WatchedFile, file: Path) -> None:
    file.parent.mkdir()
    assert not tells(watched)
    with file.open("w") as making:
        assert not tells(watched)
        making.write("now")
    assert tells(watched)


def test_a_root_that_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        WatchedFile(tmp_path / "nowhere", tmp_path / "nowhere" / "restart.txt")
