"""The application's own start and end, by ASGI's lifespan protocol."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coachman.config.model import WorkerConfig
from coachman.errors import ApplicationError
from coachman.worker.asgi.engine import AsgiEngine

from .asgi_serving import Receive, Scope, Send, answer, receive_response, served


class Lifespan:
    """An application with a lifespan, which does what it is told and notes what happens."""

    def __init__(self, *, startup: str = "complete", shutdown: str = "complete") -> None:
        self.startup = startup
        self.shutdown = shutdown
        self.events: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["state"]["requests"].append(scope["path"])
            scope["state"]["of this request"] = True
            self.events.append(sorted(scope["state"]))
            await answer(send, b"%d" % len(scope["state"]["requests"]))
            return
        self.events.append((await receive())["type"])
        scope["state"]["requests"] = []
        await self._phase("startup", self.startup, send)
        self.events.append((await receive())["type"])
        await self._phase("shutdown", self.shutdown, send)
        self.events.append("returned")

    async def _phase(self, phase: str, outcome: str, send: Send) -> None:
        if outcome == "hang":
            await asyncio.Event().wait()
        if outcome == "raise":
            raise LookupError(f"in {phase}")
        message = {"type": f"lifespan.{phase}.{outcome.split()[0]}"}
        if outcome != "complete":
            message["message"] = "no database"
        await send(message)
        if outcome == "failed raise":
            raise LookupError(f"in {phase}")


def test_startup_comes_before_requests_and_shutdown_after_and_state_is_shared() -> None:
    application = Lifespan()
    with served(application, lifespan=True) as serving:
        client = serving.connect()
        for number in (1, 2):
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert receive_response(client)[1] == b"%d" % number
    of_requests = ["of this request", "requests"]
    assert application.events == [
        "lifespan.startup",
        of_requests,
        of_requests,
        "lifespan.shutdown",
        "returned",
    ]


def test_a_startup_that_failed_is_raised_with_its_reason() -> None:
    engine = AsgiEngine(Lifespan(startup="failed"), WorkerConfig())
    with pytest.raises(ApplicationError, match="no database"):
        engine.prepare()
    engine.close()


def test_a_startup_that_failed_and_raised_is_raised_as_what_it_was() -> None:
    engine = AsgiEngine(Lifespan(startup="failed raise"), WorkerConfig())
    with pytest.raises(LookupError, match="in startup"):
        engine.prepare()
    engine.close()


async def _without_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise ValueError("HTTP alone")
    assert "lifespan" not in scope["state"]
    await answer(send)


async def _returns_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await answer(send)


@pytest.mark.parametrize("application", [_without_lifespan, _returns_at_once])
def test_an_application_without_lifespan_is_served_and_nothing_is_said(
    application: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(application, lifespan=True) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive_response(client)[1] == b"ok"
    assert capsys.readouterr().err == ""


def test_an_application_whose_startup_raises_without_a_word_is_served_and_that_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with served(Lifespan(startup="raise"), lifespan=True):
        pass
    logged = capsys.readouterr().err
    assert "without a lifespan.startup.failed" in logged
    assert "LookupError: in startup" in logged


def test_a_mistake_at_the_beginning_of_a_lifespan_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise NameError("a name is not defined")

    with served(application, lifespan=True):
        pass
    assert "NameError: a name is not defined" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shutdown", "said"),
    [("failed", "no database"), ("failed raise", "no database"), ("raise", "LookupError: in shutdown")],
)
def test_a_failing_shutdown_is_said(shutdown: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with served(Lifespan(shutdown=shutdown), lifespan=True) as serving:
        serving.drain()
        assert serving.wait()
    logged = capsys.readouterr().err
    assert "lifespan shutdown failed" in logged
    assert said in logged


def test_a_shutdown_that_takes_too_long_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    with served(Lifespan(shutdown="hang"), lifespan=True) as serving:
        serving.drain(0.05)
        assert serving.wait() is False
    assert "lifespan shutdown did not end in time" in capsys.readouterr().err


def test_a_second_answer_to_the_startup_is_refused_and_none_to_the_shutdown() -> None:
    events: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        with pytest.raises(RuntimeError, match="a second answer to lifespan"):
            await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.sleep(0.01)  # what a shutdown does
        events.append("shut down")
        await send({"type": "lifespan.shutdown.complete"})

    with served(application, lifespan=True):
        pass
    assert events == ["shut down"]
