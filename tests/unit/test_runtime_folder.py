"""Where control sockets are, and whom they are for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from coachman.errors import ConfigurationError
from coachman.unix import runtime_folder
from coachman.unix.control_socket import connect_in, listen_in, peer_uid, socket_name, socket_names
from coachman.unix.runtime_folder import make_runtime_folder, open_runtime_folder, usual_runtime_folder

LONG = "x" * 120
"""Longer than the address of a socket."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = make_runtime_folder(tmp_path / LONG)
    yield fd
    os.close(fd)


def test_a_socket_is_for_its_owner_alone_and_can_be_reached_however_long_its_path(
    folder: int, tmp_path: Path
) -> None:
    name = socket_name(4711, ["shop", "the blog/2"])
    assert name == "4711-shop+the_blog_2.sock"
    mask = os.umask(0)
    try:
        listener = listen_in(folder, name)
    finally:
        os.umask(mask)
    with listener, connect_in(folder, name, 10.0) as client:
        accepted, _ = listener.accept()
        with accepted:
            assert peer_uid(accepted) == peer_uid(client) == os.geteuid()
    assert (tmp_path / LONG / name).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / LONG).stat().st_mode & 0o777 == 0o700


def test_sockets_are_found_by_their_names_and_other_files_are_not(folder: int) -> None:
    for pid in (12, 7):
        listen_in(folder, socket_name(pid, ["site"])).close()
    os.close(os.open("notes.txt", os.O_CREAT, dir_fd=folder))
    assert [(found.pid, found.applications) for found in socket_names(folder)] == [(7, "site"), (12, "site")]


@pytest.mark.parametrize("letters", ["application", "приложение", "應用程式"])
def test_many_applications_make_no_name_that_is_too_long(folder: int, letters: str) -> None:
    name = socket_name(2**22, [f"{letters}{number}" for number in range(100)])
    assert letters in name
    listen_in(folder, name).close()
    assert len(name) < 100


def test_a_socket_that_nobody_listens_on_refuses(folder: int) -> None:
    listen_in(folder, "1-a.sock").close()
    with pytest.raises(ConnectionRefusedError):
        connect_in(folder, "1-a.sock", 10.0)


def test_a_full_queue_is_waited_for(folder: int) -> None:
    with listen_in(folder, "1-a.sock") as listener:
        listener.listen(0)
        with connect_in(folder, "1-a.sock", 10.0), pytest.raises(BlockingIOError):
            connect_in(folder, "1-a.sock", 0.01)


def test_what_is_no_socket_is_not_connected_to(folder: int) -> None:
    os.symlink("/run/elsewhere", "1-a.sock", dir_fd=folder)
    with pytest.raises(OSError, match="is not a socket"):
        connect_in(folder, "1-a.sock", 10.0)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"has the mode {mode:o}"):
        open_runtime_folder(tmp_path)


def test_a_folder_behind_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(ConfigurationError, match="cannot open the runtime folder"):
        make_runtime_folder(tmp_path / "link")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot make the runtime folder .*: Not a directory"):
        make_runtime_folder(tmp_path / "file" / "folder")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused_unless_root_has_named_it(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    tmp_path.chmod(0o700)
    with pytest.raises(ConfigurationError, match="belongs to user 65534"):
        open_runtime_folder(tmp_path)
    os.close(open_runtime_folder(tmp_path, of_anybody=True))


def test_the_usual_folder_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert usual_runtime_folder({"XDG_RUNTIME_DIR": "/run/user/1000"}) == Path("/run/user/1000/coachman")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert usual_runtime_folder({}) == tmp_path / "coachman-1000"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(runtime_folder, "SYSTEM_FOLDER", tmp_path)
    assert usual_runtime_folder({"XDG_RUNTIME_DIR": "/run/user/0"}) == tmp_path / "coachman"
