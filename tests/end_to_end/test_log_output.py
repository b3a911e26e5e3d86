"""`coachman serve`'s log: its formats, its file, and what happens when nobody takes it."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from .coachman_serve import COMMAND

APPLICATION = """
import os, signal

def say(first, count):
    return b"".join(b"line %07d %s\\n" % (number, b"x" * 80) for number in range(first, first + count))

def print_all(data):
    data = memoryview(data)
    while data:
        data = data[os.write(1, data):]

def application(environ, start_response):
    what, _, argument = environ["PATH_INFO"].strip("/").partition("/")
    if what == "lines":
        first, count = map(int, argument.split("-"))
        print_all(say(first, count))
    elif what == "json":
        print('{"level": "info", "took": 1.50}', flush=True)
    elif what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "die":
        print_all(say(0, 2000) + b"and the last words")
        os.kill(os.getpid(), signal.SIGKILL)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""
MEGABYTES = 16
LINES_OF_MEGABYTES = MEGABYTES * 1024 * 1024 // 94
"""More than all the pipes and the supervisor's buffer take together."""


def line(number: int) -> str:
    return f"line {number:07} {'x' * 80}"


@dataclass
class Serving:
    """A `coachman serve` on a unix socket, whose stdout is what the test gave it."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    stderr: IO[bytes]

    def get(self, path: str) -> int:
        """Return the status of a request; 0 where the server broke off the connection."""
        try:
            return self.client.get(f"http://site/{path}").status_code
        except httpx.TransportError:
            return 0

    def wait_for_stderr(self, pattern: str) -> str:
        """Read standard error up to a line with the pattern, and return that."""
        before = []
        for data in self.stderr:
            text = data.decode()
            if re.search(pattern, text):
                return text
            before.append(text)
        raise AssertionError(f"no {pattern!r} on standard error: {before}")

    def stop(self) -> str:
        """Stop it as systemd does; return what is left on standard error."""
        self.process.terminate()
        assert self.process.wait(60) == 0
        return self.stderr.read().decode()


@contextmanager
def serving(
    folder: Path, *options: str | Path, stdout: int | None = None, threads: int = 1
) -> Iterator[Serving]:
    (folder / "site").mkdir()
    (folder / "site" / "wsgi.py").write_text(APPLICATION)
    socket = folder / "socket"
    command = [COMMAND, "serve", folder / "site", "--bind", f"unix:{socket}", "--processes", "1", *options]
    process = subprocess.Popen(
        [*command, "--threads", str(threads)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if stdout is None else stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    with process.stderr, httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=60) as client:
        try:
            yield Serving(process, client, process.stderr)
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe for standard output: the test reads it when it likes."""
    read_end, write_end = os.pipe()
    yield read_end, write_end
    os.close(read_end)


def objects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_json_is_one_object_a_line_with_the_objects_of_the_application_in_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(tmp_path, "--log-file", log, "--log-format", "json") as server:
        server.wait_for_stderr("listening")
        assert server.get("json") == 200
        assert server.get("lines/1-2") == 200
        server.stop()
    printed = [entry for entry in objects(log) if entry["stream"] != "supervisor"]
    assert [entry["message"] for entry in printed] == [{"level": "info", "took": 1.5}, line(1), line(2)]
    assert {(entry["application"], entry["generation"], entry["stream"]) for entry in printed} == {
        ("site", 1, "stdout")
    }
    notes = [entry for entry in objects(log) if entry["stream"] == "supervisor"]
    assert {entry["pid"] for entry in notes} == {server.process.pid}
    assert notes[-1]["message"] == "stopped"
    for entry in objects(log):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", entry["time"])


