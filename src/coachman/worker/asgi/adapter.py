"""uvicorn, as far as it is used here: its configuration, its state, and protocols for our connections.

Only this file and the two connections import uvicorn. What they rely on beyond its documentation is pinned by
tests/unit/test_uvicorn_contract.py, so that a release that changes it fails there, by name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config

from coachman.worker.asgi.context import Arrival, Context
from coachman.worker.asgi.http_connection import HttpConnection
from coachman.worker.asgi.state import State


def protocol_factory(context: Context, lifespan_state: dict[str, Any]) -> Callable[[Arrival], HttpConnection]:
    """Return what makes the protocol of each connection; requests get copies of `lifespan_state`."""
    # uvicorn logs each connection at a level below DEBUG, and looks at this very logger's to see whether to.
    logger = logging.getLogger("uvicorn.error")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)
    config = _config(context)
    state = State(context)
    return lambda arrival: HttpConnection(context, config, state, lifespan_state, arrival)


def _config(context: Context) -> Config:
    config = Config(
        _stand_in,
        http=HttpConnection,
        ws="websockets-sansio",
        interface="asgi3",
        lifespan="off",  # ours tells why a startup failed
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        workers=1,  # or WEB_CONCURRENCY is looked at
    )
    config.load()
    # Not given above: to see whether it is a factory, uvicorn would call it.
    config.loaded_app = context.application
    return config


async def _stand_in(scope: Any, receive: Any, send: Any) -> None:
    """What uvicorn looks at in the application's place."""
