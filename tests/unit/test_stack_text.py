"""The stacks of threads and tasks, as text."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from coachman.worker import stack_text as module
from coachman.worker.stack_text import stack_text


def wait_here(entered: threading.Event, leave: threading.Event) -> None:
    entered.set()
    leave.wait()


def deeply(levels: int, entered: threading.Event, leave: threading.Event) -> None:
    if levels:
        deeply(levels - 1, entered, leave)
    else:
        wait_here(entered, leave)


@pytest.mark.parametrize("levels", [0, 300])
def test_every_thread_is_shown_with_its_name_its_note_and_where_it_is(levels: int) -> None:
    entered, leave = threading.Event(), threading.Event()
    thread = threading.Thread(target=deeply, args=(levels, entered, leave), name="request-7")
    thread.start()
    try:
        entered.wait()
        assert thread.ident is not None
        text = stack_text(notes={thread.ident: "in GET /slow"}, leave_out=frozenset((threading.get_ident(),)))
    finally:
        leave.set()
        thread.join()
    assert f"Thread {thread.ident:#x} (request-7, in GET /slow):\n" in text
    assert "in wait_here\n    leave.wait()\n" in text
    assert text.count("in deeply") <= module.DEPTH
    assert "MainThread" not in text
    assert text.endswith("\n")


def test_a_task_is_shown_down_to_what_it_waits_for() -> None:
    found: list[str] = []

    async def outer() -> None:
        async for _ in middle():
            pass

    async def middle() -> AsyncIterator[int]:
        yield 1
        await inner()

    async def inner() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(outer(), name="the-slow-one")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        # As it is used: from another thread, while this one is busy.
        looker = threading.Thread(target=lambda: found.append(stack_text(loop=loop)))
        looker.start()
        looker.join()
        task.cancel()

    asyncio.run(main())
    (text,) = found
    assert "Task the-slow-one (" in text
    stack = text.partition("Task the-slow-one")[2]
    assert "in outer\n    async for _ in middle():\n" in stack
    assert "in inner\n    await asyncio.Event().wait()\n" in stack
    assert "in wait\n" in stack


def test_very_many_tasks_are_counted() -> None:
    async def main() -> str:
        tasks = [asyncio.create_task(asyncio.Event().wait()) for _ in range(module.TASKS + 10)]
        await asyncio.sleep(0)
        text = stack_text(loop=asyncio.get_running_loop())
        for task in tasks:
            task.cancel()
        return text

    assert asyncio.run(main()).endswith("and 11 tasks more\n")


def test_the_text_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 200)
    text = stack_text()
    assert len(text) < 230
    assert text.endswith("\n(and more)\n")
