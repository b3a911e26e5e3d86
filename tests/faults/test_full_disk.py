"""A disk is full: what could not be written is said, and whoever does not need it goes on.

A limit for the size of files (RLIMIT_FSIZE) fails as a full disk does: some of a write succeeds, then none.
The log on a full disk is in tests/end_to_end/test_log_output.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ..end_to_end.applications import HELLO, ONE_PROCESS, write_application
from ..end_to_end.coachman_serve import CoachmanServe
from ..end_to_end.raw_client import Answer, RawClient
from .exhaustion import no_room_for_files
from .wholeness import WatchedServer

ECHO = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [str(len(environ["wsgi.input"].read())).encode()]
"""


def upload(server: CoachmanServe, size: int) -> Answer:
    with RawClient(server.url) as client:
        client.send(f"POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n".encode())
        client.send(bytes(size))
        return client.answer()


@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_body_for_which_there_is_no_room_is_refused_and_others_are_not(
    tmp_path: Path, threads: str
) -> None:
    options = ("--threads", threads, "--limit", "fsize=300000")
    with WatchedServer(tmp_path, *options, application=ECHO) as server:
        server.settle()
        refused = upload(server, 1_000_000)
        assert (refused.status, refused.headers["connection"]) == (507, "close")
        server.wait_for_output(
            r"refused a request from 127.0.0.1: 507 Insufficient Storage: its body cannot be kept in .*: "
            "File too large"
        )
        for size in (200_000, 280_000):  # in memory, in a temporary file
            assert upload(server, size).body == str(size).encode()
        server.assert_whole()


def test_a_pid_file_that_cannot_be_written_fails_the_start_and_leaves_nothing(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    folder = tmp_path / "run"
    folder.mkdir()
    with no_room_for_files():
        server = CoachmanServe(tmp_path, *ONE_PROCESS, "--pid-file", folder / "pid")
    with server:
        status, output = server.outcome()
    assert status == 1
    assert f"coachman: cannot write the pid file {folder / 'pid'}: File too large" in output
    assert not list(folder.iterdir())
