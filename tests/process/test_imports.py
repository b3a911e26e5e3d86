"""What a process of ours imports: not what it has no use for, since that would be most of its start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import coachman

SOURCES = Path(coachman.__file__).parents[1]
FOR_SERVING = {"asyncio", "concurrent", "logging", "ssl", "subprocess", "uvicorn"}
LONG_TO_IMPORT = FOR_SERVING | {
    "click", "dataclasses", "email", "inspect", "json", "msgspec", "pathlib", "re", "socket", "tempfile",
    "traceback", "typing",
}  # fmt: skip


def modules_after(program: str, *arguments: str | Path) -> list[set[str]]:
    """Return the modules at the top level that the program prints, each time that it does.

    It runs without `site`: what the files of this environment's packages import is not ours.
    """
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(SOURCES), *filter(os.path.isdir, sys.path)))},
    )
    assert done.returncode == 0, done.stderr
    lines = [line.partition("modules: ")[2] for line in done.stdout.splitlines() if "modules: " in line]
    assert lines, done.stdout
    return [{name.partition(".")[0] for name in line.split()} for line in lines]


def test_check_imports_nothing_that_takes_long(tmp_path: Path) -> None:
    application = tmp_path / "wsgi.py"
    application.write_text("import sys\nprint('modules:', *sys.modules)\ndef application(e, s): ...\n")
    program = """
import sys
import coachman.cli.main
from coachman.cli.check_arguments import parse_plainly
from coachman.cli.checking import run_check
run_check(parse_plainly(sys.argv[1:]))
print("modules:", *sys.modules)
"""
    in_application, in_command = modules_after(program, application)
    assert not LONG_TO_IMPORT & in_application
    assert not LONG_TO_IMPORT & in_command


@pytest.mark.parametrize("command", ["", "check", "config", "serve", "spawn", "status"])
def test_help_imports_nothing_that_serves(command: str) -> None:
    program = """
import sys
from coachman.cli.group import coachman
coachman([*sys.argv[1:], "--help"], standalone_mode=False)
print("modules:", *sys.modules)
"""
    (modules,) = modules_after(program, *command.split())
    assert "click" in modules
    assert not FOR_SERVING & modules


def test_a_worker_imports_asyncio_for_asgi_alone() -> None:
    program = """
import sys
from coachman.worker import __main__
print("modules:", *sys.modules)
from coachman.worker.asgi import engine
print("modules:", *sys.modules)
"""
    for_wsgi, for_asgi = modules_after(program)
    assert not FOR_SERVING & for_wsgi
    assert "asyncio" in for_asgi
