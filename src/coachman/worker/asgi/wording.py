"""What the log says of requests and of the application's errors, and which of these are none."""

from __future__ import annotations

import asyncio
import os
import traceback
from typing import Any

_OWN_FOLDER = os.path.dirname(__file__) + os.sep


def line_of(scope: Any) -> str:
    """Return what was asked for, from the scope of a request or a WebSocket."""
    query = scope["query_string"].decode("latin-1")
    target = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
    return f"{scope.get('method', 'WebSocket')} {target}"


def was_cancelled(error: BaseException) -> bool:
    """Return whether the present task ends with `error` because somebody has cancelled it.

    One that waits for something else that was cancelled, ends with the same error, and has failed.
    """
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def frames_of(error: BaseException) -> str:
    """Return the traceback without the engine's own frames at its top."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OWN_FOLDER):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()
