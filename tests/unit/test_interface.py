"""Which interface an application has, by what it looks like."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from quart import Quart
from starlette.applications import Starlette

import coachman
from coachman.config.model import Interface
from coachman.errors import ApplicationError
from coachman.worker.interface import find_interface

ENVIRONMENT = {"PYTHONPATH": str(Path(coachman.__file__).parents[1])}


def wsgi(environ: Any, start_response: Any) -> Any: ...


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


def asgi_that_returns_a_coroutine(scope: Any, receive: Any, send: Any) -> Any:
    return asgi(scope, receive, send)


class WsgiObject:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class AsgiObject:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...

    def wsgi_method(self, environ: Any, start_response: Any) -> Any: ...


class WsgiClass:
    """As in PEP 3333: called, it makes the iterable."""

    def __init__(self, environ: Any, start_response: Any) -> None: ...

    def __iter__(self) -> Any: ...


class AsgiClass:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Any: ...


class DoubleCallable:
    """ASGI 2."""

    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def decorated_badly(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def with_more(environ: Any, start_response: Any, setting: Any = None) -> Any: ...


def asgi_with_defaults(scope: Any, receive: Any = None, send: Any = None) -> Any: ...


async def asgi_with_setting(setting: Any, scope: Any, receive: Any, send: Any) -> None: ...


def wsgi_with_setting(setting: Any, environ: Any, start_response: Any) -> Any: ...


class Configurable:
    def __call__(self, setting: Any, environ: Any, start_response: Any) -> Any: ...


@pytest.mark.parametrize(
    ("application", "expected"),
    [
        (wsgi, Interface.WSGI),
        (asgi, Interface.ASGI),
        (asgi_that_returns_a_coroutine, Interface.ASGI),
        (WsgiObject(), Interface.WSGI),
        (AsgiObject(), Interface.ASGI),
        (AsgiObject().method, Interface.ASGI),
        (AsgiObject().wsgi_method, Interface.WSGI),
        (WsgiClass, Interface.WSGI),
        (AsgiClass, Interface.ASGI),
        (decorated(wsgi), Interface.WSGI),
        (decorated(asgi), Interface.ASGI),
        (decorated_badly(wsgi), Interface.WSGI),
        (functools.partial(asgi_with_setting, 1), Interface.ASGI),
        (functools.partial(wsgi_with_setting, 1), Interface.WSGI),
        (functools.partial(functools.partial(wsgi_with_setting), 1), Interface.WSGI),
        (functools.partial(AsgiObject()), Interface.ASGI),
        (functools.partial(Configurable(), 1), Interface.WSGI),
        (with_more, Interface.WSGI),
        (asgi_with_defaults, Interface.ASGI),
        (lambda environ, start_response: [], Interface.WSGI),
        (dict, Interface.WSGI),
    ],
)
def test_the_interface_is_told_by_the_looks(application: Any, expected: Interface) -> None:
    assert find_interface(application, Interface.AUTO).interface == expected


def test_what_is_asked_for_wins() -> None:
    assert find_interface(wsgi, Interface.ASGI).interface == Interface.ASGI
    assert find_interface(decorated_badly(asgi), Interface.ASGI).interface == Interface.ASGI
    assert find_interface(asgi, Interface.WSGI).interface == Interface.WSGI


def test_where_it_is_a_guess_the_way_out_is_named() -> None:
    assert "--interface asgi" in find_interface(decorated_badly(asgi), Interface.AUTO).reason


def test_an_application_of_asgi_2_is_refused_with_the_way_out() -> None:
    with pytest.raises(ApplicationError, match="guarantee_single_callable"):
        find_interface(DoubleCallable, Interface.AUTO)


@pytest.mark.parametrize("application", [lambda: None, lambda a, b, c, d: None])
def test_what_nobody_can_call_is_refused(application: Any) -> None:
    with pytest.raises(ApplicationError, match="WSGI calls it with two"):
        find_interface(application, Interface.AUTO)


def test_frameworks_are_told_apart() -> None:
    django_asgi = import_module("django.core.handlers.asgi")
    django_wsgi = import_module("django.core.handlers.wsgi")
    for application in (FastAPI(), Quart("x"), Starlette()):
        assert find_interface(application, Interface.AUTO).interface == Interface.ASGI
    # Made without their __init__, which loads the settings of a project.
    for handler, expected in (
        (django_asgi.ASGIHandler, Interface.ASGI),
        (django_wsgi.WSGIHandler, Interface.WSGI),
    ):
        assert find_interface(handler.__new__(handler), Interface.AUTO).interface == expected


def test_ordinary_applications_are_told_without_a_costly_import() -> None:
    program = """
import sys
from coachman.worker.interface import find_interface
async def asgi(scope, receive, send): ...
def wsgi(environ, start_response): ...
class Application:
    async def __call__(self, scope, receive, send): ...
print([find_interface(a, "auto").interface for a in (asgi, wsgi, Application())], "inspect" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.stdout == "['asgi', 'wsgi', 'asgi'] False\n", done.stderr
