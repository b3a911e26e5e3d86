"""What an application leaves alive when it has been loaded: it decides whether the process can be forked.

A fork copies the thread that calls it and no other; sockets and event loops are shared with the parent. So
the preloader looks for all three, and remembers, while the application loads, where they come from.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from coachman.protocol import control

_STANDARD_LIBRARY = os.path.dirname(os.__file__)


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that is alive."""

    kind: str
    """"thread", "socket" or "event loop"."""
    what: str
    """In words, with the place that made it where that is known."""


class Origins:
    """Remembers who starts threads and makes sockets while it is entered.

    It stands in for two methods of the standard library during that time: an audit hook would stay for the
    life of the process and cost something on every import and every opened file.
    """

    def __init__(self) -> None:
        self._places: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        self._originals: list[tuple[type, str, Callable[..., Any]]] = []

    def __enter__(self) -> Self:
        self._remember(threading.Thread, "start")
        self._remember(socket.socket, "__init__")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._originals:
            owner, name, original = self._originals.pop()
            setattr(owner, name, original)

    def place_of(self, thing: object) -> str:
        """Return " (from FILE:LINE)", or "" where that is not known."""
        place = self._places.get(thing)
        return f" (from {place})" if place else ""

    def socket_places(self) -> dict[int, str]:
        """Return the place of each known socket, by its descriptor."""
        return {
            thing.fileno(): self.place_of(thing)
            for thing in list(self._places)
            if isinstance(thing, socket.socket)
        }

    def _remember(self, owner: type, name: str) -> None:
        original = getattr(owner, name)
        places = self._places

        def remembering(self: object, *args: Any, **kwargs: Any) -> Any:
            result = original(self, *args, **kwargs)
            places[self] = _calling_place()
            return result

        self._originals.append((owner, name, original))
        setattr(owner, name, remembering)


def find_leftovers(origins: Origins, own_fds: Collection[int]) -> list[Leftover]:
    """Return what is alive in this process besides the calling thread and the descriptors in `own_fds`."""
    return [*_threads(origins), *_event_loops(), *_sockets(origins, own_fds)]


def _threads(origins: Origins) -> list[Leftover]:
    python = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    found = [
        Leftover(control.THREAD, f"the thread {thread.name!r}{origins.place_of(thread)}") for thread in python
    ]
    native = len(os.listdir("/proc/self/task")) - 1 - len(python)
    if native > 0:
        found.append(Leftover(control.THREAD, f"{native} thread(s) that a C library started"))
    return found


def _event_loops() -> list[Leftover]:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return []
    # Not isinstance, which asks for __class__: upon that, a lazy object of the application does its work.
    loops = [thing for thing in gc.get_objects() if issubclass(type(thing), asyncio.AbstractEventLoop)]
    return [
        Leftover("event loop", f"an event loop ({type(loop).__name__})")
        for loop in loops
        if not loop.is_closed()
    ]


def _sockets(origins: Origins, own_fds: Collection[int]) -> list[Leftover]:
    places = origins.socket_places()
    found = []
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the listing's own
            continue
        if target.startswith("socket:") and fd not in own_fds:
            found.append(Leftover("socket", f"the socket with descriptor {fd}{places.get(fd, '')}"))
    return found


def _calling_place() -> str:
    """Return FILE:LINE of the innermost frame that is neither ours nor the standard library's own."""
    for frame in reversed(traceback.extract_stack(limit=40)):
        if frame.filename != __file__ and not (
            frame.filename.startswith(_STANDARD_LIBRARY) and "site-packages" not in frame.filename
        ):
            return f"{frame.filename}:{frame.lineno}"
    return ""
