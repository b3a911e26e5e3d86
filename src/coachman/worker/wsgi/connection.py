"""One client connection: requests in, responses out, one after the other.

At every moment a connection belongs to one thread: to the loop's while it waits for the peer, to a pool
thread while an application call runs there. `pump` does all that can be done at once and gives the
connection back by arming it in the loop; nothing may touch it after that.

While all threads of a pool are busy, the bytes of a request stay in the kernel until one is free, so that the
connection can go to another worker.
"""

from __future__ import annotations

import socket
import tempfile
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from threading import local
from time import monotonic
from typing import TYPE_CHECKING

from coachman.worker.complaints import complain
from coachman.worker.handoff import Passport
from coachman.worker.wsgi.client_socket import LINGERING, READ_SIZE
from coachman.worker.wsgi.environ import Environ
from coachman.worker.wsgi.request import BadRequest, RequestParser
from coachman.worker.wsgi.responder import Responder
from coachman.worker.wsgi.timeouts import Phase, overdue

if TYPE_CHECKING:
    from coachman.worker.wsgi.serving_loop import ServingLoop

BODY_READ_SIZE = 1024 * 1024
"""Bytes that are read at once in the middle of a body: each read costs two more system calls."""
CHUNKS_READ_SIZE = 512 * 1024
"""The same where the body comes in chunks, which have to be taken apart."""
TURN_SIZE = 256 * 1024
"""Bytes of a streamed response that go out before other connections get a turn."""

_IDLE = Phase.IDLE
"""Looked up once: members of an enumeration are not cheap to get at."""

_PEER_IS_DONE = EPOLLRDHUP | EPOLLHUP | EPOLLERR

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _BodyBuffer(local):
    """Where each thread reads bodies to, on their way to a file or into a larger buffer.

    Memory of this size that is allocated for a read comes from the kernel page by page, which took longer
    than to read.
    """

    def __init__(self) -> None:
        self.view = memoryview(bytearray(BODY_READ_SIZE))


_body_buffer = _BodyBuffer()


