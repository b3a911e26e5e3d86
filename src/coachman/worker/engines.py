"""The engine for an application, by its interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from coachman.config.model import WorkerConfig
from coachman.worker.engine_contract import Engine
from coachman.worker.interface import ASGI
from coachman.worker.wsgi.engine import Engine as WsgiEngine

EngineMaker: TypeAlias = Callable[[WorkerConfig], Engine]


def engine_maker(application: Any, interface: str) -> EngineMaker:
    """Return what makes an engine for `application`, called by `interface`, in the process that is to serve.

    What the engine needs is imported at once: in a preloader, so that workers share it.
    """
    if interface == ASGI:
        from coachman.worker.asgi.engine import (
            AsgiEngine,  # here: uvicorn is much to import for WSGI's workers
        )

        return lambda config: AsgiEngine(application, config)
    return lambda config: WsgiEngine(application, config)
