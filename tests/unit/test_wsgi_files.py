"""`wsgi.file_wrapper`, with and without sendfile."""

from __future__ import annotations

import gzip
import io
import os
import resource
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from coachman.worker.wsgi.file_wrapper import FileWrapper

from .served import receive_exactly, receive_response, served

CONTENT = bytes(range(256)) * 4096
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    return file


def sending(open_file: Callable[[], Any], headers: list[tuple[str, str]], opened: list[Any]) -> Any:
    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", headers)
        opened.append(file := open_file())
        result: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 8192)
        return result

    return application


@pytest.mark.parametrize(
    ("position", "headers", "expected"),
    [
        (0, [], CONTENT),
        (100, [], CONTENT[100:]),
        (100, [("Content-Length", "50")], CONTENT[100:150]),
        (len(CONTENT), [], b""),
        (len(CONTENT) + 1, [], b""),
    ],
)
def test_a_file_is_sent_from_its_position_on_and_closed(
    threads: int, path: Path, position: int, headers: list[tuple[str, str]], expected: bytes
) -> None:
    def opened_at_position() -> Any:
        file = path.open("rb")
        file.seek(position)
        file.peek()  # the descriptor's own position is another now
        return file

    opened: list[Any] = []
    with served(sending(opened_at_position, headers, opened), threads) as connect:
        client = connect()
        for _ in range(2):
            client.sendall(GET)
            head, body = receive_response(client)
            assert body == expected
            assert b"chunked" not in head
    assert [file.closed for file in opened] == [True, True]


def test_head_and_1_0_have_no_more_than_they_should(threads: int, path: Path) -> None:
    opened: list[Any] = []
    with served(sending(lambda: path.open("rb"), [], opened), threads) as connect:
        client = connect()
        client.sendall(GET.replace(b"GET", b"HEAD"))
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        assert b"Content-Length: %d\r\n" % len(CONTENT) in head
        client.sendall(GET.replace(b"1.1", b"1.0"))
        head, body = receive_response(client)
        assert body == CONTENT
        assert client.recv(1) == b""
    assert all(file.closed for file in opened)


def in_a_pipe() -> Any:
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as pipe:
        pipe.write(b"from a pipe")
    return os.fdopen(read_end, "rb")


@pytest.mark.parametrize(
    ("open_file", "expected"),
    [
        (lambda: io.BytesIO(b"from memory"), b"from memory"),
        (lambda: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(b"unpacked"))), b"unpacked"),
        (
            lambda: io.BufferedReader(gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(b"unpacked")))),
            b"unpacked",
        ),
        (in_a_pipe, b"from a pipe"),
    ],
    ids=["memory", "gzip", "buffered gzip", "pipe"],
)
def test_what_is_no_regular_file_is_read(threads: int, open_file: Callable[[], Any], expected: bytes) -> None:
    opened: list[Any] = []
    headers = [("Content-Length", str(len(expected)))]
    with served(sending(open_file, headers, opened), threads) as connect:
        client = connect()
        client.sendall(GET)
        assert receive_response(client)[1] == expected
    assert opened[0].closed


def test_a_file_is_read_where_there_is_no_descriptor_left_to_send_it_by(
    threads: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    iterate = FileWrapper.__iter__

    def noted(wrapper: FileWrapper) -> Iterator[bytes]:
        for block in iterate(wrapper):
            read.append(len(block))
            yield block

    monkeypatch.setattr(FileWrapper, "__iter__", noted)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def open_last() -> Any:
        file = path.open("rb")
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
        return file

    opened: list[Any] = []
    try:
        with served(sending(open_last, [("Content-Length", str(len(CONTENT)))], opened), threads) as connect:
            client = connect()
            client.sendall(GET)
            assert receive_response(client)[1] == CONTENT
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert read == [8192] * (len(CONTENT) // 8192)
    assert opened[0].closed


@pytest.mark.parametrize("header", [("Connection", "close"), ("X-Name", "\u20ac")])
def test_a_file_behind_a_head_that_cannot_be_sent_is_closed(
    threads: int, path: Path, header: tuple[str, str]
) -> None:
    """The descriptor by which it would have been sent as well: no test may leave one behind."""
    opened: list[Any] = []
    with served(sending(lambda: path.open("rb"), [header], opened), threads) as connect:
        client = connect()
        client.sendall(GET)
        assert receive_response(client)[0].startswith(b"HTTP/1.1 500 ")
    assert [file.closed for file in opened] == [True]


def test_a_packed_file_on_disk_is_unpacked(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "packed", "wb") as file:
        file.write(b"unpacked")
    with gzip.open(tmp_path / "packed") as file:
        assert file.fileno() > 2, "it has a descriptor, which leads to the packed bytes"
        wrapper = FileWrapper(file)
        assert wrapper.part() is None
        assert b"".join(wrapper) == b"unpacked"


def test_a_temporary_file_is_a_regular_file() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"written, and still buffered")
        file.seek(8)
        part = FileWrapper(file).part()
        assert part is not None
        assert (part.offset, part.size) == (8, 19)


def test_a_slow_reader_of_a_file_blocks_nobody(threads: int, tmp_path: Path) -> None:
    size = 50_000_000
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(size)

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        if environ["PATH_INFO"] != "/large":
            return [b"small"]
        result: Iterable[bytes] = environ["wsgi.file_wrapper"](large.open("rb"))
        return result

    with served(application, threads) as connect:
        slow, leaving = [connect() for _ in range(5)], connect()
        for client in (*slow, leaving):
            client.sendall(GET.replace(b"/ ", b"/large "))
            assert client.recv(1) == b"H"
        quick = connect()
        for _ in range(20):
            quick.sendall(GET)
            assert receive_response(quick)[1] == b"small"
        leaving.close()  # with most of the file on its way
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += slow[0].recv(1)
        assert receive_exactly(slow[0], size) == bytes(size)


def test_a_file_that_becomes_shorter_ends_the_connection(
    threads: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(50_000_000)
    with served(sending(lambda: large.open("rb"), [], []), threads) as connect:
        client = connect()
        client.sendall(GET)
        assert client.recv(1) == b"H"
        large.write_bytes(b"")
        rest = 0
        while block := client.recv(1 << 20):
            rest += len(block)
        assert rest < 50_000_000
    assert "a file became shorter while it was sent" in capsys.readouterr().err
