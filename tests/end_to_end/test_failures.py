"""Starts that fail, as `coachman check` explains them."""

from __future__ import annotations

import re
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest

from .applications import HELLO, write_application
from .coachman_check import check, check_json
from .gate import WAIT_AT_GATE, Gate

NO_CORE = "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))"


def failure_of(
    folder: Path, *sources: str, arguments: tuple[str, ...] = (), **environment: str
) -> dict[str, Any]:
    write_application(folder, *sources)
    found = check_json(folder, *arguments, environment=environment)
    assert not found["ready"]
    failure = found["failure"]
    assert isinstance(failure, dict)
    return failure


def packages_are_told(report: dict[str, Any]) -> bool:
    """Return whether the installed packages are in the report, as far as there was time to look for them."""
    return "coachman" in dict(report["packages"]) or not report["packages_complete"]


@pytest.mark.parametrize(
    ("source", "kind", "status", "number"),
    [
        ("import os; os._exit(3)", "exited", 3, None),
        ("import os; os._exit(0)", "exited", 0, None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "killed", None, 15),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed", None, 9),
        ("import ctypes; ctypes.string_at(0)", "killed", None, 11),
        ("1 / 0", "refused", 1, None),
    ],
)
def test_a_failure_has_its_kind_and_its_ending(
    tmp_path: Path, source: str, kind: str, status: int | None, number: int | None
) -> None:
    failure = failure_of(tmp_path, NO_CORE, "print('last words', end='', flush=True)", source)
    assert (failure["kind"], failure["exit_status"], failure["signal"]) == (kind, status, number)
    assert failure["step"] == "load application"
    assert failure["advice"]


def test_everything_printed_is_in_the_report(tmp_path: Path) -> None:
    write_application(
        tmp_path,
        "import os, sys",
        "print('out', flush=True); print('!> Ready', flush=True); os.write(2, b'err \\xff')",
        "os._exit(1)",
    )
    printed = check_json(tmp_path)["printed"]
    assert {(line["stream"], line["text"]) for line in printed} == {
        ("stdout", "out"), ("stdout", "!> Ready"), ("stderr", "err \\udcff"),
    }  # fmt: skip


def test_the_report_says_in_what_the_application_failed(tmp_path: Path) -> None:
    report = failure_of(tmp_path, "import os", "os.environ['ADDED'] = 'yes'", "1 / 0", DB_PASSWORD="hush-1")[
        "report"
    ]
    assert report["cause"] == "ZeroDivisionError: division by zero"
    assert report["interpreter"] == sys.executable
    assert report["version"] == ".".join(map(str, sys.version_info[:3]))
    assert report["path"][0] == str(tmp_path)
    assert packages_are_told(report)
    assert report["environment"]["ADDED"] == "yes"
    assert report["environment"]["DB_PASSWORD"] == "********"
    assert (report["file"], report["line"]) == (f"{tmp_path}/wsgi.py", 3)


def test_a_secret_does_not_leave_the_process(tmp_path: Path) -> None:
    write_application(tmp_path, "1 / 0")
    page = tmp_path / "page.html"
    secrets = {"API_TOKEN": "hush-1", "DATABASE_URL": "postgres://me:hush-2@db/x"}
    done = check(tmp_path, "--html", page, environment=secrets)
    assert "hush" not in done.stderr + done.stdout + page.read_text()
    assert "DATABASE_URL=postgres://********@db/x" in done.stderr


