"""The worker's end of the access log, on a real pipe."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from coachman.protocol.access_log import Access
from coachman.worker import access_log
from coachman.worker.access_log import LIMIT, TOGETHER, AccessLog

ACCESS = Access("", "GET", "/", "HTTP/1.1", 200, 1, 1, 1, "", "", "")
LINE = b"x" * 99 + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, AccessLog]]:
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    log = AccessLog(write_end, lambda requests, _epoch: LINE * len(requests))
    yield read_end, log
    os.close(read_end)


def test_lines_are_written_together(pipe: tuple[int, AccessLog]) -> None:
    read_end, log = pipe
    assert [log.add(ACCESS) for _ in range(3)] == [True, False, False]
    assert log.waiting
    assert log.flush()
    assert os.read(read_end, 10_000) == LINE * 3
    log.close()


def test_lines_come_in_the_order_of_their_requests_however_many_are_formatted_at_once() -> None:
    read_end, write_end = os.pipe()
    log = AccessLog(write_end, lambda requests, _epoch: b"".join(b"%d\n" % item.size for item in requests))
    sizes = range(TOGETHER * 2 + 3)
    assert [log.add(replace(ACCESS, size=size)) for size in sizes] == [True, *[False] * (len(sizes) - 1)]
    assert log.flush()
    assert os.read(read_end, 10_000).split() == [b"%d" % size for size in sizes]
    log.close()
    os.close(read_end)


def test_lines_have_the_time_when_their_requests_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coachman.worker.access_log.time.time_ns", lambda: 1_000)
    monkeypatch.setattr("coachman.worker.access_log.time.monotonic_ns", lambda: 900)
    read_end, write_end = os.pipe()
    log = AccessLog(write_end, lambda requests, epoch: b"%d\n" % (requests[0].ended_ns + epoch))
    log.add(replace(ACCESS, ended_ns=850))
    log.flush()
    assert os.read(read_end, 100) == b"950\n"
    log.close()
    os.close(read_end)


def test_a_full_pipe_holds_nobody_up_and_no_line_is_torn(pipe: tuple[int, AccessLog]) -> None:
    read_end, log = pipe
    stuck: list[bool] = []
    log.on_stuck = lambda: stuck.append(True)
    for _ in range(100):
        log.add(ACCESS)
    assert not log.flush()
    assert not log.flush()
    assert stuck == [True]
    found = b""
    while len(found) < len(LINE) * 100:
        found += os.read(read_end, 10_000)
        log.flush()
    assert found == LINE * 100
    assert log.flush()
    log.close()


def test_what_is_dropped_is_counted_and_said(
    pipe: tuple[int, AccessLog], capsys: pytest.CaptureFixture[str]
) -> None:
    read_end, log = pipe
    kept = LIMIT // len(LINE) + 1
    for _ in range(kept + 7):
        log.add(ACCESS)
    found = b""
    while not log.flush():
        found += os.read(read_end, 10_000)
    found += os.read(read_end, 10_000)
    assert found == LINE * kept
    assert "7 lines of the access log are missing" in capsys.readouterr().err
    log.close()


def test_the_end_waits_for_a_slow_reader_for_a_moment_only(
    pipe: tuple[int, AccessLog], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(access_log, "CLOSING_SECONDS", 0.01)
    read_end, log = pipe
    for _ in range(1000):
        log.add(ACCESS)
    log.close()
    arrived = os.read(read_end, 1_000_000).count(b"\n")
    assert f"{1000 - arrived} lines of the access log are lost" in capsys.readouterr().err


def test_a_reader_that_is_gone_is_no_reason_to_keep_lines() -> None:
    read_end, write_end = os.pipe()
    log = AccessLog(write_end, lambda requests, _epoch: LINE * len(requests))
    os.close(read_end)
    log.add(ACCESS)
    assert log.flush()
    log.close()
