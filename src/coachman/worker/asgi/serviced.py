"""An ASGI application with a worker's services around it: static files, the access log, time-outs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias

from coachman.protocol.access_log import Access, escaped
from coachman.protocol.request_ids import HEADER, named
from coachman.protocol.static.response import deciding_headers
from coachman.worker.asgi.late_answer import answer_late
from coachman.worker.asgi.static_sending import send_static
from coachman.worker.asgi.transport_of import answered, identify, peer_of, task_of
from coachman.worker.late_answer import LATE_BODY
from coachman.worker.services import Services

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_HEADER = HEADER.lower().encode()


class ServicedApplication:
    """Calls `application` for what is not served here. It belongs to the loop's thread, as that does."""

    def __init__(
        self,
        application: Application,
        services: Services,
        give_up_on: Callable[[asyncio.Task[None]], None] = lambda task: None,
    ) -> None:
        """`give_up_on` is called, in the loop, with calls of the application that have taken too long."""
        self._application = application
        self._services = services
        self._give_up_on = give_up_on

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        exchange = Exchange(self._services, scope, receive, send, self._give_up_on)
        try:
            if scope["type"] == "http":
                await self._serve(exchange)
            else:
                await self._application(scope, receive, exchange.send)
        finally:
            exchange.close()

    async def _serve(self, exchange: Exchange) -> None:
        scope, static = exchange.scope, self._services.static
        if static is not None and scope["raw_path"].startswith(static.starts_in_bytes):
            target = _target_of(scope)
            answer = static.answer(scope["method"], target, deciding_headers(scope["headers"]))
            if answer is not None:
                await send_static(answer, exchange.receive, exchange.send)
                return
        watchdog = self._services.watchdog
        if watchdog is None:
            await self._application(scope, exchange.receive, exchange.send)
            return
        exchange.timed = True
        watchdog.began(exchange)
        try:
            await self._application(scope, exchange.receive, exchange.send)
        finally:
            watchdog.ended(exchange)


class Exchange:
    """One request and what is sent in answer to it."""

    def __init__(
        self,
        services: Services,
        scope: Scope,
        receive: Receive,
        send: Send,
        give_up_on: Callable[[asyncio.Task[None]], None],
    ) -> None:
        self.scope = scope
        self.receive = receive
        self._services = services
        self._send = send
        self._give_up_on = give_up_on
        self._status = 0
        self._size = 0
        self._logged = False
        self.timed = False
        """The watchdog has been told that it began, and not yet that it is answered."""
        self._late = False
        """The watchdog has answered, or is about to: what the application sends is dropped."""
        self._loop = asyncio.get_running_loop()
        self._request_id = ""
        self._started_ns = 0
        if services.access_log is not None:
            self._started_ns = time.monotonic_ns()
            self._take_request_id()

    async def send(self, message: Message) -> None:
        """What the application sends by."""
        kind = message["type"]
        if kind in ("http.response.body", "websocket.http.response.body"):
            self._size += len(message.get("body", b""))
        elif kind == "http.response.start":
            if not self._begin_answer():
                return
            self._status = message["status"]
            message = self._with_request_id(message)
        elif kind == "websocket.http.response.start":
            self._status = message["status"]
            message = self._with_request_id(message)
        elif kind == "websocket.accept":
            self._status = 101
            message = self._with_request_id(message)
        elif kind == "websocket.close" and not self._status:
            self._status = 403
        if not self._late:
            await self._send(message)

    def close(self) -> None:
        """Write the line of the access log. Again: nothing happens."""
        access_log = self._services.access_log
        if access_log is None or self._logged:
            return
        self._logged = True
        scope = self.scope
        status, size = self._status, self._size
        if not self._late:
            status, size = answered(self.receive, status, size)
            if status >= 500:
                identify(self.receive, self._request_id)  # it may not be the application that answers so
        headers = {name: value for name, value in scope["headers"] if name in (b"referer", b"user-agent")}
        ended = time.monotonic_ns()
        first = access_log.add(
            Access(
                peer=_peer_of(scope),
                method=scope.get("method", "GET"),
                target=_target_of(scope).decode("latin-1"),
                protocol=f"HTTP/{scope['http_version']}",
                status=status,
                size=size,
                duration_ns=ended - self._started_ns,
                ended_ns=ended,
                referer=headers.get(b"referer", b"").decode("latin-1"),
                user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
                request_id=self._request_id,
            )
        )
        if first and self._loop is asyncio._get_running_loop():
            self._loop.call_soon(access_log.flush)

    # What the watchdog calls.

    def describe_request(self) -> str:
        """Return the request line, who sent it, and its id where it has one."""
        line = f"{self.scope['method']} {_target_of(self.scope).decode('latin-1')}"
        request = f"{escaped(line)} from {_peer_of(self.scope) or 'a local process'}"
        return named(request, self._request_id)

    def answer_late(self) -> bool:
        """Answer 504; nothing was sent, or the watchdog would not have got the request."""
        self._late = True
        head_only = self.scope["method"] == "HEAD"
        sent = answer_late(self._loop, self.receive, self._send, self._request_id, head_only=head_only)
        self._status, self._size = (504, 0 if head_only else len(LATE_BODY)) if sent else (0, 0)
        self.close()
        if self._services.access_log is not None:
            self._services.access_log.flush()  # the loop may never turn again
        task = task_of(self.receive)
        if task is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._give_up_on, task)
        return sent

    def _begin_answer(self) -> bool:
        """Return whether the answer may begin; from then on the application may take as long as it likes."""
        watchdog = self._services.watchdog
        if self.timed and watchdog is not None:
            self.timed = False
            self._late = not watchdog.ended(self)
        return not self._late

    def _take_request_id(self) -> None:
        scope, services = self.scope, self._services
        given = None
        others = []
        for header in scope["headers"]:
            if header[0] == _HEADER:
                given = header[1].decode("latin-1")
            else:
                others.append(header)
        if given is not None:
            peer = peer_of(self.receive)
            if not services.trusted.trusts(_peer_of(scope) if peer is None else peer):
                given = None
        self._request_id = services.request_ids.of_request(given)
        scope["headers"] = [*others, (_HEADER, self._request_id.encode())]

    def _with_request_id(self, message: Message) -> Message:
        if not self._request_id:
            return message
        headers = list(message.get("headers", ()))
        if any(bytes(name).lower() == _HEADER for name, _ in headers):
            return message
        return {**message, "headers": [*headers, (_HEADER, self._request_id.encode())]}


def _peer_of(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _target_of(scope: Scope) -> bytes:
    target: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    return target + b"?" + query if query else target
