"""How long each import takes, measured inside the interpreter, without its `-X importtime`."""

from __future__ import annotations

import importlib
import sys
import time
from _thread import get_ident
from collections.abc import Callable
from types import ModuleType, TracebackType

from coachman.protocol.import_times import ModuleImport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

_BOOTSTRAP = "_find_and_load"
"""What the interpreter calls, and looks up on every call, for an import of what is not loaded: private to
CPython, the same since 3.5. Where it is missing, nothing is measured."""


class _UnderWay:
    """An import that is not done, and the seconds that imports within it have taken."""

    __slots__ = ("name", "within")

    def __init__(self, name: str) -> None:
        self.name = name
        self.within = 0.0


class ImportClock:
    """Measures every import of a module that is not loaded yet, in every thread, while it is entered."""

    def __init__(self) -> None:
        self.imports: list[ModuleImport] = []
        self._system: Any = importlib._bootstrap
        self._original: Callable[[str, Any], ModuleType] | None = getattr(self._system, _BOOTSTRAP, None)

    def __enter__(self) -> Self:
        if self._original is not None:
            setattr(self._system, _BOOTSTRAP, self._timed(self._original))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._original is not None:
            setattr(self._system, _BOOTSTRAP, self._original)

    def _timed(self, original: Callable[[str, Any], ModuleType]) -> Callable[[str, Any], ModuleType]:
        under_way: dict[int, list[_UnderWay]] = {}
        """By thread."""
        done, clock, this_thread = self.imports.append, time.perf_counter, get_ident

        def find_and_load(name: str, import_: Any) -> ModuleType:
            stack = under_way.setdefault(this_thread(), [])
            importers = tuple(entry.name for entry in stack)
            stack.append(entry := _UnderWay(name))
            began = clock()
            try:
                return original(name, import_)
            finally:
                took = clock() - began
                stack.pop()
                if stack:
                    stack[-1].within += took
                if name in sys.modules:
                    done(ModuleImport(name, took - entry.within, took, importers))

        # The interpreter cuts frames of this name out of tracebacks: what the application prints of its own
        # errors is then the same as without the clock.
        find_and_load.__code__ = find_and_load.__code__.replace(co_filename="<frozen importlib._bootstrap>")
        return find_and_load
