"""The looks at how much there is to do: one after the other, until they are ended."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from coachman.config.model import ProcessCount
from coachman.protocol.handoff import USUAL_SIZE
from coachman.supervisor.application import demand_watch
from coachman.supervisor.application.refusals import Refusals
from coachman.unix.handoff import HandoffQueue
from coachman.unix.scoreboard import Scoreboard

from ..end_to_end.applications import HELLO, write_application
from .observed import application


def test_a_change_of_the_bounds_during_the_start_does_not_double_the_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[socket.socket] = []

    def look(listener: socket.socket) -> int:
        looks.append(listener)
        return 0

    async def use() -> None:
        async with application(tmp_path, processes=ProcessCount(1, 2), max_queue=1) as served:
            monkeypatch.setattr(demand_watch, "CALM_PERIOD", 0.0)
            monkeypatch.setattr(demand_watch, "accept_queue_length", look)
            served.scale("2-3")
            served.scale("1-3")  # one that is not needed keeps it looking
            await served.start()
            await served.stop()
            looks.clear()
            for _ in range(10):
                await asyncio.sleep(0)
            assert looks == []

    write_application(tmp_path, HELLO)
    asyncio.run(use())


@pytest.mark.parametrize(("draining", "refused"), [(False, 4 + 2 + 2 + 1 - 6), (True, 0)])
def test_who_waits_elsewhere_counts_for_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draining: bool, refused: int
) -> None:
    """But for those that a draining worker has left to others, who are mostly idle."""
    counts: list[int] = []
    view = Scoreboard.view

    async def use() -> None:
        async with application(tmp_path, processes=ProcessCount(2, 2), max_queue=6) as served:
            await served.start()
            await served.until(lambda status: status.ready == 2)
            monkeypatch.setattr(demand_watch, "accept_queue_length", lambda listener: 4)
            monkeypatch.setattr(HandoffQueue, "size", USUAL_SIZE)
            monkeypatch.setattr(Scoreboard, "view", lambda board, slot: replace(view(board, slot), waiting=2))
            monkeypatch.setattr(Refusals, "refuse", lambda refusals, count: counts.append(count))
            if draining:
                process = served.pool.members[0].process
                assert process is not None
                process.begin_drain()
            served.scale("2")  # it looks again
            monkeypatch.undo()
        assert counts == [refused]

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_a_lack_of_descriptors_does_not_end_the_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use() -> None:
        tried_again = asyncio.Event()
        answers = iter([True, True])

        def dup(fd: int) -> int:
            if next(answers, False):
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            tried_again.set()
            return original(fd)

        original = os.dup
        async with application(tmp_path, processes=ProcessCount(1, 2)) as served:
            await served.start()
            monkeypatch.setattr(demand_watch, "CALM_PERIOD", 0.0)
            monkeypatch.setattr(os, "dup", dup)
            served.scale("1-3")  # it looks again
            async with asyncio.timeout(30):
                await tried_again.wait()
            monkeypatch.undo()

    write_application(tmp_path, HELLO)
    asyncio.run(use())
