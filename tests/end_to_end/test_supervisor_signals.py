"""The signals of `coachman serve` beside SIGINT, SIGTERM and SIGUSR1, which have tests of their own."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from coachman.supervisor.signals import ACTIONS

from .applications import HELLO, ONE_PROCESS, write_application
from .coachman_command import coachman
from .coachman_serve import COMMAND, CoachmanServe

DOCUMENT = Path(__file__).parents[2] / "docs" / "signals.md"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CoachmanServe]:
    monkeypatch.setenv("COACHMAN_RUNTIME_FOLDER", str(tmp_path / "runtime"))
    write_application(tmp_path / "site", HELLO)
    with CoachmanServe(tmp_path / "site", *ONE_PROCESS) as server:
        server.wait_for_output("listening at")
        yield server


def test_sighup_restarts_with_the_new_code(server: CoachmanServe, tmp_path: Path) -> None:
    write_application(tmp_path / "site", HELLO.replace("hello", "hello again"))
    server.send_signal(signal.SIGHUP)
    server.wait_for_output("the restart is done: generation 2 serves")
    assert httpx.get(server.url, timeout=30, trust_env=False).text == "hello again"
    assert coachman("status", "--json").json["applications"][0]["last_restart"]["cause"] == "SIGHUP"


def test_sigttin_adds_a_worker_and_sigttou_takes_one_away(server: CoachmanServe) -> None:
    server.send_signal(signal.SIGTTIN)
    server.ready_workers(2)
    assert "SIGTTIN: site is to have 2 workers, after 1" in server.output()
    server.send_signal(signal.SIGTTOU)
    server.wait_for_output("it is not needed any more")
    assert "SIGTTOU: site is to have 1 worker, after 2" in server.output()
    server.send_signal(signal.SIGTTOU)
    server.wait_for_output("SIGTTOU: the workers of site: -1 would leave none of 1")
    assert coachman("status").status == 0


def test_an_application_with_one_worker_does_not_keep_sigttou_from_the_others(tmp_path: Path) -> None:
    write_application(tmp_path / "site", HELLO)
    tables = (
        f"[applications.{name}]\napp = 'site'\nbind = '127.0.0.1:0'\nprocesses = {processes}\n"
        for name, processes in (("small", 1), ("large", 2))
    )
    (tmp_path / "coachman.toml").write_text("".join(tables))
    folder = {"COACHMAN_RUNTIME_FOLDER": str(tmp_path / "runtime")}
    with CoachmanServe(folder=tmp_path, environment=folder) as server:
        for name in ("small", "large"):
            server.wait_for_output(f"{name}: listening at")
        refused = coachman("scale", "-1", environment=folder)
        assert (refused.status, refused.output) == (1, "")
        assert "the workers of small: -1 would leave none of 1" in refused.errors
        assert "large is to have" not in server.output()  # all of them or none
        server.send_signal(signal.SIGTTOU)
        server.wait_for_output("SIGTTOU: large is to have 1 worker, after 2")
        server.wait_for_output("SIGTTOU: the workers of small: -1 would leave none of 1")


def test_sigquit_ends_at_once(server: CoachmanServe, tmp_path: Path) -> None:
    never = "import threading\ndef application(environ, start_response):\n"
    write_application(
        tmp_path / "slow", never + "    print('in hand', flush=True)\n    threading.Event().wait()"
    )
    with CoachmanServe(tmp_path / "slow", *ONE_PROCESS, "--drain-timeout", "600") as slow:

        def ask() -> None:
            with pytest.raises(httpx.TransportError):
                httpx.get(slow.url, timeout=60, trust_env=False)

        asking = threading.Thread(target=ask)
        asking.start()
        slow.wait_for_output("in hand")
        slow.send_signal(signal.SIGQUIT)
        status, output = slow.outcome()
        asking.join(30)
    assert status == 0
    assert "SIGQUIT: what is in hand is given up" in output


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGWINCH])
def test_signals_without_a_meaning_do_no_harm(server: CoachmanServe, number: signal.Signals) -> None:
    server.send_signal(number)
    assert httpx.get(server.url, timeout=30, trust_env=False).text == "hello"
    assert coachman("status").status == 0


def test_the_document_has_every_signal() -> None:
    text = DOCUMENT.read_text().partition("## The supervisor")[2].partition("\n## ")[0]
    rows = set(re.findall(r"SIG[A-Z0-9]+", "".join(re.findall(r"^\| ([^|]+)\|", text, re.MULTILINE))))
    assert rows >= {number.name for number in ACTIONS}


def test_a_terminal_that_stops_writers_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started in the background of a terminal with `stty tostop`, where it writes to that terminal."""
    monkeypatch.setenv("COACHMAN_RUNTIME_FOLDER", str(tmp_path / "runtime"))
    write_application(tmp_path / "site", HELLO)
    serve = [COMMAND, "serve", tmp_path / "site", *ONE_PROCESS, "--log-file", tmp_path / "log"]
    # The leader of a session gets the first terminal that it opens for its own.
    program = 'exec <"$1" >"$1" 2>&1; shift; stty tostop; set -m; "$@" & wait'
    ours, theirs = pty.openpty()
    arguments = ["bash", "--norc", "-c", program, "bash", os.ttyname(theirs), *map(str, serve)]
    try:
        with subprocess.Popen(arguments, start_new_session=True) as shell:
            said = b""
            while b"listening at" not in said:
                said += os.read(ours, 4096)
            assert coachman("status").status == 0
            assert coachman("stop").status == 0
            shell.kill()
    finally:
        os.close(ours)
        os.close(theirs)
