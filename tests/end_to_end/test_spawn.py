"""`coachman spawn`: what it prints, what it sends, when and how it ends."""

from __future__ import annotations

import os
import pwd
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.process.wrapped import PREAMBLE

from .coachman_spawn import CoachmanSpawn

READY = 'control()\nsay("Ready", "")\n'
UNTIL_QUIT = READY + "until_quit()\n"
DEAF = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n" + READY + "while True: signal.pause()\n"


def wrapper(folder: Path, script: str) -> list[str]:
    """Write a wrapper in Python and return the command for it."""
    file = folder / "wrapper.py"
    file.write_text(PREAMBLE + dedent(script))
    return ["--", sys.executable, "-S", str(file)]


def test_the_properties_are_one_line_of_json_and_the_log_is_on_stderr(tmp_path: Path) -> None:
    command = wrapper(
        tmp_path,
        """
        print("loading", flush=True)
        control()
        say("Ready", "socket: main;tcp://127.0.0.1:8000;http;4", "colour: blue", "")
        print("serving", file=sys.stderr, flush=True)
        until_quit()
        """,
    )
    with CoachmanSpawn(*command) as spawned:
        properties = spawned.properties()
        assert spawned.end() == 0, spawned.errors()
        assert spawned.rest() == b""
        pid = properties["pid"]
        seconds = properties.pop("seconds")
        assert properties == {
            "pid": pid,
            "process_group": pid,
            "sockets": [
                {"name": "main", "address": "tcp://127.0.0.1:8000", "protocol": "http", "concurrency": 4}
            ],
            "fields": {"colour": "blue"},
        }
        assert 0 < seconds < 30
        own = spawned.process.pid
        assert sorted(spawned.errors().splitlines()) == [
            f"App {pid} stderr: serving",
            f"App {pid} stdout: loading",
            f"Supervisor {own}: end of input: process {pid} is asked to quit",
            f"Supervisor {own}: process {pid} has ended",
        ]


@pytest.mark.parametrize("level", ["info", "debug"])
def test_a_field_without_a_meaning_is_logged_at_the_debug_level(tmp_path: Path, level: str) -> None:
    script = """
        control()
        say("Ready", "socket: main;tcp://127.0.0.1:8000;http;4", "colour: blue", "")
        until_quit()
        """
    with CoachmanSpawn("--log-level", level, *wrapper(tmp_path, script)) as spawned:
        spawned.properties()
        assert spawned.end() == 0, spawned.errors()
        told = "the field 'colour', which means nothing here: 'blue'" in spawned.errors()
    assert told is (level == "debug")


def test_the_pid_is_the_one_that_the_application_names(tmp_path: Path) -> None:
    command = wrapper(
        tmp_path,
        """
        control()
        child = os.fork()
        if child:
            say("Ready", f"pid: {child}", "")
        until_quit()
        """,
    )
    with CoachmanSpawn(*command) as spawned:
        properties = spawned.properties()
        assert properties["pid"] != properties["process_group"]
        assert properties["fields"] == {}
        assert spawned.end() == 0


def test_the_standard_keys_are_sent_and_options_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    command = wrapper(
        tmp_path,
        """
        request = control()
        status = os.stat(request["socket_dir"])
        say("Ready", *(f"{key}: {value}" for key, value in request.items()))
        say(f"cwd: {os.getcwd()}", f"mode: {status.st_mode}")
        say(f"unbuffered: {os.environ['PYTHONUNBUFFERED']}", "")
        until_quit()
        """,
    )
    options = ["--option", "environment=test", "--option", "log_level=3", "--option", "port=8=0"]
    with CoachmanSpawn("--timeout", "45.5", *options, *command, folder=tmp_path) as spawned:
        fields = spawned.properties()["fields"]
        assert spawned.end() == 0
    generation_dir, mode = fields.pop("generation_dir"), int(fields.pop("mode"))
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert fields.pop("group")
    assert fields == {
        "app_root": str(tmp_path),
        "app_group_name": str(tmp_path),
        "base_uri": "/",
        "cwd": str(tmp_path),
        "environment": "test",
        "log_level": "3",
        "port": "8=0",
        "socket_dir": f"{generation_dir}/backends",
        "start_timeout": "45.5",
        "unbuffered": "1",
        "user": user,
    }
    assert stat.S_IMODE(mode) == 0o700
    assert not os.path.exists(generation_dir), "it is removed in the end"


