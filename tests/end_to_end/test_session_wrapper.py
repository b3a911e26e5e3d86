"""Wrappers of Passenger 4 advertise a `session` socket; one with their habits works unchanged."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .coachman_spawn import CoachmanSpawn
from .session import exchange


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> Iterator[CoachmanSpawn]:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # coachman has to see to it
    with CoachmanSpawn("--", sys.executable, Path(__file__).with_name("session_wrapper.py")) as spawned:
        yield spawned


def test_a_ping_is_answered(spawned: CoachmanSpawn) -> None:
    assert exchange(spawned.address(), {"REQUEST_METHOD": "ping"}) == b"pong"


def test_a_request_is_answered_in_the_manner_of_cgi(spawned: CoachmanSpawn) -> None:
    headers = {"REQUEST_METHOD": "POST", "PATH_INFO": "/entries", "CONTENT_LENGTH": "5"}
    assert exchange(spawned.address(), headers, b"hello") == (
        b"Status: 200 OK\r\nContent-Type: text/plain\r\n\r\nPOST /entries hello"
    )


def test_the_end_of_input_ends_it_and_removes_its_socket(spawned: CoachmanSpawn) -> None:
    path = Path(spawned.address().removeprefix("unix:"))
    assert path.is_socket()
    assert spawned.end() == 0
    assert not path.exists()
