"""The watchdog, with requests that are only said to be in the application."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest

from coachman.worker.watchdog import Watchdog, Watched

TIMEOUT = 20.0


class Request:
    """A request as the watchdog knows it."""

    def describe_request(self) -> str:
        return "GET /"

    def answer_late(self) -> bool:
        return True


class Expired:
    """What the watchdog was told to do about requests that take too long."""

    def __init__(self) -> None:
        self.queue: queue.Queue[tuple[Watched, int]] = queue.Queue()

    def __call__(self, request: Watched, since: float, thread: int) -> Callable[[], None]:
        return lambda: self.queue.put((request, thread))

    def next(self) -> tuple[Watched, int]:
        return self.queue.get(timeout=TIMEOUT)


@contextmanager
def watching(seconds: float) -> Iterator[tuple[Watchdog, Expired]]:
    expired = Expired()
    watchdog = Watchdog(seconds, expired)
    watchdog.start()
    try:
        yield watchdog, expired
    finally:
        watchdog.close()


def test_a_request_that_takes_too_long_is_reported_once() -> None:
    with watching(0.02) as (watchdog, expired):
        request = Request()
        watchdog.began(request)
        assert expired.next() == (request, threading.get_ident())
        assert watchdog.running() == []
        assert watchdog.ended(request) is False


def test_a_request_that_ends_in_time_is_never_heard_of() -> None:
    with watching(TIMEOUT) as (watchdog, expired):
        for _ in range(1000):
            request = Request()
            watchdog.began(request)
            assert [found for found, *_ in watchdog.running()] == [request]
            assert watchdog.ended(request) is True
        assert expired.queue.empty()


def test_a_thread_that_sleeps_is_woken_by_the_first_request() -> None:
    with watching(0.02) as (watchdog, expired):
        for _ in range(5):  # between two of them it has nothing to do, and sleeps
            request = Request()
            watchdog.began(request)
            assert expired.next()[0] is request


def test_each_of_several_requests_has_its_own_time() -> None:
    with watching(0.05) as (watchdog, expired):
        first, second, quick = Request(), Request(), Request()
        for request in (first, quick, second):
            watchdog.began(request)
        in_time = watchdog.ended(quick)  # unless this machine is very busy
        late = {first, second} if in_time else {first, second, quick}
        assert {expired.next()[0] for _ in late} == late
        assert expired.queue.empty()


def test_either_the_request_or_the_watchdog_gets_it() -> None:
    """With a time of nothing at all, both reach for every request at the same moment."""
    with watching(0.0) as (watchdog, expired):
        ours = 0
        for _ in range(3000):
            request = Request()
            watchdog.began(request)
            ours += watchdog.ended(request)
    theirs = expired.queue.qsize()
    assert ours + theirs == 3000


def test_who_comes_too_late_can_wait_until_the_request_is_answered() -> None:
    entered, leave = threading.Event(), threading.Event()
    answered: list[bool] = []

    def on_timed_out(request: Watched, since: float, thread: int) -> Callable[[], None]:
        entered.set()
        leave.wait(TIMEOUT)
        answered.append(request.answer_late())
        return lambda: None

    watchdog = Watchdog(0.01, on_timed_out)
    watchdog.start()
    try:
        watchdog.began(request := Request())
        assert entered.wait(TIMEOUT)
        assert not watchdog.ended(request)
        waiting = threading.Thread(target=watchdog.settle)
        waiting.start()
        assert waiting.is_alive()
        leave.set()
        waiting.join(TIMEOUT)
        assert answered == [True]
    finally:
        watchdog.close()


def test_an_error_while_reporting_does_not_end_the_watch(capsys: pytest.CaptureFixture[str]) -> None:
    seen: queue.Queue[Watched] = queue.Queue()

    def fail(request: Watched, since: float, thread: int) -> NoReturn:
        seen.put(request)
        raise LookupError("oh")

    watchdog = Watchdog(0.01, fail)
    watchdog.start()
    try:
        for _ in range(2):
            watchdog.began(request := Request())
            assert seen.get(timeout=TIMEOUT) is request
    finally:
        watchdog.close()
    assert "LookupError('oh')" in capsys.readouterr().err


def test_closing_does_not_wait_for_what_is_running() -> None:
    with watching(1000.0) as (watchdog, _):
        watchdog.began(Request())
