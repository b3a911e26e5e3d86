"""Rolling restarts: new code takes over worker by worker, and a broken one does not take over at all."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from .applications import ONE_PROCESS, write_application
from .coachman_serve import CoachmanServe, children
from .gate import WAIT_AT_GATE, Gate
from .raw_client import RawClient

VERSION: Final = """
import os

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"version {} of %d" % os.getpid()]
"""


def write_version(folder: Path, version: str, *before: str) -> None:
    write_application(folder, *before, VERSION.replace("{}", version))


def version(server: CoachmanServe) -> str:
    with RawClient(server.url) as client:
        client.get()
        return client.answer().body.decode().split()[1]


@pytest.fixture(params=["preload", "direct"])
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[CoachmanServe]:
    write_version(tmp_path, "one")
    options = ("--bind", "127.0.0.1:0", "--processes", "2", "--spawn-method", request.param)
    with CoachmanServe(tmp_path, *options) as server:
        server.ready_workers(2)
        yield server


def test_sighup_brings_new_code_and_leaves_nothing_of_the_old(server: CoachmanServe, tmp_path: Path) -> None:
    before = children(server.pid)
    write_version(tmp_path, "two")
    server.send_signal(signal.SIGHUP)
    server.wait_for_output("SIGHUP: generation 2 of .* is started")
    server.wait_for_output("generation 2 serves; generation 1 is replaced")
    server.wait_for_output("the restart is done: generation 2 serves")
    assert version(server) == "two"
    for pid in before & server.worker_pids():
        server.wait_for_output(rf"\(pid {pid}\) ended with exit status 0 .*: generation 2 takes its place")
    assert server.stop() == 0
    assert "replacing it" not in server.outcome()[1]


def test_an_old_worker_drains_only_when_a_new_one_is_ready(server: CoachmanServe, tmp_path: Path) -> None:
    write_version(tmp_path, "two")
    server.send_signal(signal.SIGHUP)
    output = server.wait_for_output("(?s).*the restart is done").string
    alive = 0
    for event in re.findall(r"worker \d+ \(pid \d+\) (is ready|ended)", output):
        alive += 1 if event == "is ready" else -1
        assert alive <= 3
    assert len(re.findall(r"worker \d+ \(pid \d+\) is ready", output)) == 4


def test_a_broken_generation_is_abandoned_and_the_next_restart_tries_again(
    server: CoachmanServe, tmp_path: Path
) -> None:
    workers = server.worker_pids()
    write_version(tmp_path, "two", "raise RuntimeError('half deployed')")
    server.send_signal(signal.SIGHUP)
    found = server.wait_for_output("generation 2 is abandoned, generation 1 goes on serving: (.*)")
    assert "RuntimeError: half deployed" in found[1]
    assert version(server) == "one"
    assert server.worker_pids() >= workers

    write_version(tmp_path, "three")
    server.send_signal(signal.SIGHUP)
    server.wait_for_output("the restart is done: generation 3 serves")
    assert version(server) == "three"


def test_the_newest_restart_wins(tmp_path: Path) -> None:
    write_version(tmp_path, "one")
    with Gate(tmp_path) as gate:
        options = ("--bind", "127.0.0.1:0", "--processes", "2")
        with CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
            server.ready_workers(2)
            write_version(tmp_path, "two", WAIT_AT_GATE, "wait_at_gate()")
            server.send_signal(signal.SIGHUP)
            gate.wait_for_arrival()
            write_version(tmp_path, "three")
            server.send_signal(signal.SIGHUP)
            server.wait_for_output("the restart is done: generation 3 serves")
            assert version(server) == "three"
            assert "generation 2 serves" not in server.output()
            assert server.stop() == 0


def test_a_request_in_hand_is_answered_by_the_old_code(tmp_path: Path) -> None:
    slow = """
    def application(environ, start_response):
        wait_at_gate()
        start_response("200 OK", [])
        return [b"version one of 0"]
    """
    write_application(tmp_path, WAIT_AT_GATE, slow)
    with Gate(tmp_path) as gate:
        options = ("--bind", "127.0.0.1:0", "--processes", "1", "--threads", "2")
        with (
            CoachmanServe(tmp_path, *options, environment=gate.environment) as server,
            RawClient(server.url) as client,
        ):
            client.get()
            gate.wait_for_arrival()
            write_version(tmp_path, "two")
            server.send_signal(signal.SIGHUP)
            server.wait_for_output("the restart is done: generation 2 serves")
            assert version(server) == "two"
            gate.open()
            assert client.answer().body == b"version one of 0"


def test_a_worker_that_dies_during_a_restart_is_replaced_by_new_code(tmp_path: Path) -> None:
    write_version(tmp_path, "one")
    with Gate(tmp_path) as gate:
        options = ("--bind", "127.0.0.1:0", "--processes", "2", "--spawn-method", "direct")
        with CoachmanServe(tmp_path, *options, environment=gate.environment) as server:
            workers = server.ready_workers(2)
            write_version(tmp_path, "two", WAIT_AT_GATE, "wait_at_gate()")
            server.send_signal(signal.SIGHUP)
            gate.wait_for_arrival()
            os.kill(workers[0], signal.SIGKILL)
            # As long as the new code has not proved itself, the old one fills the gap.
            gate.wait_for_arrival()
            gate.open()
            gate.wait_for_arrival()
            gate.open()
            server.wait_for_output("the restart is done: generation 2 serves")
            assert version(server) == "two"


def create(folder: Path) -> None:
    (folder / "tmp").mkdir()
    (folder / "tmp" / "restart.txt").touch()


def touch(folder: Path) -> None:
    (folder / "tmp" / "restart.txt").touch()


def write_anew(folder: Path) -> None:
    (folder / "tmp" / "restart.txt").unlink()
    (folder / "tmp" / "restart.txt").write_text("again")


def replace_the_folder(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "restart.txt").touch()
    shutil.rmtree(folder / "tmp")
    (folder / "elsewhere").rename(folder / "tmp")


def test_touching_the_restart_file_restarts_wherever_it_comes_from(tmp_path: Path) -> None:
    write_version(tmp_path, "first")
    with CoachmanServe(tmp_path, *ONE_PROCESS) as server:
        server.ready_workers(1)
        for bring_about in (create, touch, write_anew, touch, replace_the_folder, touch):
            name = bring_about.__name__
            so_far = len(server.output())
            write_version(tmp_path, name)
            bring_about(tmp_path)
            server.wait_for_output("tmp/restart.txt was touched: generation .* is started", after=so_far)
            server.wait_for_output("the restart is done", after=so_far)
            assert version(server) == name
        assert server.stop() == 0


@pytest.mark.parametrize("where", ["named", "current"])
def test_a_link_that_is_turned_to_the_next_release_is_followed_anew(tmp_path: Path, where: str) -> None:
    link, next_link = tmp_path / "current", tmp_path / "next"
    for release in ("one", "two"):
        (tmp_path / release / "tmp").mkdir(parents=True)
        write_version(tmp_path / release, release)
    link.symlink_to("one")
    folder, arguments = (None, [link]) if where == "named" else (link, [])
    # PWD is what a shell sets; the process itself only knows the folder behind the link.
    with CoachmanServe(
        *arguments, "--bind", "127.0.0.1:0", *ONE_PROCESS, folder=folder, environment={"PWD": str(link)}
    ) as server:
        assert version(server) == "one"
        next_link.symlink_to("two")
        next_link.rename(link)
        (link / "tmp" / "restart.txt").touch()
        server.wait_for_output("the restart is done")
        assert version(server) == "two"


def test_another_file_can_be_the_one_to_touch_or_none(tmp_path: Path) -> None:
    write_version(tmp_path, "one")
    with CoachmanServe(tmp_path, *ONE_PROCESS, "--restart-file", "deployed") as server:
        server.ready_workers(1)
        (tmp_path / "tmp").mkdir()
        (tmp_path / "tmp" / "restart.txt").touch()
        (tmp_path / "deployed").touch()
        server.wait_for_output("deployed was touched: generation 2")
        assert server.stop() == 0
        assert "restart.txt" not in server.output()


def test_with_reload_a_change_of_the_code_restarts(tmp_path: Path) -> None:
    write_version(tmp_path, "one")
    with CoachmanServe(tmp_path, *ONE_PROCESS, "--reload") as server:
        server.ready_workers(1)
        server.wait_for_output("a change of the Python code below")
        (tmp_path / "notes.txt").write_text("no code")
        write_version(tmp_path, "two")
        server.wait_for_output("wsgi.py changed: generation 2")
        server.wait_for_output("the restart is done: generation 2 serves")
        assert version(server) == "two"
        assert server.stop() == 0
        assert "notes.txt" not in server.output()


def test_reload_says_what_it_needs(tmp_path: Path) -> None:
    write_version(tmp_path, "one")
    hide = "import sys; sys.modules['watchfiles'] = None"
    write_application(tmp_path / "hidden", hide, name="sitecustomize.py")
    environment = {"PYTHONPATH": str(tmp_path / "hidden")}
    with CoachmanServe(tmp_path, *ONE_PROCESS, "--reload", environment=environment) as server:
        status, output = server.outcome()
    assert status != 0
    assert "--reload needs the package watchfiles" in output
