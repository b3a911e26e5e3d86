"""What an application prints, and where it goes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import httpx
import pytest

from .applications import HELLO, ONE_PROCESS, write_application
from .coachman_serve import CoachmanServe
from .gate import WAIT_AT_GATE, Gate
from .raw_client import RawClient


def say_hello(server: CoachmanServe) -> int:
    """Return the status of a request."""
    return httpx.get(server.url, timeout=30, trust_env=False).status_code


def test_lines_are_attributed_to_their_process_and_stream(tmp_path: Path) -> None:
    write_application(
        tmp_path,
        """
        import sys
        print("loading")
        print("loading badly", file=sys.stderr)

        def application(environ, start_response):
            print("serving", environ["PATH_INFO"])
            environ["wsgi.errors"].write("serving badly\\n")
            start_response("200 OK", [])
            return []
        """,
    )
    with CoachmanServe(tmp_path, *ONE_PROCESS, "--spawn-method", "direct") as server:
        assert say_hello(server) == 200
        (pid,) = server.worker_pids()
        for line in ("stdout: loading", "stderr: loading badly"):
            server.wait_for_output(rf"(?m)^App \d+ {line}$")
        for line in ("stdout: serving /", "stderr: serving badly"):
            server.wait_for_output(rf"(?m)^App {pid} {line}$")


@pytest.mark.parametrize("method", ["preload", "direct"])
def test_a_line_is_in_the_log_as_soon_as_it_is_printed(tmp_path: Path, method: str) -> None:
    application = """
    def application(environ, start_response):
        print("serving")
        start_response("200 OK", [])
        return []
    """
    write_application(tmp_path, application)
    buffered = {"PYTHONUNBUFFERED": ""}  # many containers set it, and then Python sees to it by itself
    with CoachmanServe(tmp_path, *ONE_PROCESS, "--spawn-method", method, environment=buffered) as server:
        assert say_hello(server) == 200
        server.wait_for_output(r"App \d+ stdout: serving\n")


def test_the_supervisors_own_lines_are_attributed_too(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS) as server:
        server.wait_for_output("listening")
        server.stop()
        status, output = server.outcome()
    assert status == 0
    assert all(line.startswith(f"Supervisor {server.pid}: ") for line in output.splitlines()), output


def test_lines_of_the_start_protocol_are_plain_log_lines_when_the_application_prints_them(
    tmp_path: Path,
) -> None:
    lines = "!> I have control 1.0\\n!> Error\\n!> \\n!> Ready\\n!> socket: x\\n"
    write_application(tmp_path, f"import os\nprint('{lines}', end='')\nos.write(1, b'!> Error\\n')\n", HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS) as server:
        assert say_hello(server) == 200
        for line in ("I have control 1.0", "Error", "", "Ready", "socket: x"):
            server.wait_for_output(rf"App \d+ stdout: !> {line}\n")


def test_bytes_that_are_no_utf_8_arrive_as_they_were(tmp_path: Path) -> None:
    write_application(tmp_path / "site", "import os\nos.write(1, b'caf\\xe9 \\xff\\x00\\n')\n", HELLO)
    log = tmp_path / "log"
    with CoachmanServe(tmp_path / "site", *ONE_PROCESS, "--log-file", log) as server:
        assert say_hello(server) == 200
        assert server.stop() == 0, server.output()
    assert re.search(rb"(?m)^App \d+ stdout: caf\xe9 \xff\x00$", log.read_bytes())


def test_a_line_is_whole_however_it_was_written(tmp_path: Path) -> None:
    write_application(
        tmp_path,
        """
        import os
        for part in (b"on", b"e li", b"ne, then ", b"x" * 100_000, b".\\nand an unfinished one"):
            os.write(2, part)
        """,
        HELLO,
    )
    with CoachmanServe(tmp_path, *ONE_PROCESS) as server:
        assert say_hello(server) == 200
        assert server.stop() == 0
        assert server.outcome()[0] == 0
    assert re.search(r"(?m)^App \d+ stderr: one line, then x{100000}\.$", server.output())
    assert re.search(r"(?m)^App \d+ stderr: and an unfinished one$", server.output())


@pytest.mark.parametrize(
    "statement",
    [
        "sys.stdout.close()",
        "sys.stderr.close()",
        "sys.stdout = sys.stderr = None",
        "os.close(1)",
        "os.close(2)",
        "os.close(0), os.close(1), os.close(2)",
        "os.dup2(os.open('elsewhere', os.O_WRONLY | os.O_CREAT), 1)",
        "sys.stdout = sys.stderr = open('elsewhere', 'w')",
        "print('unfinished', end='', flush=True)",
        "os.closerange(0, 3)",
    ],
)
@pytest.mark.parametrize("method", ["direct", "preload"])
def test_an_application_may_do_to_its_streams_what_it_likes(
    tmp_path: Path, statement: str, method: str
) -> None:
    write_application(
        tmp_path,
        f"import os, sys\n{statement}",
        """
        def application(environ, start_response):
            if environ["PATH_INFO"] == "/fail":
                raise RuntimeError
            with open(__file__) as file:
                start_response("200 OK", [("X-Descriptor", str(file.fileno()))])
                return [file.read().encode()]
        """,
    )
    options = (*ONE_PROCESS, "--spawn-method", method)
    with CoachmanServe(tmp_path, *options) as server, RawClient(server.url) as client:
        client.get()
        answer = client.answer()
        assert answer.status == 200
        assert int(answer.headers["x-descriptor"]) > 2, "a file was opened where output goes"
        client.get("/fail")
        assert client.answer().status == 500, "a failure is answered, even where nobody can be told why"
        client.sock.close()
        assert say_hello(server) == 200, "the worker serves on"
        assert "replacing it" not in server.output()


def test_standard_input_is_at_its_end(tmp_path: Path) -> None:
    write_application(tmp_path, "import sys\nprint('read', repr(sys.stdin.read()))\n", HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS) as server:
        server.wait_for_output(r"App \d+ stdout: read ''\n")
        assert say_hello(server) == 200


def test_the_log_file_is_appended_to_and_announcements_are_on_stderr(tmp_path: Path) -> None:
    write_application(tmp_path / "site", "print('loading')", HELLO)
    log = tmp_path / "log"
    log.write_text("an earlier line\n")
    with CoachmanServe(tmp_path / "site", *ONE_PROCESS, "--log-file", log) as server:
        url = server.url
        assert say_hello(server) == 200
        server.stop()
        status, output = server.outcome()
    assert status == 0
    assert output.splitlines() == [
        f"coachman: starting {tmp_path}/site/wsgi.py:application: 1 process of 1 thread",
        f"coachman: listening at {url}",
        "coachman: stopped",
    ]
    lines = log.read_text().splitlines()
    assert lines[0] == "an earlier line"
    assert any(re.fullmatch(r"App \d+ stdout: loading", line) for line in lines)
    assert lines[-1] == f"Supervisor {server.pid}: stopped"


def test_whoever_starts_it_may_have_closed_all_streams(tmp_path: Path) -> None:
    write_application(tmp_path / "site", WAIT_AT_GATE, "print('loading')\nwait_at_gate()", HELLO)
    log, options = tmp_path / "log", ("--bind", f"unix:{tmp_path}/socket", "--processes", "1")
    with (
        Gate(tmp_path) as gate,
        CoachmanServe(
            tmp_path / "site", *options, "--log-file", log,
            environment=gate.environment, redirections="<&- >&- 2>&-",
        ) as server,
    ):  # fmt: skip
        gate.wait_for_arrival()  # so it listens
        assert {os.readlink(f"/proc/{server.pid}/fd/{number}") for number in range(3)} == {os.devnull}
        gate.open()
        with RawClient(f"unix:{tmp_path}/socket") as client:
            client.get()
            assert client.answer().body == b"hello"
        assert server.stop() == 0
    assert f"Supervisor {server.pid}: stopped\n" in log.read_text()


def test_a_log_file_that_cannot_be_written_is_said_clearly(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, "--log-file", tmp_path / "missing" / "log") as server:
        status, output = server.outcome()
    assert status == 1
    assert (
        output == f"coachman: cannot write the log file {tmp_path}/missing/log: No such file or directory\n"
    )