def test_the_option_app_root_is_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    command = wrapper(
        tmp_path,
        """
        request = control()
        say("Ready", f"got: {request['app_root']} {os.getcwd()}", "")
        """,
    )
    with CoachmanSpawn("--option", "app_root=site", *command, folder=tmp_path) as spawned:
        site = tmp_path / "site"
        assert spawned.properties()["fields"] == {"got": f"{site} {site}"}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_asks_it_to_quit(tmp_path: Path, name: str) -> None:
    with CoachmanSpawn(*wrapper(tmp_path, UNTIL_QUIT)) as spawned:
        spawned.properties()
        spawned.signal(signal.Signals[name])
        assert spawned.status() == 0
        assert f"{name}: process" in spawned.errors()


@pytest.mark.parametrize("redirection", ["</dev/null", "</etc/passwd", "<&-"])
def test_input_that_ends_at_once_tries_the_start_only(tmp_path: Path, redirection: str) -> None:
    command = wrapper(tmp_path, UNTIL_QUIT)
    program = Path(sys.executable).with_name("coachman")
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", program, "spawn", *command],
        stdin=subprocess.PIPE,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b'{"pid": ')


def test_ctrl_d_at_a_terminal_is_the_end_of_input(tmp_path: Path) -> None:
    ours, terminal = os.openpty()
    with CoachmanSpawn(*wrapper(tmp_path, UNTIL_QUIT), stdin=terminal) as spawned:
        os.close(terminal)
        spawned.properties()
        os.write(ours, b"a line\n\x04")
        assert spawned.status() == 0
        assert "end of input" in spawned.errors()
    os.close(ours)


def test_what_comes_before_the_end_of_input_is_dropped(tmp_path: Path) -> None:
    with CoachmanSpawn(*wrapper(tmp_path, READY + "print(repr(sys.stdin.read()), flush=True)")) as spawned:
        spawned.properties()
        assert spawned.process.stdin is not None
        spawned.process.stdin.write(b"hello\n" * 100_000)
        assert spawned.end() == 0
        assert "stdout: ''\n" in spawned.errors()


def test_who_is_deaf_is_killed_in_the_end_and_the_status_says_so(tmp_path: Path) -> None:
    waits = ["--quit-wait", "0.1", "--term-wait", "0.1"]
    with CoachmanSpawn(*waits, *wrapper(tmp_path, DEAF)) as spawned:
        spawned.properties()
        assert spawned.end() == 128 + signal.SIGKILL
        assert "goes on 0.1 s after SIGTERM; SIGKILL" in spawned.errors()


def test_a_second_signal_kills_at_once(tmp_path: Path) -> None:
    waits = ["--quit-wait", "1000", "--term-wait", "1000"]
    fifo = tmp_path / "closed"
    os.mkfifo(fifo)
    # The first signal is known to have arrived when stdin is closed.
    script = UNTIL_QUIT + f"open({str(fifo)!r}, 'w').close()\nwhile True: signal.pause()\n"
    with CoachmanSpawn(*waits, *wrapper(tmp_path, script)) as spawned:
        spawned.properties()
        spawned.signal(signal.SIGINT)
        fifo.read_bytes()
        spawned.signal(signal.SIGINT)
        assert spawned.status() == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        ("sys.exit(5)", 5, "exit status 5"),
        ("sys.exit(0)", 0, "exit status 0"),
        ("os.kill(os.getpid(), signal.SIGUSR1)", 128 + signal.SIGUSR1, "SIGUSR1"),
    ],
)
def test_an_application_that_ends_unasked_gives_its_own_status(
    tmp_path: Path, end: str, status: int, said: str
) -> None:
    with CoachmanSpawn(*wrapper(tmp_path, READY + end)) as spawned:
        spawned.properties()
        assert spawned.status() == status
        assert f"ended with {said}; nobody asked it to\n" in spawned.errors()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('say("Error", ""); print("no database")', "coachman: no database\n"),
        ("sys.exit(3)", "ended with exit status 3 before it was ready\n"),
        ('say("nonsense")', "broke the start protocol: the line '!> nonsense' is out of place"),
        (
            'control(); say("Ready", "socket: main;tcp://0.0.0.0:80;http;0", "")',
            "not on the loopback interface",
        ),
    ],
)
def test_a_failed_start_is_told_on_stderr_with_status_1(tmp_path: Path, script: str, message: str) -> None:
    with CoachmanSpawn(*wrapper(tmp_path, script)) as spawned:
        assert spawned.status() == 1
        assert spawned.rest() == b""
        assert message in spawned.errors()


