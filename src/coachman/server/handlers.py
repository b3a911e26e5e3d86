"""What a server does upon which message and which signal: the decorators and the table."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable
from typing import Any, Final, Self, TypeAlias, TypeVar

from coachman.errors import UnknownMessage
from coachman.unix.signals import SignalHandler, signal_number

Handler: TypeAlias = str | Callable[..., Any]
"""A method's name, or anything that can be called."""

Function = TypeVar("Function", bound=Callable[..., Any])

_MESSAGES: Final = "__coachman_messages__"
_SIGNALS: Final = "__coachman_signals__"


def message_handler(name: str) -> Callable[[Function], Function]:
    """Make the decorated method of an `AbstractServer` the handler of the message `name`. May be stacked."""
    return _marker(_MESSAGES, name)


def signal_handler(which: int | str) -> Callable[[Function], Function]:
    """Make the decorated method of an `AbstractServer` a signal's handler: `SIGUSR1`, "SIGUSR1" or "usr1"."""
    return _marker(_SIGNALS, signal_number(which))


def _marker(attribute: str, key: object) -> Callable[[Function], Function]:
    def mark(function: Function) -> Function:
        setattr(function, attribute, (*getattr(function, attribute, ()), key))
        return function

    return mark


class HandlerTable:
    """The handlers of a server, as they were defined; methods are looked up when the server runs."""

    def __init__(self) -> None:
        self.messages: dict[str, Handler] = {}
        self.signals: dict[int, Handler | signal.Handlers] = {}

    @classmethod
    def of_class(cls, owner: type) -> Self:
        """Return what the decorators of `owner` and its bases say, the nearest class last."""
        table = cls()
        for base in reversed(owner.__mro__):
            for attribute, member in vars(base).items():
                for name in getattr(member, _MESSAGES, ()):
                    table.messages[name] = attribute
                for number in getattr(member, _SIGNALS, ()):
                    table.signals[number] = attribute
        return table

    def copy(self) -> Self:
        """Return a table that can be changed."""
        table = type(self)()
        table.messages = self.messages.copy()
        table.signals = self.signals.copy()
        return table


class BoundHandlers:
    """The handlers of a server that runs, ready to be called."""

    def __init__(self, server: object, table: HandlerTable) -> None:
        self._server = server
        self._table = table
        self._functions: dict[str, Callable[..., Any]] = {}

    def dispatch(self, message: list[str]) -> None:
        """Call the message's handler with the elements behind the name; `UnknownMessage` if there is none."""
        function = self._functions.get(message[0])
        if function is None:
            function = self._bind(message)
        function(*message[1:])

    def forget(self, name: str) -> None:
        """Look this message's handler up again: it was defined anew."""
        self._functions.pop(name, None)

    def for_signal(self, number: int) -> SignalHandler | signal.Handlers:
        """Return what `signal.signal` is to install; it passes on as much of (number, frame) as is taken."""
        handler = self._table.signals[number]
        if isinstance(handler, signal.Handlers):
            return handler
        function = _resolve(self._server, handler)
        room = _positional_room(function)
        return lambda signum, frame: function(*(signum, frame)[:room])

    def _bind(self, message: list[str]) -> Callable[..., Any]:
        name = message[0]
        try:
            handler = self._table.messages[name]
        except KeyError:
            known = ", ".join(sorted(self._table.messages)) or "none"
            raise UnknownMessage(
                f"{type(self._server).__name__} has no handler for the message {name!r} "
                f"with {len(message) - 1} arguments (defined: {known})"
            ) from None
        function = self._functions[name] = _resolve(self._server, handler)
        return function


def check_handler(server: object, handler: Handler) -> None:
    """Refuse a handler that could never be called: `AttributeError` or `TypeError`."""
    if not callable(_resolve(server, handler)):
        raise TypeError(f"{handler!r} of {type(server).__name__} cannot be called")


def _resolve(server: object, handler: Handler) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(server, handler) if isinstance(handler, str) else handler
    return function


def _positional_room(function: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature
        return 2
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 2
    return min(2, sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters))