def test_raw_is_what_the_application_prints_and_notes_go_to_stderr(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(tmp_path, "--log-file", log, "--log-format", "raw") as server:
        server.wait_for_stderr(r"coachman: worker 1 \(pid \d+\) is ready")
        assert server.get("lines/1-3") == 200
        assert server.stop().endswith("coachman: stopped\n")
    assert log.read_text().splitlines() == [line(1), line(2), line(3)]


def test_sigusr1_reopens_the_file_as_logrotate_wants_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(tmp_path, "--log-file", log) as server:
        server.wait_for_stderr("listening")
        assert server.get("lines/1-1") == 200
        for number in (1, 2):
            # In the order of logrotate: first the file is moved (or was deleted), then the signal is sent.
            log.rename(tmp_path / f"log.{number}") if number == 1 else log.unlink()
            server.process.send_signal(signal.SIGUSR1)
            server.wait_for_stderr(f"the log file {log} was reopened")
            assert server.get(f"lines/{number + 1}-1") == 200
        server.stop()
    assert (tmp_path / "log.1").read_text().endswith(f"stdout: {line(1)}\n")
    first, *rest = log.read_text().splitlines()
    assert first == f"Supervisor {server.process.pid}: the log file was reopened"
    assert rest[0].endswith(f"stdout: {line(3)}")
    assert rest[-1].endswith("stopped")


def test_sigusr1_means_nothing_where_the_log_is_not_a_file(tmp_path: Path, pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    with serving(tmp_path, stdout=write_end) as server:
        os.close(write_end)
        assert os.read(read_end, 1), "it has its signal handlers once it writes"
        server.process.send_signal(signal.SIGUSR1)
        assert server.get("") == 200
        server.stop()


def test_a_full_disk_stops_nobody_and_the_log_says_what_is_missing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(tmp_path, "--log-file", log, "--log-format", "raw") as server:
        server.wait_for_stderr("ready")
        assert server.get("lines/0-10") == 200
        # A limit for the size of files fails as a full disk does: some of a write, then none.
        hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (94 * 20 + 50, hard))
        assert server.get("lines/10-1000") == 200
        server.wait_for_stderr(f"cannot write {log}: File too large; the applications go on")
        assert server.get("lines/1010-1000") == 200
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
        assert server.get("lines/2010-10") == 200
        said = server.wait_for_stderr("lines")
        server.stop()
    lines = log.read_text().splitlines()
    missing = 2020 - len(lines)
    assert f"{missing} lines ({missing * 94} bytes) of the log could not be written and are missing" in said
    assert lines[:21] == [line(number) for number in range(21)], "the line that was cut has been finished"
    assert lines[21:] == [line(number) for number in range(2020 - len(lines) + 21, 2020)]


def test_a_slow_reader_slows_the_application_down_and_nobody_else(
    tmp_path: Path, pipe: tuple[int, int]
) -> None:
    read_end, write_end = pipe
    count = LINES_OF_MEGABYTES
    with (
        serving(tmp_path, "--log-format", "raw", stdout=write_end, threads=2) as server,
        ThreadPoolExecutor(1) as another,
    ):
        os.close(write_end)
        server.wait_for_stderr("ready")
        printing = another.submit(server.get, f"lines/0-{count}")
        for _ in range(20):
            assert server.get("") == 200
        assert not printing.done(), "16 MiB have gone somewhere"
        peak = peak_memory(server.process.pid)
        with open(read_end, "rb", closefd=False) as reader:
            for number in range(count):
                assert reader.readline().decode() == line(number) + "\n"
        assert printing.result(60) == 200
        assert peak < 64 * 1024, f"the supervisor held {peak} KiB"
        server.stop()


def test_a_reader_who_never_reads_does_not_keep_the_server_from_stopping(
    tmp_path: Path, pipe: tuple[int, int]
) -> None:
    _, write_end = pipe
    with serving(tmp_path, "--log-format", "raw", stdout=write_end) as server:
        os.close(write_end)
        server.wait_for_stderr("ready")
        # 2 MiB: the application is not held up, but the log has more than it can write.
        assert server.get("lines/0-20000") == 200
        assert "bytes of the log could not be written within 3 seconds and are lost" in server.stop()


def test_a_worker_is_replaced_while_nobody_reads_the_log(tmp_path: Path, pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    with serving(tmp_path, "--log-format", "raw", stdout=write_end, threads=2) as server:
        os.close(write_end)
        server.wait_for_stderr("ready")
        printing = threading.Thread(target=server.get, args=[f"lines/0-{LINES_OF_MEGABYTES}"])
        printing.start()
        assert os.read(read_end, 1) == b"l"
        assert server.get("kill") == 0
        assert server.get("") == 200
        assert server.get("lines/9999999-1") == 200
        printing.join(60)
        with open(read_end, "rb", closefd=False) as reader:
            *lines, last, marker = (
                (b"l" + b"".join(until(reader, line(9999999).encode()))).decode().split("\n")
            )
        server.stop()
    assert lines == [line(number) for number in range(len(lines))]
    assert line(len(lines)).startswith(last), "the last words end where the process did"
    assert marker == line(9999999)


def test_the_last_words_of_a_crashing_process_are_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving(tmp_path, "--log-file", log, "--log-format", "raw") as server:
        server.wait_for_stderr("ready")
        for _ in range(5):
            assert server.get("die") == 0
        assert server.get("") == 200
        server.stop()
    words = [*map(line, range(2000)), "and the last words"]
    assert log.read_text().splitlines() == words * 5


def until(reader: IO[bytes], last: bytes) -> Iterator[bytes]:
    """Read lines up to this one, which comes without its newline."""
    for data in reader:
        if data == last + b"\n":
            yield last
            return
        yield data


def peak_memory(pid: int) -> int:
    """Return the most memory that a process has had, in KiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])
