"""Commands whose output nobody takes: closed, broken off, or on a full disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from .applications import HELLO, write_application
from .coachman_serve import COMMAND

COMMANDS = ("config", "config --json", "check", "check --json", "--help")


def run(
    folder: Path, command: str, redirections: str, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Return the exit status of a command, and what it says on standard error if that is not redirected."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {COMMAND} {command} {redirections}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=folder,
        env={**variables, "COACHMAN_RUNTIME_FOLDER": str(folder / "runtime"), **(environment or {})},
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr.decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_application(tmp_path, HELLO)
    return tmp_path


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_told(folder: Path, command: str, unbuffered: str) -> None:
    status, errors = run(folder, command, ">/dev/full", {"PYTHONUNBUFFERED": unbuffered})
    assert (status, errors) == (1, "coachman: cannot write to standard output: No space left on device\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_whoever_has_read_enough_hears_no_complaint(folder: Path, command: str) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [COMMAND, *command.split()],
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
            timeout=60,
            check=False,
        )
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_standard_output_is_none_of_its_business(folder: Path, command: str) -> None:
    assert run(folder, command, ">&-") == (0, "")


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize(("command", "status"), [("status", 3), ("check /nowhere.py", 1)])
def test_the_exit_status_does_not_depend_on_standard_error(
    folder: Path, command: str, status: int, redirections: str
) -> None:
    assert run(folder, command, redirections)[0] == status


def test_a_name_that_is_no_utf_8_can_be_printed(folder: Path) -> None:
    odd = folder / os.fsdecode(b"odd\xff")
    write_application(odd, HELLO)
    assert run(odd, "config", "", {"PYTHONIOENCODING": "utf-8:strict"}) == (0, "")


@pytest.mark.parametrize("seconds", ["nan", "inf", "1e300"])
@pytest.mark.parametrize(
    "command",
    [
        "stop --timeout",
        "status --watch --interval",
        "check --timeout",
        "spawn --quit-wait",
    ],
)
def test_a_time_that_nobody_can_wait_is_wrong_usage(folder: Path, command: str, seconds: str) -> None:
    status, errors = run(folder, f"{command} {seconds} true", "")
    assert (status, errors.count("Traceback")) == (2, 0)
    assert "Invalid value for '--" in errors


@pytest.mark.parametrize("command", ["config", "check app.py", "serve app:app", "spawn -- true"])
def test_a_folder_that_is_gone_is_told(tmp_path: Path, command: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["/bin/sh", "-c", f"rmdir {gone}; exec {COMMAND} {command}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=gone,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.decode().startswith("coachman: the current folder cannot be used: No such file")
