"""`coachman check`: one start, and what is told of it."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
from pathlib import Path

import pytest

from .applications import HELLO, write_application
from .coachman_check import COMMAND, check, check_json
from .conftest import GUESTBOOK
from .gate import WAIT_AT_GATE, Gate


def test_an_application_that_starts_is_reported_with_its_steps(tmp_path: Path) -> None:
    write_application(tmp_path, "print('loading')", HELLO)
    done = check(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith(f"{tmp_path}/wsgi.py:application starts: ready after ")
    steps = re.findall(r"^    (\w[\w ]*\w) +[\d.]+ m?s$", done.stdout, re.MULTILINE)
    assert steps[:4] == ["prepare", "fork", "handshake", "load application"]
    assert "    stdout: loading" in done.stdout
    assert "\033" not in done.stdout


def test_the_slowest_imports_are_named(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("from shop import stock\n")
    (tmp_path / "shop" / "stock.py").write_text("import wave\n")
    write_application(tmp_path, "import shop", HELLO)
    found = check_json(tmp_path)
    imports = {package["name"]: package for package in found["imports"]}
    assert imports["shop"]["modules"] == 2
    assert imports["shop"]["seconds"] > imports["wave"]["seconds"] > 0
    assert imports["shop"]["seconds"] > imports["shop"]["self_seconds"]
    assert found["imports"][0]["name"] == "shop"
    assert "shop" in check(tmp_path).stdout


def test_the_guestbook_starts(tmp_path: Path) -> None:
    found = check_json(GUESTBOOK, environment={"GUESTBOOK_VAR": str(tmp_path)})
    assert found["ready"]
    assert found["failure"] is None
    assert "django" in {package["name"] for package in found["imports"]}


def test_a_module_is_found_from_the_current_folder(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO, name="shop.py")
    assert check("shop:application", folder=tmp_path).returncode == 0
    assert check("shop:missing", folder=tmp_path).returncode == 1


def test_the_application_sees_what_it_sees_under_serve(tmp_path: Path) -> None:
    write_application(
        tmp_path,
        "import os, sys",
        f"assert os.getcwd() == sys.path[0] == {str(tmp_path)!r}",
        "assert not any(entry.endswith('/bin') for entry in sys.path)",
        "assert os.environ['COACHMAN_APP_ROOT'] == os.getcwd()",
        "assert 'COACHMAN_HIDDEN' not in os.environ",
        "assert sys.argv[0].endswith('__main__.py') and len(sys.argv) == 1",
        "assert sys.stdin.read() == ''",
        "assert os.getpgrp() == os.getpid()",
        "import gc; assert gc.isenabled()",
        HELLO,
    )
    done = check(tmp_path, environment={"COACHMAN_HIDDEN": "x"})
    assert done.returncode == 0, done.stderr


def test_the_application_keeps_no_descriptors_of_the_command(tmp_path: Path) -> None:
    write_application(tmp_path, "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))", HELLO)
    (line,) = [line["text"] for line in check_json(tmp_path)["printed"]]
    # 0, 1, 2; the channel's two; the control pipe; the tether; the file for the stacks; and the listing.
    assert len(line.split(",")) == 9


def test_what_an_application_does_at_its_exit_is_done(tmp_path: Path) -> None:
    write_application(tmp_path, "import atexit; atexit.register(print, 'good bye', end='')", HELLO)
    assert "stdout: good bye" in check(tmp_path).stdout


def test_hooks_for_workers_are_run(tmp_path: Path) -> None:
    write_application(
        tmp_path,
        "from coachman import hooks",
        "@hooks.after_fork_in_worker\ndef connect():\n    raise RuntimeError('no database')",
        HELLO,
    )
    failure = check_json(tmp_path)["failure"]
    assert failure["report"]["cause"] == "RuntimeError: no database"


def test_nothing_is_left_of_what_the_application_started(tmp_path: Path) -> None:
    with Gate(tmp_path) as gate:
        write_application(
            tmp_path,
            WAIT_AT_GATE,
            "import threading, subprocess, sys\n"
            "threading.Thread(target=wait_at_gate).start()\n"
            "subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])",
            HELLO,
        )
        done = check(tmp_path, environment=gate.environment)
    assert done.returncode == 0, done.stderr  # and it ended, though its child had inherited the pipes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_check_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    with Gate(tmp_path) as gate:
        write_application(tmp_path, WAIT_AT_GATE, "import os; print(os.getpid())", "wait_at_gate()", HELLO)
        with subprocess.Popen(
            [COMMAND, "check", tmp_path],
            env={**os.environ, **gate.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            gate.wait_for_arrival()
            application = os.pidfd_open(gate.last_pid)
            process.send_signal(number)
            assert process.stdout is not None
            output = process.stdout.read().decode()
        ended, _, _ = select.select([application], [], [], 10)
        os.close(application)
    assert ended
    assert process.returncode == {signal.SIGINT: 130}.get(number, -number)
    assert "Traceback" not in output


@pytest.mark.parametrize("arguments", [["--nonsense"], ["a", "b"], ["--timeout", "0"]])
def test_wrong_usage_ends_with_status_2(tmp_path: Path, arguments: list[str]) -> None:
    done = check(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert "Usage: coachman check" in done.stderr


def test_an_application_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = check(tmp_path / "no.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"coachman: there is no file {tmp_path}/no.py\n"


def test_a_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    done = check(tmp_path, "--html", tmp_path / "no" / "page.html")
    assert done.returncode == 1
    assert "cannot write the page" in done.stderr


def test_help_is_given(tmp_path: Path) -> None:
    done = check("--help", folder=tmp_path)
    assert done.returncode == 0
    assert "--html FILE" in done.stdout
