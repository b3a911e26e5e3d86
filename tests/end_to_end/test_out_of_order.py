"""While no worker can be had, the supervisor answers by itself."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .applications import HELLO, ONE_PROCESS, write_application
from .coachman_serve import CoachmanServe
from .raw_client import RawClient


@contextmanager
def broken_after_its_start(folder: Path, *options: str) -> Iterator[CoachmanServe]:
    """Serve an application whose only worker was killed and cannot be replaced."""
    write_application(folder, HELLO)
    # Otherwise the log would not name every attempt.
    debugging = ("--log-level", "debug")
    with CoachmanServe(folder, *ONE_PROCESS, "--spawn-method", "direct", *debugging, *options) as server:
        assert server.url
        (pid,) = server.ready_workers(1)
        write_application(folder, "raise RuntimeError('half deployed')")
        os.kill(pid, signal.SIGKILL)
        # By the third time, the pause before the next is long enough to find nobody there.
        server.wait_for_output("(?s)(worker 1 could not be started.*){3}")
        yield server


def test_clients_are_told_to_come_back_and_served_again_when_it_works(tmp_path: Path) -> None:
    with broken_after_its_start(tmp_path) as server:
        with RawClient(server.url) as client:
            client.get()
            answer = client.answer()
            assert client.read_to_end() == b""
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["connection"] == "close"
        assert b"half deployed" not in answer.body

        so_far = len(server.output())
        write_application(tmp_path, HELLO)
        server.wait_for_output(r"worker 1 \(pid \d+\) is ready", after=so_far)
        with RawClient(server.url) as client:
            client.get()
            assert client.answer().body == b"hello"
        assert server.stop() == 0


def test_in_development_the_failure_is_shown(tmp_path: Path) -> None:
    with broken_after_its_start(tmp_path, "--environment", "development") as server:
        with RawClient(server.url) as client:
            client.get()
            answer = client.answer()
        assert answer.status == 503
        assert b"RuntimeError: half deployed" in answer.body
        assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_a_restart_ends_it_at_once(tmp_path: Path) -> None:
    with broken_after_its_start(tmp_path) as server:
        write_application(tmp_path, HELLO)
        server.send_signal(signal.SIGHUP)
        server.wait_for_output("the restart is done: generation 2 serves")
        with RawClient(server.url) as client:
            client.get()
            assert client.answer().body == b"hello"


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost:"])
def test_a_client_that_says_nothing_does_not_hold_up_the_others_nor_the_end(
    tmp_path: Path, sent: bytes
) -> None:
    with broken_after_its_start(tmp_path) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port), timeout=30) as silent:
            silent.sendall(sent)
            with RawClient(server.url) as client:
                client.get()
                assert client.answer().status == 503
            assert server.stop() == 0