def test_a_failed_start_is_told_with_the_journey_and_what_to_try(tmp_path: Path) -> None:
    with CoachmanSpawn("--timeout", "0.5", *wrapper(tmp_path, "signal.pause()")) as spawned:
        assert spawned.status() == 1
        told = spawned.errors()
    assert '  to try: The wrapper never said "!> I have control 1.0" on its stdout' in told
    assert re.search(r"the journey:\n    prepare +\S+ ms\n    exec +\S+ m?s  failed here\n$", told), told


def test_a_start_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with CoachmanSpawn("--timeout", "0.5", *wrapper(tmp_path, "signal.pause()")) as spawned:
        assert spawned.status() == 1
        assert "was not ready in time: after 0.5 s it was in the step exec" in spawned.errors()


@pytest.mark.parametrize(
    ("command", "reason"), [("missing", "No such file or directory"), ("plain", "Permission denied")]
)
def test_a_command_that_cannot_be_executed_is_a_failed_start(
    tmp_path: Path, command: str, reason: str
) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    with CoachmanSpawn("--", tmp_path / command) as spawned:
        assert spawned.status() == 1
        assert reason in spawned.errors()
        assert str(tmp_path / command) in spawned.errors()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_during_the_start_calls_it_off(tmp_path: Path, name: str) -> None:
    fifo = tmp_path / "started"
    os.mkfifo(fifo)
    script = f"control()\nopen({str(fifo)!r}, 'w').close()\nuntil_quit()\n"
    with CoachmanSpawn(*wrapper(tmp_path, script)) as spawned:
        fifo.read_bytes()
        spawned.signal(signal.Signals[name])
        assert spawned.status() == 1
        assert spawned.rest() == b""
        assert f"coachman: {name}: stopped before process" in spawned.errors()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--option", "x", "--", "true"], 2, "'x' is not of the form KEY=VALUE"),
        (["--option", "=x", "--", "true"], 2, "'=x' is not of the form KEY=VALUE"),
        (["--timeout", "0", "--", "true"], 2, "--timeout"),
        ([], 2, "Missing argument"),
        (["--option", "a=b\nc", "--", "true"], 1, "the option 'a' cannot be sent"),
        (["--option", "a: b=c", "--", "true"], 1, "the option 'a: b' cannot be sent"),
        (["--option", "app_root=/dev/null", "--", "true"], 1, "app_root is '/dev/null', which is no folder"),
    ],
)
def test_wrong_usage_says_what_is_wrong(arguments: list[str], status: int, message: str) -> None:
    with CoachmanSpawn(*arguments) as spawned:
        assert spawned.status() == status
        assert message in spawned.errors()


def test_what_the_application_leaves_behind_is_ended(tmp_path: Path) -> None:
    fifo = tmp_path / "held"
    os.mkfifo(fifo)
    # A child that leaves the group and the session, closes everything and is deaf, as daemons do.
    command = wrapper(
        tmp_path,
        f"""
        control()
        if os.fork() == 0:
            os.setsid()
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            held = os.open({str(fifo)!r}, os.O_WRONLY)
            say("Ready", "")
            for fd in (0, 1, 2):
                os.close(fd)
            while True:
                signal.pause()
        until_quit()
        """,
    )
    with CoachmanSpawn(*command) as spawned, open(fifo, "rb") as held:
        spawned.properties()
        assert spawned.end() == 0
        assert held.read() == b"", "nobody holds the pipe any more"
        assert "ended what the application had left behind" in spawned.errors()


def test_properties_that_cannot_be_printed_end_the_application(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with CoachmanSpawn(*wrapper(tmp_path, UNTIL_QUIT), stdout=write_end) as spawned:
        os.close(write_end)
        assert spawned.status() == 1
        assert "coachman: cannot write to standard output: Broken pipe" in spawned.errors()


def test_the_death_of_the_command_is_the_end_of_stdin_for_the_application(tmp_path: Path) -> None:
    fifo = tmp_path / "held"
    os.mkfifo(fifo)
    script = f"control()\nheld = os.open({str(fifo)!r}, os.O_WRONLY)\nsay('Ready', '')\nuntil_quit()\n"
    with CoachmanSpawn(*wrapper(tmp_path, script)) as spawned, open(fifo, "rb") as held:
        spawned.properties()
        spawned.process.kill()
        assert held.read() == b"", "the application has ended"
