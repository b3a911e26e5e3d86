"""A changed coachman.toml: restarts go by it, and what is wrong with it harms nobody."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from .coachman_command import coachman
from .coachman_serve import CoachmanServe
from .raw_client import RawClient

TELLING: Final = """
import os
def application(environ, start_response):
    start_response("200 OK", [])
    return [os.environ.get("GREETING", "none").encode()]
"""
FILE: Final = """\
app = "app.py"
name = "site"
bind = "127.0.0.1:0"
processes = 1
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CoachmanServe]:
    """One worker, by coachman.toml, which `configure` writes anew."""
    monkeypatch.setenv("COACHMAN_RUNTIME_FOLDER", str(tmp_path / "runtime"))
    (tmp_path / "app.py").write_text(TELLING)
    (tmp_path / "coachman.toml").write_text(FILE)
    with CoachmanServe(folder=tmp_path) as server:
        server.ready_workers(1)
        server.wait_for_output("listening at")
        yield server


@pytest.fixture
def configure(tmp_path: Path) -> Callable[[str], None]:
    """Change the file: the text is added to it."""

    def write(added: str) -> None:
        (tmp_path / "coachman.toml").write_text(FILE + added)

    return write


def greeting(server: CoachmanServe) -> str:
    with RawClient(server.url) as client:
        client.get()
        return client.answer().body.decode()


def restarted(server: CoachmanServe, number: int) -> None:
    server.send_signal(signal.SIGHUP)
    server.wait_for_output(f"the restart is done: generation {number} serves")


def test_sighup_takes_over_what_has_changed(server: CoachmanServe, configure: Callable[[str], None]) -> None:
    assert greeting(server) == "none"
    configure('threads = 2\n[env]\nGREETING = "secret"\n')
    restarted(server, 2)
    assert greeting(server) == "secret"
    server.wait_for_output("generation 2 has other settings: threads, env\n")
    assert "secret" not in server.output()
    (status,) = coachman("status", "--json").json["applications"]
    assert status["threads"] == 2


def test_a_touch_of_the_restart_file_and_the_command_do_the_same(
    server: CoachmanServe, configure: Callable[[str], None], tmp_path: Path
) -> None:
    configure('restart-file = "again"\n[env]\nGREETING = "one"\n')
    assert coachman("restart", "--wait").status == 0
    assert greeting(server) == "one"
    configure('[env]\nGREETING = "two"\n')
    (tmp_path / "again").touch()
    server.wait_for_output("again was touched: generation 3")
    server.wait_for_output("the restart is done: generation 3 serves")
    assert greeting(server) == "two"


def test_a_mistake_fails_the_restart_and_nothing_else(
    server: CoachmanServe, configure: Callable[[str], None], tmp_path: Path
) -> None:
    configure("thread = 2\n")
    done = coachman("restart", "--wait")
    why = f"{tmp_path}/coachman.toml:5: there is no setting 'thread' here; did you mean 'threads'?"
    assert done.status == 1
    said = rf"generation 2, failed after \d+\.\d\d s: its configuration cannot be used: {re.escape(why)}"
    assert re.search(said, done.output), done.output
    asked = "coachman restart --wait: generation 2 is abandoned, generation 1 goes on serving"
    server.wait_for_output(f"{asked}: .*did you mean")
    (status,) = coachman("status", "--json").json["applications"]
    assert status["problem"] == f"generation 2 could not be started: its configuration cannot be used: {why}"
    assert status["last_restart"]["outcome"] == "failed"
    assert greeting(server) == "none"

    done = coachman("restart")
    assert (done.status, "generation 3, failed" in done.output) == (1, True)

    configure('[env]\nGREETING = "mended"\n')
    restarted(server, 4)
    assert greeting(server) == "mended"
    (status,) = coachman("status", "--json").json["applications"]
    assert status["problem"] == ""


def test_a_file_that_is_gone_fails_the_restart(server: CoachmanServe, tmp_path: Path) -> None:
    (tmp_path / "coachman.toml").unlink()
    server.send_signal(signal.SIGHUP)
    server.wait_for_output(r"generation 2 is abandoned, .*coachman\.toml")
    assert greeting(server) == "none"


def test_a_number_of_workers_that_was_set_by_hand_stays_until_it_is_changed_in_the_file(
    server: CoachmanServe, configure: Callable[[str], None], tmp_path: Path
) -> None:
    assert coachman("scale", "2").status == 0
    server.wait_for_output(r"worker 2 \(pid \d+\) is ready")
    configure('[env]\nGREETING = "one"\n')
    restarted(server, 2)
    (status,) = coachman("status", "--json").json["applications"]
    assert status["processes"] == "2"
    (tmp_path / "coachman.toml").write_text(FILE.replace("processes = 1", "processes = 3"))
    restarted(server, 3)
    (status,) = coachman("status", "--json").json["applications"]
    assert status["processes"] == "3"
    server.wait_for_output("site is to have 3 workers, after 2")


def test_more_workers_than_there_is_room_for_fail_the_restart(server: CoachmanServe, tmp_path: Path) -> None:
    (tmp_path / "coachman.toml").write_text(FILE.replace("processes = 1", "processes = 900"))
    server.send_signal(signal.SIGHUP)
    server.wait_for_output(r"generation 2 is abandoned, .*site has room for \d+ workers, not for 900")


def test_limits_are_those_of_the_workers_generation(
    server: CoachmanServe, configure: Callable[[str], None]
) -> None:
    configure("max-requests = 2\n")
    restarted(server, 2)
    for _ in range(2):
        assert greeting(server) == "none"
    server.wait_for_output("is to be replaced: it has answered 2 requests")
    server.wait_for_output("ended with exit status 0 after 2 requests .*: it has answered 2 requests")


def test_what_takes_a_new_start_is_said_once(
    server: CoachmanServe, configure: Callable[[str], None], tmp_path: Path
) -> None:
    (tmp_path / "coachman.toml").write_text(FILE.replace("127.0.0.1:0", "unix:s") + 'log-format = "json"\n')
    url = server.url
    restarted(server, 2)
    bind = f'bind = ["unix:{tmp_path}/s"] for site'
    said = f'the configuration has log-format = "json", {bind}: that takes a new start of the server\n'
    server.wait_for_output(said.replace("[", r"\[").replace("]", r"\]"))
    restarted(server, 3)
    assert server.output().count("takes a new start") == 1
    assert server.url == url
    assert greeting(server) == "none"


def test_another_application_can_take_the_place(server: CoachmanServe, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "tmp").mkdir(parents=True)
    (other / "app.py").write_text(TELLING.replace("none", "other"))
    (tmp_path / "coachman.toml").write_text(FILE.replace("app.py", "other/app.py"))
    restarted(server, 2)
    assert greeting(server) == "other"
    (other / "tmp" / "restart.txt").touch()
    server.wait_for_output("tmp/restart.txt was touched: generation 3")
    server.wait_for_output("the restart is done: generation 3 serves")
