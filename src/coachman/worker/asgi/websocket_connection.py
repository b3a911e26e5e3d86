"""One WebSocket: uvicorn's protocol over websockets, with our order of things at the end, and our log."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from coachman.worker.asgi.context import Context
from coachman.worker.asgi.refusal import refusal_response, refused
from coachman.worker.asgi.wording import frames_of, line_of, was_cancelled
from coachman.worker.complaints import complain

INTERNAL_ERROR = 1011

FAILURE = b"Internal Server Error"
"""The body of what uvicorn answers for an application that fails before the handshake is complete."""


class WebSocketConnection(WebSocketsSansIOProtocol):
    """The server's end of one WebSocket; it takes the transport over from the HTTP connection."""

    def __init__(
        self,
        context: Context,
        peer: tuple[str, int] | None,
        client: tuple[str, int] | None,
        secure: bool,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
    ) -> None:
        """`peer` has connected, or was introduced by the PROXY protocol.

        `client`, and whether the connection is `secure`, are as proxies have said, where one did.
        """
        super().__init__(config, server_state, app_state, _loop=context.loop)
        self._context = context
        self.peer = peer
        self._client = client
        self._secure = secure
        self._unsent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.client = self._client
        self.scheme = "wss" if self._secure else "ws"
        self._context.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._context.closed(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.transport.is_closing():
            self._wait_for_reader()  # for what is left, of which nothing will be told
        else:
            self._context.readers.forget(self)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self._context.on_change()

    def end_broken_handshake(self) -> None:
        """Answer a handshake that websockets does not understand, and close; else do nothing.

        uvicorn looks at handshakes that were understood, and leaves the others without an answer and without
        an end. The whole of it has been read when this is called.
        """
        if self.handshake_initiated:
            return
        answer = b"".join(self.conn.data_to_send()) or refusal_response("400 Bad Request")
        status = answer[9 : answer.index(b"\r\n")].decode()
        peer = self.client[0] if self.client else ""
        complain(f"refused a WebSocket from {peer or 'a local process'}: {status}: {self._broken_by()}")
        self.transport.write(answer)
        self.transport.close()
        access_log = self._context.access_log
        if access_log is not None:
            access_log.add(refused(status, peer))
            self.loop.call_soon(access_log.flush)

    def _broken_by(self) -> BaseException | None:
        error = self.conn.handshake_exc
        return error.__cause__ or error if error is not None else None

    async def run_asgi(self) -> None:
        """Call the application: what uvicorn does, with our words, and a close code where it fails."""
        scope: Any = self.scope
        try:
            await self._context.application(scope, self.receive, self.send)  # type: ignore[arg-type]
            if not self.handshake_complete:
                self._report("the application returned without completing the handshake")
                self.send_500_response()
        except ClientDisconnected:
            pass
        except BaseException as error:  # the application's own code, which ends nothing but this WebSocket
            if was_cancelled(error):
                self.transport.abort()
            else:
                self._fail(error)
        if self.close_timer is None:
            self.transport.close()
        self._wait_for_reader()

    def _fail(self, error: BaseException) -> None:
        """Report; answer 500 where the handshake is not complete, else close."""
        self._report(f"the application failed\n{frames_of(error)}")
        self.send_500_response()
        if self.handshake_complete and not self.close_sent and not self.disconnected:
            self.conn.send_close(INTERNAL_ERROR)
            self.transport.write(b"".join(self.conn.data_to_send()))

    def answered(self, status: int, size: int) -> tuple[int, int]:
        """Return status and bytes of body that go out, given those that the application has sent; 0: none."""
        if self.handshake_complete or self.close_sent:
            return status, size
        # An answer other than 101 goes out when it is complete.
        return (500, len(FAILURE)) if self.initial_response is None else (0, 0)

    # What the worker calls.

    def drain(self) -> None:
        """Stay until the farewell: the end is the peer's or the application's to choose."""

    def say_farewell(self) -> None:
        """Close with 1012, "service restart" (RFC 6455 and its registry)."""
        self.shutdown()

    def give_up(self) -> None:
        """Close at once."""
        self.transport.abort()

    def on_late_reader(self) -> None:
        """Close, unless the peer has taken something meanwhile."""
        if self.transport.get_write_buffer_size() < self._unsent:
            self._wait_for_reader()
        else:
            self.transport.abort()

    def on_late_head(self) -> None:
        """A WebSocket has none."""

    on_late_body = on_late_request = on_late_head

    def _wait_for_reader(self) -> None:
        """Let the time begin that the peer has until it takes something of what is still to be sent."""
        self._unsent = self.transport.get_write_buffer_size()
        self._context.readers.forget(self)
        if self._unsent:
            self._context.readers.watch(self)

    def _report(self, what: str) -> None:
        peer = self.client[0] if self.client else "a local process"
        complain(f"{line_of(self.scope)} from {peer}: {what}")
