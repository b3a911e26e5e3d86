"""The id of each request, in the application's environment and in the headers of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from coachman.protocol.request_ids import HEADER
from coachman.worker.wsgi.environ import Environ
from coachman.worker.wsgi.response import Headers

if TYPE_CHECKING:
    from coachman.worker.wsgi.serving_loop import Application

KEY: Final = "HTTP_X_REQUEST_ID"
"""Where the application finds it."""


def with_request_ids(application: Application) -> Application:
    """Return `application` with the ids of requests in their environments and in its answers."""

    def call(environ: Environ, start_response: Any) -> Any:
        request_id = environ[KEY] = environ.pop("coachman.request_id")

        def start(status: str, headers: Headers, exc_info: Any = None) -> Any:
            if not any(name.lower() == "x-request-id" for name, _ in headers):
                headers = [*headers, (HEADER, request_id)]
            return start_response(status, headers, exc_info)

        return application(environ, start)

    return call
