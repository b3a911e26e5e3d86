"""The log on real files and pipes."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from coachman.config.model import LogFormat
from coachman.errors import ConfigurationError
from coachman.protocol.log_format import Source
from coachman.supervisor.log import log as log_module
from coachman.supervisor.log.log import Log
from coachman.supervisor.log.log_writer import HIGH_WATER, LIMIT
from coachman.supervisor.log.recent import FOLLOWED, KEPT

SOURCE = Source(4711, "site", 1)
BLOCK = (b"x" * 99 + b"\n") * 655
"""What a reader of pipes hands over at once, more or less."""


class Pipe:
    """A pipe whose write end is the log's output."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()

    def read(self) -> bytes:
        return os.read(self.read_end, 1024 * 1024)

    def read_all_of(self, size: int) -> bytes:
        """Read so many bytes."""
        with open(self.read_end, "rb", closefd=False, buffering=0) as file:
            found = bytearray()
            while len(found) < size:
                found += file.read(size - len(found)) or b""
            return bytes(found)

    def read_all(self) -> bytes:
        """Close the write end and read to the end of what is left."""
        self.close_write_end()
        with open(self.read_end, "rb", closefd=False) as file:
            return file.read()

    def close_write_end(self) -> None:
        fd, self.write_end = self.write_end, -1
        if fd >= 0:
            os.close(fd)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close_write_end()
    os.close(pipe.read_end)