def test_modules_of_the_application_do_not_take_the_place_of_the_librarys(tmp_path: Path) -> None:
    for name in ("json", "traceback", "msgspec", "linecache", "glob", "email"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not meant')\n")
    report = failure_of(tmp_path, "1 / 0")["report"]
    assert report["cause"].startswith("ZeroDivisionError")


def test_an_application_that_breaks_everything_is_still_explained(tmp_path: Path) -> None:
    done = check(write_application(tmp_path, "import builtins, sys", "del builtins.sorted", "1 / 0"))
    assert done.returncode == 1
    assert "the application could not be loaded: ZeroDivisionError: division by zero" in done.stderr


def test_a_virtual_environment_that_nobody_activated_is_named(tmp_path: Path) -> None:
    project = tmp_path / "project"
    venv.create(project / ".venv", with_pip=False)
    (packages,) = (project / ".venv" / "lib").glob("python*/site-packages")
    (packages / "rare_package.py").touch()
    done = check(write_application(project / "web", "import rare_package", HELLO))
    assert done.returncode == 1
    text = re.sub(r"\s+", " ", done.stderr)
    assert (
        f"rare_package is installed in the virtual environment {project}/.venv, which nobody activated"
        in text
    )
    assert f"`{project}/.venv/bin/python -m pip install coachman`" in text


def test_a_module_of_the_application_in_another_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "settings.py").touch()
    failure = failure_of(tmp_path / "web", "import settings", HELLO)
    assert f"`PYTHONPATH={tmp_path}`" in failure["advice"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from os import no_such_name", "os was loaded from"),
        ("def f(:\n  pass", "Mend line 1 of"),
        ("import os\nos.no_such_function()", "The module has no such name"),
        ("open('/proc/1/mem_of_nobody/x')", "Look at"),
        (
            "import socket\na = socket.socket(); a.bind(('127.0.0.1', 0)); a.listen()\n"
            "b = socket.socket(); b.bind(a.getsockname())",
            "The application itself listens at an address that is taken",
        ),
        ("from django.conf import settings\nsettings.DEBUG", "Name the settings before Django is used"),
        ("import os\nos.environ['NOT_SET_ANYWHERE']", "The environment variable NOT_SET_ANYWHERE is not set"),
        ("import sys\nsys.exit(1)", "ended itself while it was loaded"),
    ],
)
def test_the_usual_mistakes_are_advised_about(tmp_path: Path, source: str, expected: str) -> None:
    assert expected in failure_of(tmp_path, source, DJANGO_SETTINGS_MODULE="")["advice"]


def test_a_start_that_takes_too_long_shows_where_every_thread_is(tmp_path: Path) -> None:
    with Gate(tmp_path) as gate:
        failure = failure_of(
            tmp_path,
            WAIT_AT_GATE,
            "import threading",
            "def in_the_background():\n    wait_at_gate()",
            "threading.Thread(target=in_the_background, daemon=True).start()",
            "def load():\n    wait_at_gate()",
            "load()",
            arguments=("--timeout", "3"),
            **gate.environment,
        )
    assert failure["kind"] == "timed_out"
    assert failure["headline"].endswith(
        "was not ready in time: after 3 s it was in the step load application"
    )
    assert "in_the_background" in failure["stacks"]
    assert "coachman/worker" not in failure["stacks"]
    assert f'File "{tmp_path}/wsgi.py"' in failure["stacks"]
    assert "it was in wait_at_gate" in failure["advice"]


def test_the_stacks_are_shown_while_c_code_holds_the_interpreter(tmp_path: Path) -> None:
    failure = failure_of(
        tmp_path,
        "import re\ndef match():\n    re.match('(a+)+$', 'a' * 60 + 'b')\nmatch()",
        arguments=("--timeout", "3"),
    )
    assert failure["kind"] == "timed_out"
    assert re.search(r"wsgi\.py\", line 3 in match", failure["stacks"])


@pytest.mark.parametrize("end", ["import os\nos._exit(3)", "import signal\nsignal.pause()"])
def test_what_a_process_was_started_with_is_told_where_it_could_not_tell(tmp_path: Path, end: str) -> None:
    failure = failure_of(tmp_path, end, arguments=("--timeout", "3"), DB_PASSWORD="hush-1", COLOUR="blue")
    assert failure["kind"] in ("exited", "timed_out")
    report = failure["report"]
    assert report["interpreter"] == sys.executable
    assert report["version"] == ".".join(map(str, sys.version_info[:3]))
    assert report["path"][0] == str(tmp_path)
    assert sysconfig.get_path("purelib") in report["path"]
    assert packages_are_told(report)
    assert (report["environment"]["DB_PASSWORD"], report["environment"]["COLOUR"]) == ("********", "blue")
    assert (report["cause"], report["traceback"]) == ("", "")


def test_a_process_that_cannot_show_its_stacks_is_killed_all_the_same(tmp_path: Path) -> None:
    failure = failure_of(
        tmp_path,
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nsignal.pause()",
        arguments=("--timeout", "3"),
    )
    assert (failure["kind"], failure["stacks"]) == ("timed_out", "")


def test_the_traceback_is_shown_once(tmp_path: Path) -> None:
    write_application(tmp_path, "1 / 0")
    page = tmp_path / "page.html"
    done = check(tmp_path, "--html", page)
    assert done.stderr.count("Traceback (most recent call last)") == 1
    assert page.read_text().count("Traceback (most recent call last)") == 1
    assert done.stdout == ""
    assert "coachman/worker" not in done.stderr
