"""Where the threads and asyncio tasks of this process are, as text for people."""

from __future__ import annotations

import gc
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from itertools import islice
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncio

DEPTH: Final = 60
"""Frames that are shown of each stack, those that are nearest to where it is."""

TASKS: Final = 200
"""Tasks that are shown."""

LIMIT: Final = 200 * 1024
"""Characters of one text."""

_AWAITED: Final = {"cr": "cr_await", "gi": "gi_yieldfrom", "ag": "ag_await"}
"""Where coroutines, generators and asynchronous generators keep what they wait for, by their prefix."""

_OPAQUE: Final = frozenset(("async_generator_asend", "async_generator_athrow", "coroutine_wrapper"))


def stack_text(
    *,
    loop: asyncio.AbstractEventLoop | None = None,
    notes: Mapping[int, str] | None = None,
    leave_out: frozenset[int] = frozenset(),
) -> str:
    """Return the stacks of all threads and of the tasks of `loop`, with a newline at the end.

    `notes` says something about threads, by their identifiers; those in `leave_out` are not shown. May be
    called in any thread; the others go on meanwhile, so each stack is that of a moment.
    """
    parts = list(_threads(notes or {}, leave_out))
    if loop is not None:
        parts += _tasks(loop)
    text = "".join(parts)
    return text if len(text) <= LIMIT else text[:LIMIT].rpartition("\n")[0] + "\n(and more)\n"


def _threads(notes: Mapping[int, str], leave_out: frozenset[int]) -> Iterator[str]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for identifier, frame in sys._current_frames().items():
        if identifier in leave_out:
            continue
        name = names.get(identifier, "not made by Python")
        note = f", {notes[identifier]}" if identifier in notes else ""
        yield f"Thread {identifier:#x} ({name}{note}):\n"
        yield from _frames(_stack_of(frame))


def _tasks(loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    import asyncio  # here: a worker without a loop has not imported it, and it takes a while

    tasks = asyncio.all_tasks(loop)
    for task in islice(sorted(tasks, key=lambda task: task.get_name()), TASKS):
        coroutine: Any = task.get_coro()
        yield f"Task {task.get_name()} ({getattr(coroutine, '__qualname__', coroutine)}):\n"
        yield from _frames(_await_chain(coroutine))
    if len(tasks) > TASKS:
        yield f"and {len(tasks) - TASKS} tasks more\n"


def _stack_of(frame: FrameType | None) -> list[tuple[FrameType, int]]:
    """Return the frames of a thread, the outermost first, each with its line."""
    return list(traceback.walk_stack(frame))[DEPTH - 1 :: -1]


def _await_chain(waiting: Any) -> list[tuple[FrameType, int]]:
    """Return the frames of a task from its coroutine down to what it waits for.

    `Task.get_stack` shows the first of them only.
    """
    found: list[tuple[FrameType, int]] = []
    while waiting is not None and len(found) < DEPTH:
        kind = next((kind for kind in _AWAITED if hasattr(waiting, f"{kind}_frame")), None)
        if kind is None:
            if type(waiting).__name__ not in _OPAQUE:
                break
            # What stands between `async for` and its generator tells nobody of it but the collector.
            waiting = next(filter(_has_frame, gc.get_referents(waiting)), None)
            continue
        frame = getattr(waiting, f"{kind}_frame")
        if frame is None:
            break  # it has ended meanwhile
        found.append((frame, frame.f_lineno))
        waiting = getattr(waiting, _AWAITED[kind])
    return found


def _has_frame(thing: object) -> bool:
    return any(hasattr(thing, f"{kind}_frame") for kind in _AWAITED)


def _frames(frames: list[tuple[FrameType, int]]) -> list[str]:
    return traceback.StackSummary.extract(iter(frames), lookup_lines=True).format() or ["  (nowhere)\n"]