@pytest.fixture
def short_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the end of the log wait for nobody."""
    monkeypatch.setattr(log_module, "CLOSING_SECONDS", 0.05)


def supervisor(text: str) -> str:
    return f"Supervisor {os.getpid()}: {text}\n"


def thread_of_the_log() -> threading.Thread:
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "log"]
    return thread


async def fill(log: Log) -> int:
    """Write until the log asks for a pause; return how many blocks that took."""
    count = 0
    while log.gate.is_open:
        log.write(SOURCE, "stdout", BLOCK)
        count += 1
    return count


def test_lines_and_notes_are_appended_to_a_file_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("an earlier line\n")

    async def main() -> None:
        log = Log(path)
        log.write(SOURCE, "stdout", b"one\ntwo\n")
        log.note("a note")
        log.write(SOURCE, "stderr", b"three\n")
        log.close()

    asyncio.run(main())
    assert path.read_text() == (
        "an earlier line\n"
        "App 4711 stdout: one\n"
        "App 4711 stdout: two\n" + supervisor("a note") + "App 4711 stderr: three\n"
    )


def test_notes_about_one_application_begin_with_its_name(pipe: Pipe) -> None:
    async def use() -> None:
        log = Log(None, fd=pipe.write_end)
        shop = log.about("shop")
        log.note("of all")
        shop.note("of one")
        shop.write(SOURCE, "stdout", b"printed\n")
        log.close()
        assert log.lines == shop.lines == 3

    asyncio.run(use())
    own = os.getpid()
    assert pipe.read_all().decode().splitlines() == [
        f"Supervisor {own}: of all",
        f"Supervisor {own}: shop: of one",
        "App 4711 stdout: printed",
    ]


def test_of_a_burst_the_last_is_kept_for_those_who_ask(tmp_path: Path) -> None:
    numbers = [f"{number:06}" for number in range(40_000)]  # more than is kept, in one read of a pipe
    long_line = "x" * (log_module.PIECE + 1)
    lines = [*numbers, long_line, "after it"]

    async def use() -> None:
        log = Log(tmp_path / "log", LogFormat.RAW)
        with log.recent.follow("a") as follower:
            log.write(Source(7, "a", 1), "stdout", "".join(f"{line}\n" for line in lines).encode())
            kept = log.text(log.recent.items("a")).splitlines()
            assert kept == lines[-len(kept) :]
            assert len("\n".join(kept)) > KEPT - 2 * log_module.PIECE
            taken = await follower.take()
            assert taken is not None
            skipped, items = taken
            followed = log.text(items).splitlines()
            assert followed == lines[skipped:]
            assert len("\n".join(followed)) > FOLLOWED - 2 * log_module.PIECE
        log.close()

    asyncio.run(use())
    assert (tmp_path / "log").read_text().splitlines() == lines


def test_a_raw_log_leaves_notes_to_standard_error(pipe: Pipe, capfd: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        log = Log(None, LogFormat.RAW, fd=pipe.write_end)
        log.announce("an announcement")
        log.write(SOURCE, "stdout", b"one\n")
        log.note("a note")
        log.close()

    asyncio.run(main())
    assert pipe.read_all() == b"one\n"
    assert capfd.readouterr().err == "coachman: an announcement\ncoachman: a note\n"


@pytest.mark.parametrize("how", ["moved away", "deleted", "still there"])
def test_a_reopened_log_goes_on_in_the_file_that_has_its_path(
    tmp_path: Path, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log"

    async def main() -> None:
        log = Log(path)
        for _ in range(100):
            log.write(SOURCE, "stdout", b"before\n")
        match how:
            case "moved away":
                path.rename(tmp_path / "log.1")
            case "deleted":
                path.unlink()
        log.reopen()
        log.write(SOURCE, "stdout", b"after\n")
        log.close()

    asyncio.run(main())
    before = "App 4711 stdout: before\n" * 100
    after = supervisor("the log file was reopened") + "App 4711 stdout: after\n"
    if how == "moved away":
        assert (tmp_path / "log.1").read_text() == before
    assert path.read_text() == (before + after if how == "still there" else after)
    assert capfd.readouterr().err == f"coachman: the log file {path} was reopened\n"


def test_a_file_that_cannot_be_reopened_is_written_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log"

    async def main() -> None:
        log = Log(path)
        path.rename(tmp_path / "log.1")
        path.mkdir()
        log.reopen()
        log.write(SOURCE, "stdout", b"after\n")
        log.close()

    asyncio.run(main())
    assert (tmp_path / "log.1").read_text() == "App 4711 stdout: after\n"
    assert f"cannot reopen the log file {path}: Is a directory" in capfd.readouterr().err


def test_a_log_on_standard_output_has_nothing_to_reopen(pipe: Pipe) -> None:
    async def main() -> None:
        log = Log(None, fd=pipe.write_end)
        log.reopen()
        log.write(SOURCE, "stdout", b"after\n")
        log.close()

    asyncio.run(main())
    assert pipe.read_all() == b"App 4711 stdout: after\n"


def test_a_file_that_cannot_be_opened_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(ConfigurationError, match="No such file or directory"):
            Log(tmp_path / "missing" / "log")

    asyncio.run(main())


def test_a_full_disk_stops_nobody_and_what_is_missing_is_said_once_there_is_room(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log"
    path.symlink_to("/dev/full")

    async def main() -> None:
        log = Log(path)
        for _ in range(1000):
            log.write(SOURCE, "stdout", BLOCK)
            await log.gate.wait_open(10)
        path.unlink()
        log.reopen()
        log.write(SOURCE, "stdout", b"after\n")
        log.close()

    asyncio.run(main())
    size = 655_000 * (len("App 4711 stdout: ") + 100)
    missing = f"655000 lines ({size} bytes) of the log could not be written and are missing"
    assert path.read_text() == (
        supervisor(missing) + supervisor("the log file was reopened") + "App 4711 stdout: after\n"
    )
    errors = capfd.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "No space left on device" in errors[0]
    assert errors[1].endswith("was reopened")


def test_a_slow_reader_shuts_the_gate_and_loses_nothing(pipe: Pipe) -> None:
    async def main() -> tuple[int, bytes]:
        log = Log(None, LogFormat.RAW, fd=pipe.write_end)
        blocks = await fill(log)
        assert HIGH_WATER <= blocks * len(BLOCK) <= HIGH_WATER + 2 * len(BLOCK) + 1024 * 1024
        found = b""
        while not log.gate.is_open:
            # The loop is free: whoever reads the log may be in this very process.
            found += await asyncio.to_thread(pipe.read)
        blocks += await fill(log)
        reading = asyncio.create_task(asyncio.to_thread(pipe.read_all_of, blocks * len(BLOCK) - len(found)))
        found += await reading
        log.close()
        return blocks, found

    blocks, found = asyncio.run(main())
    assert found == BLOCK * blocks


def test_what_cannot_pause_is_refused_beyond_the_limit_and_that_is_said(pipe: Pipe) -> None:
    blocks = LIMIT // len(BLOCK) + 10

    async def main() -> bytes:
        log = Log(None, LogFormat.TEXT, fd=pipe.write_end)
        for _ in range(blocks):
            log.write(SOURCE, "stdout", BLOCK)
        assert log.waiting <= LIMIT
        found = bytearray()
        while not log.gate.is_open:
            found += await asyncio.to_thread(pipe.read)
        log.note("going on")
        end = supervisor("going on").encode()
        while not found.endswith(end):
            found += await asyncio.to_thread(pipe.read)
        log.close()
        return bytes(found)

    *lines, said, _ = asyncio.run(main()).splitlines(keepends=True)
    written = [line for line in lines if line == b"App 4711 stdout: " + b"x" * 99 + b"\n"]
    missing = blocks * 655 - len(written)
    assert missing > 0
    assert lines == written
    text = f"{missing} lines ({missing * 100} bytes) are missing here: the log is written too slowly"
    assert said.decode() == supervisor(text)


@pytest.mark.usefixtures("short_of_time")
def test_a_reader_who_never_reads_does_not_keep_the_log_from_its_end(
    pipe: Pipe, capfd: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        log = Log(None, fd=pipe.write_end)
        await fill(log)
        log.close()

    asyncio.run(main())
    assert "bytes of the log could not be written within 0.05 seconds and are lost" in capfd.readouterr().err
    thread = thread_of_the_log()
    os.close(pipe.read_end)  # it gets EPIPE
    thread.join(10)
    pipe.read_end = os.open(os.devnull, os.O_RDONLY)


def test_a_reader_who_has_gone_is_reported_once(pipe: Pipe, capfd: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        log = Log(None, fd=pipe.write_end)
        os.close(pipe.read_end)
        for _ in range(200):
            log.write(SOURCE, "stdout", BLOCK)
            await log.gate.wait_open(10)
        log.close()

    asyncio.run(main())
    pipe.read_end = os.open(os.devnull, os.O_RDONLY)
    errors = capfd.readouterr().err.splitlines()
    assert "Broken pipe" in errors[0]
    assert errors[1].startswith("coachman: 131000 lines (")
    assert len(errors) == 2


def test_an_output_that_somebody_made_non_blocking_loses_nothing(pipe: Pipe) -> None:
    os.set_blocking(pipe.write_end, False)

    async def main() -> tuple[int, bytes]:
        log = Log(None, LogFormat.RAW, fd=pipe.write_end)
        blocks = await fill(log)
        found = await asyncio.to_thread(pipe.read_all_of, blocks * len(BLOCK))
        log.close()
        return blocks, found

    blocks, found = asyncio.run(main())
    assert found == BLOCK * blocks


def test_lines_written_after_the_end_are_not_an_error(tmp_path: Path) -> None:
    async def main() -> None:
        log = Log(tmp_path / "log")
        log.close()
        log.write(SOURCE, "stdout", b"too late\n")

    asyncio.run(main())
    assert (tmp_path / "log").read_text() == ""