class Connection(Responder):
    """The server's end of one connection. It owns the socket and closes it."""

    __slots__ = ("_parser", "_refusal")

    def __init__(self, engine: ServingLoop, sock: socket.socket, environ: Environ) -> None:
        super().__init__(engine, sock, environ)
        self._parser = RequestParser(engine.scratch_files, engine.head_bounds, engine.bounds.body_size)
        self._refusal: BadRequest | None = None
        """The answer to what could not be parsed; it follows the responses that are still due."""

    def close(self) -> None:
        """Close the connection and everything that belongs to its requests."""
        self._parser.close()
        super().close()

    # What it is at.

    @property
    def idle(self) -> bool:
        """True while the connection waits for the first byte of a request. Only the loop's thread may ask."""
        return self._armed == EPOLLIN and self._parser.between_requests and not self._peer.introduction

    @property
    def has_requests(self) -> bool:
        """True where a complete request waits to be served."""
        return bool(self._parser.complete)

    @property
    def needs_application(self) -> bool:
        """True where a complete request waits to be served, or a response to be made."""
        return self.has_requests or self._blocks is not None

    def close_if_idle(self) -> None:
        """Close a connection on which nothing of a request has come. Only the loop's thread may call."""
        if self.lingers or (self.idle and not self.has_unread()):
            self.close()

    # From worker to worker.

    @property
    def passport(self) -> Passport:
        """What another worker has to know to go on with the connection between two requests."""
        return self._peer.passport(self.served)

    def continue_from(self, passport: Passport) -> None:
        """Go on where another worker has left off."""
        self._peer.continue_from(passport)
        self.served = passport.served
        if self._requests_left > 0:
            self._requests_left = max(1, self._requests_left - passport.served)

    def leave(self) -> None:
        """Let go of the connection without ending it: somebody else has it now."""
        self.close()  # which is not shutdown(2)

    # What comes from the peer.

    def on_event(self, events: int) -> None:
        """What the loop calls when the peer has sent something or can take more."""
        engine = self._engine
        if self._armed == EPOLLIN:
            if engine.pool is None:
                if self._receive():
                    self.pump()
            else:
                self.take_in_hand(engine.turn_began / 1e9)
                # What can be served at once is read here, so that threads are left alone with peers that
                # leave and with beginnings of requests. What was read is bound to this worker.
                if (
                    engine.reads_ahead
                    or engine.pool.has_free_thread()
                    or not self._parser.between_requests
                    or events & _PEER_IS_DONE
                    or self._asks_for_file()
                ):
                    if self._receive():
                        engine.proceed(self)
                else:
                    engine.pool.add(self)
        elif self._armed == LINGERING:
            self._discard()
        else:
            self._armed = 0
            engine.proceed(self)

    def _asks_for_file(self) -> bool:
        """Return whether what waits to be read needs no thread, since a file answers it."""
        return False

    def serve_unread(self) -> None:
        """Read what has come and serve it: a pool thread runs this."""
        if self._receive():
            self.pump()

    def _receive(self) -> bool:
        """Read what has come; return whether there is something to be done about it."""
        parser = self._parser
        data: bytes | memoryview
        try:
            if parser.missing:
                data = _body_buffer.view[: parser.missing]
                data = data[: self.sock.recv_into(data)]
            else:
                data = self.sock.recv(READ_SIZE if parser.chunks is None else CHUNKS_READ_SIZE)
        except BlockingIOError:
            self._arm(EPOLLIN)
            return False
        except OSError:
            data = b""
        if not data:
            # Between requests the peer is done; in the middle of one it can no longer finish it.
            self.close()
            return False
        try:
            if type(data) is memoryview:
                parser.feed_body(data)
            else:
                if self._peer.introduction is not None:
                    data = self._peer.introduce(data)
                parser.feed(data)
        except BadRequest as refusal:
            self._refusal = refusal
        except OSError as error:  # the temporary file of a large body
            where = f" in {tempfile.tempdir}" if tempfile.tempdir else ""
            reason = f"its body cannot be kept{where}: {error.strerror or error}"
            self._refusal = BadRequest("507 Insufficient Storage", reason)
        if parser.complete or parser.awaits_continue or self._refusal is not None:
            return True
        self._note_progress()
        self._arm(EPOLLIN)
        if self._engine.draining:
            self._engine.release()  # an empty line, say, was all that has kept it here
        return False

    # Time.

    def _note_progress(self) -> None:
        """Remember when a part of a request came, and when it began."""
        now = monotonic()
        phase = Phase.HEAD if self._parser.body_received is None else Phase.BODY
        if phase is not self._phase:
            self._phase, self._since = phase, now
        self._progress = now

    def _awaited(self) -> tuple[Phase, int]:
        """Return what part of a request is waited for, and how many bytes of its body have come."""
        received = self._parser.body_received
        if received is not None:
            return Phase.BODY, received
        return (Phase.IDLE if self.idle else Phase.HEAD), 0

    def _give_up(self, phase: Phase) -> None:
        """End the connection: the peer's time for `phase` is up."""
        engine = self._engine
        if phase is Phase.HEAD or phase is Phase.BODY:
            self._refusal = BadRequest("408 Request Timeout", overdue(phase, engine.bounds))
            self._armed = 0
            engine.proceed(self)
            return
        if phase is Phase.RESPONSE:
            complain(f"gave up on {self._peer.describe()}: {overdue(phase, engine.bounds)}")
        self.close()

    # One thing after the other.

    def pump(self) -> None:
        """Send what is due, serve what waits, then wait for more: the loop's or a pool thread runs this."""
        out = self._out
        out.sent_this_turn = 0
        while True:
            if out.pending and not out.flush():
                self._arm(EPOLLOUT)
                return
            if self._blocks is not None:
                if out.sent_this_turn > TURN_SIZE and self._engine.threads == 1:
                    self._arm(EPOLLOUT)
                    return
                self._send_block()
            elif self._closing or out.gone:
                if self._linger_left and not out.gone and not self._engine.draining:
                    self._linger()
                else:
                    self.close()
                return
            elif self._parser.complete:
                self._serve(self._parser.complete.popleft())
            elif self._refusal is not None:
                refusal, self._refusal = self._refusal, None
                self._refuse(refusal)
            elif self._parser.awaits_continue:
                self._parser.awaits_continue = False
                out.send(_CONTINUE)
            else:
                self._phase, self._since = _IDLE, monotonic()
                self._arm(EPOLLIN)
                if self._engine.draining:
                    self._engine.release()
                return
