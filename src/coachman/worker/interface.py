"""Whether an application is called by WSGI or by ASGI: what it looks like, or what the person says.

The values are those of coachman.config.model.Interface, to import which `coachman check` has no time.
"""

from __future__ import annotations

import functools
from types import BuiltinFunctionType, FunctionType, MethodType

from coachman.errors import ApplicationError
from coachman.protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeAlias

AUTO: Final = "auto"
WSGI: Final = "wsgi"
ASGI: Final = "asgi"

_ASGI_NAMES: Final = ("scope", "receive", "send")


_VARARGS: Final = 0x04
_COROUTINE: Final = 0x80 | 0x100
"""Flags of code objects, as `inspect` names them: CO_VARARGS; CO_COROUTINE and CO_ITERABLE_COROUTINE."""

Arguments: TypeAlias = tuple[int, int, tuple[str, ...]]
"""How many positional ones, least and most, and their names."""


class Found(Value):
    """What an application is called by."""

    interface: str
    """`WSGI` or `ASGI`."""
    reason: str
    """How that is known, for people."""


def find_interface(application: Callable[..., Any], asked: str) -> Found:
    """Return what `application` is called by; raise `ApplicationError` where neither calls such a thing.

    `asked` wins; `AUTO` leaves it to what the application looks like. It is not called.
    """
    if asked != AUTO:
        return Found(asked, "as was asked for")
    called = _what_is_called(application)
    is_coroutine_function, counts = _plain_look(called) or (
        _is_coroutine_function(called),
        _argument_counts(called),
    )
    if is_coroutine_function:
        return Found(ASGI, "it is a coroutine function")
    if counts is None:
        return Found(WSGI, "it takes any arguments; --interface asgi says otherwise")
    least, most, names = counts
    if least <= 2 <= most and not (least <= 3 <= most and names[:3] == _ASGI_NAMES):
        return Found(WSGI, "it takes two arguments")
    if least <= 3 <= most:
        return Found(ASGI, "it takes three arguments")
    if least <= 1 <= most:
        raise ApplicationError(
            "the application takes one argument, as ASGI 2 had it, which is not supported: update its "
            "framework, or wrap it in asgiref.compatibility.guarantee_single_callable()"
        )
    raise ApplicationError(
        f"the application takes {_at_least(least, most)}: WSGI calls it with two, environ and "
        "start_response, ASGI with three, scope, receive and send"
    )


def _what_is_called(application: Callable[..., Any]) -> Callable[..., Any]:
    """Look through partial objects and instances, to what has the signature and the code."""
    # A partial keeps arguments, so its own signature is the one that counts; its function says what it is.
    function: Any = application
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, FunctionType | MethodType | BuiltinFunctionType | type):
        return application
    # The type's: that is what is called, whatever the instance has as an attribute.
    call: Callable[..., Any] = type(function).__call__.__get__(function)
    return call if function is application else functools.partial(call, *_bound_by(application))


def _bound_by(application: Any) -> tuple[Any, ...]:
    bound: tuple[Any, ...] = ()
    while isinstance(application, functools.partial):
        bound = application.args + bound
        application = application.func
    return bound


def _plain_look(called: Any) -> tuple[bool, Arguments] | None:
    """Return whether it is a coroutine function, and its arguments; None: it takes a closer look.

    An ordinary function needs no `inspect`, which takes longer to import than many an application.
    """
    function, bound = (called.__func__, 1) if type(called) is MethodType else (called, 0)
    if type(function) is not FunctionType or function.__dict__ or function.__code__.co_flags & _VARARGS:
        return None
    code = function.__code__
    names = code.co_varnames[bound : code.co_argcount]
    least = len(names) - len(function.__defaults__ or ())
    return bool(code.co_flags & _COROUTINE), (least, len(names), names)


def _is_coroutine_function(called: Callable[..., Any]) -> bool:
    import inspect

    # A decorator that keeps __wrapped__ may return a plain function that gives the coroutine on.
    return inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(inspect.unwrap(called))


def _argument_counts(called: Callable[..., Any]) -> Arguments | None:
    """Return how many positional arguments it takes, least and most, and their names; None: any number."""
    import inspect

    try:
        parameters = list(inspect.signature(called).parameters.values())
    except (TypeError, ValueError):  # C code that does not tell
        return None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    least = sum(p.default is p.empty for p in positional)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        if not positional:
            return None
        return least, 1000, tuple(p.name for p in positional)
    return least, len(positional), tuple(p.name for p in positional)


def _at_least(least: int, most: int) -> str:
    if least > 3:
        return f"at least {least} arguments"
    return f"{most or 'no'} argument{'s' if most != 1 else ''}"
