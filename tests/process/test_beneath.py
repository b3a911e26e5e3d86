"""Opening below a folder, on a real file system: by the kernel's means and by our own."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coachman.unix import beneath

Open = Callable[[int, bytes, bool], int]
WAYS = [beneath.open_with_openat2, beneath.open_and_compare]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest) -> Open:
    found: Open = request.param
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with something in it, beside a secret."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "public-secret").mkdir()
    (tmp_path / "public-secret" / "x").write_text("secret")
    public = tmp_path / "public"
    (public / "sub").mkdir(parents=True)
    (public / "a").write_text("a")
    (public / "sub" / "b").write_text("b")
    for name, target in {
        "out": "../secret",
        "absolute": str(tmp_path / "secret"),
        "absolute-inside": str(public / "a"),
        "inside": "sub/b",
        "folder-inside": "sub",
        "folder-out": "..",
        "sibling": "../public-secret",
        "through": "sub/../../secret",
        "loop": "loop",
        "chain": "out",
        "process": "/proc/self/root",
    }.items():
        (public / name).symlink_to(target)
    (public / "sub" / "up").symlink_to("../a")
    return public


@pytest.fixture
def folder(tree: Path) -> Iterator[int]:
    fd = os.open(tree, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def read(way: Open, folder: int, path: str, follow: bool) -> str:
    fd = way(folder, path.encode(), follow)
    with open(fd) as file:
        return file.read()


@pytest.mark.parametrize("follow", [False, True])
def test_files_in_the_folder_are_opened(way: Open, folder: int, follow: bool) -> None:
    assert read(way, folder, "a", follow) == "a"
    assert read(way, folder, "sub/b", follow) == "b"


@pytest.mark.parametrize("path", ["inside", "folder-inside/b", "sub/up"])
def test_links_are_followed_only_where_that_is_asked_for(way: Open, folder: int, path: str) -> None:
    assert read(way, folder, path, True) in ("a", "b")
    with pytest.raises(OSError, match="symbolic") as caught:
        way(folder, path.encode(), False)
    assert caught.value.errno == errno.ELOOP


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize(
    "path",
    ["out", "absolute", "folder-out/secret", "sibling/x", "through", "loop", "chain", "process/etc/passwd",
     "../secret", "/etc/passwd", "sub/../../secret"],
)  # fmt: skip
def test_nothing_outside_is_opened(way: Open, folder: int, path: str, follow: bool) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        way(folder, path.encode(), follow)
    assert caught.value.errno in (errno.ELOOP, errno.EXDEV)


def test_a_missing_file_is_missing(way: Open, folder: int) -> None:
    with pytest.raises(FileNotFoundError):
        way(folder, b"nothing", False)
    with pytest.raises(NotADirectoryError):
        way(folder, b"a/b", False)


def test_a_fifo_without_a_writer_does_not_wait(way: Open, folder: int, tree: Path) -> None:
    os.mkfifo(tree / "fifo")
    os.close(way(folder, b"fifo", False))


def test_a_socket_cannot_be_opened(way: Open, folder: int, tree: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.getcwd()
        os.chdir(tree)  # the path of a socket is short
        try:
            listener.bind("socket")
        finally:
            os.chdir(before)
        with pytest.raises(OSError, match=r".") as caught:
            way(folder, b"socket", False)
        assert caught.value.errno == errno.ENXIO


def test_descriptors_are_not_inherited(way: Open, folder: int) -> None:
    fd = way(folder, b"a", False)
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_where_the_kernel_lacks_the_call_the_other_way_is_taken(
    folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSYS, "not here")

    monkeypatch.setattr(beneath, "_open", beneath._find_out)
    monkeypatch.setattr(beneath, "open_with_openat2", refuse)
    assert read(lambda *a: beneath.open_beneath(a[0], a[1]), folder, "a", False) == "a"
    assert beneath._open is beneath.open_and_compare


def test_a_link_that_is_swapped_all_the_time_never_leads_out(way: Open, folder: int, tree: Path) -> None:
    """Somebody who can write into the folder races against every look at it."""
    stop = threading.Event()
    flip, flop = tree / "flip", tree / "flop"
    flip.symlink_to("a")
    flop.symlink_to("../secret")

    def swap() -> None:
        while not stop.is_set():
            for source in (flop, flip):
                os.link(source, tree / "next", follow_symlinks=False)
                os.rename(tree / "next", tree / "swapped")

    os.link(flip, tree / "swapped", follow_symlinks=False)
    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        seen = set()
        for _ in range(2000):
            try:
                seen.add(read(way, folder, "swapped", True))
            except OSError as error:
                seen.add(errno.errorcode[error.errno or 0])
    finally:
        stop.set()
        swapper.join()
    assert seen <= {"a", "EXDEV", "EAGAIN"}
