"""The example application by itself, without coachman."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

GUESTBOOK: Final = Path(__file__).parents[2] / "examples" / "guestbook"

# As a server does it: the file by its path, under whatever name the server likes.
LOAD_BY_PATH: Final = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("application_of_the_server", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.stdin.read()  # the signal to start, for all processes at once
spec.loader.exec_module(module)
assert callable(module.application)
"""


def test_several_processes_may_start_it_for_the_first_time_at_once(tmp_path: Path) -> None:
    var = tmp_path / "not yet there"
    environment = {
        **os.environ,
        "GUESTBOOK_VAR": str(var),
        "DJANGO_SUPERUSER_USERNAME": "keeper",
        "DJANGO_SUPERUSER_PASSWORD": "four-in-hand",
    }
    start, go = os.pipe()
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", LOAD_BY_PATH, GUESTBOOK / "passenger_wsgi.py"],
            stdin=start, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path, env=environment,
        )
        for _ in range(3)
    ]  # fmt: skip
    os.close(start)
    os.close(go)  # the end of everybody's stdin
    try:
        outputs = [process.communicate(timeout=60)[0].decode() for process in processes]
    finally:
        for process in processes:
            process.kill()  # does nothing when it has ended
            process.wait()
    assert [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)] == [
        (0, "")
    ] * 3

    with closing(sqlite3.connect(var / "guestbook.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM entries_entry").fetchone() == (25,)
        assert database.execute("SELECT username, is_superuser FROM auth_user").fetchall() == [("keeper", 1)]
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert (var / "secret_key").stat().st_mode & 0o777 == 0o600


def test_its_own_tests_pass_and_its_migrations_are_complete(tmp_path: Path) -> None:
    environment = {**os.environ, "GUESTBOOK_VAR": str(tmp_path)}
    for arguments in (["test"], ["makemigrations", "--check", "--dry-run"]):
        command = [sys.executable, "-W", "error", str(GUESTBOOK / "manage.py"), *arguments]
        done = subprocess.run(
            command, env=environment, cwd=GUESTBOOK, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
