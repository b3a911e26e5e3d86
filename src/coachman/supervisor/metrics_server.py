"""Metrics and health checks over HTTP, for as long as the supervisor lives."""

from __future__ import annotations

from collections.abc import Callable

from coachman.config.addresses import TcpAddress
from coachman.protocol.exposition import CONTENT_TYPE, exposition
from coachman.protocol.health import readiness
from coachman.protocol.http_head import Request, Response, text_response
from coachman.protocol.metrics import families
from coachman.supervisor.http_responder import HttpResponder
from coachman.supervisor.overview import Overview
from coachman.unix.listeners import Listener

UNCACHED = ("Cache-Control", "no-store")


class MetricsServer:
    """Serves ``/metrics``, ``/healthz`` and ``/readyz`` at an address of its own, until `close`.

    It goes on while the supervisor stops, so that ``/readyz`` says so. Raises `ConfigurationError` where the
    address cannot be listened at.
    """

    def __init__(
        self,
        address: TcpAddress,
        overview: Overview,
        note: Callable[[str], None],
    ) -> None:
        self._overview = overview
        self._listener = Listener.bind(address)
        self._responder = HttpResponder(self._answer, note)
        self._responder.listen(self._listener.sock)

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._listener.address.url

    async def close(self) -> None:
        """Close the listener and all connections."""
        await self._responder.close()
        self._listener.close()

    async def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return text_response(405, "only GET and HEAD are answered here", ("Allow", "GET, HEAD"))
        path = request.path
        if path == "/metrics":
            return Response(200, exposition(families(await self._overview.measured())), CONTENT_TYPE)
        if path == "/healthz":
            return text_response(200, "the supervisor lives", UNCACHED)
        if path == "/readyz" or path.startswith("/readyz/"):
            application = path.removeprefix("/readyz").removeprefix("/")
            code, reason = readiness(self._overview.state, self._overview.progress(), application)
            return text_response(code, reason, UNCACHED)
        return text_response(404, "there are /metrics, /healthz, /readyz and /readyz/APPLICATION")
