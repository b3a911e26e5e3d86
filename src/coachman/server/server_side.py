"""What an AbstractServer does in the server process: hooks, the main loop, signals."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, Self

from coachman.errors import ChannelTimeout, PeerGone
from coachman.protocol.messages import Element
from coachman.server.handlers import BoundHandlers, HandlerTable
from coachman.unix.channel import MessageChannel
from coachman.unix.signals import Disposition, SavedSignals, changed_signals


class ServerSide:
    """The half of an `AbstractServer` that runs in the server process, whoever made that process."""

    _declared: ClassVar = HandlerTable()
    _handlers: HandlerTable
    _bound: BoundHandlers | None = None
    _client: MessageChannel | None = None
    _done = False
    # A message is being handled: behind that the loop looks whether it is done, before it waits again.
    _handling = False
    _interruptible = False
    # Where this process is the server's alone: the signals that are not as a process finds them at its start.
    _changed_signals: Sequence[int] | None = None
    # Those that are somebody else's, who has handlers for them: they stay so, but where this defines its own.
    _left_signals: frozenset[int] = frozenset()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Not `__init__`, which a subclass may fail to call and unpickling does not call."""
        self = super().__new__(cls)
        self._handlers = cls._declared.copy()
        return self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Look at the decorators once, not for every server."""
        super().__init_subclass__(**kwargs)
        cls._declared = HandlerTable.of_class(cls)

    def initialize_server(self) -> None:
        """Prepare, in the server process, before the main loop."""

    def finalize_server(self) -> None:
        """Clean up, in the server process, after the main loop: always, once `initialize_server` is done.

        SIGTERM and SIGINT do not interrupt it; SIGKILL comes at the end of the ladder of `stop`.
        """

    def main_loop(self) -> None:
        """Serve until `done`, or until the client is gone.

        May be overridden by a server that waits for more than its client: register `client.fileno()` for
        reading, call `dispatch_pending` when it is readable, return once `done` is true.
        """
        client = self.client
        while not self._done:
            message = client.read()
            if message is None:
                self._done = True
            elif not self._done:  # a signal's handler may have quit meanwhile
                self._dispatch(message)

    def dispatch_pending(self) -> None:
        """Handle every message that is here already, without waiting; sets `done` when the client is gone.

        For a `main_loop` of one's own. What is here of an incomplete message stays until the rest comes.
        """
        client = self.client
        while not self._done:
            try:
                message = client.read(timeout=0)
            except ChannelTimeout:
                return
            if message is None:
                self._done = True
                return
            self._dispatch(message)

    @property
    def client(self) -> MessageChannel:
        """The channel to the client, in the server process. `RuntimeError` elsewhere."""
        if self._client is None:
            raise RuntimeError("only the server process has a client; here, in its parent, there is .server")
        return self._client

    def send_to_client(self, name: Element, *args: Element, timeout: float | None = None) -> None:
        """Send a message to the client. Raises what `MessageChannel.write` raises."""
        self.client.write(name, *args, timeout=timeout)

    @property
    def done(self) -> bool:
        """Whether the main loop is to end: after `quit_main`, SIGTERM, SIGINT, or when the client is gone."""
        return self._done

    def quit_main(self) -> None:
        """Let the main loop end after the message that is being handled.

        May be called from handlers of messages and of signals, and from any thread of the server process.
        """
        self._done = True
        client = self._client
        if client is not None and not self._handling:
            # A signal's handler, or another thread, while the loop waits or is about to: the stream ends, and
            # the client's descriptor is readable, in case the loop waits for that.
            with suppress(OSError):
                client.end_reading()

    def start_synchronously(self, sock: socket.socket) -> None:
        """Serve in this process, with the client at the other end of `sock`, until the main loop ends.

        Takes over `sock`. Returns after the end of the stream, `quit_main`, SIGTERM or SIGINT; raises what a
        hook or a handler raised, `UnknownMessage`, or what the client did to the protocol. All hooks but
        `before_fork` are called. In the main thread, signals are the server's meanwhile; in another one they
        are left alone.
        """
        self._client = client = MessageChannel(sock)
        self._bound = BoundHandlers(self, self._handlers)
        self._done = False
        signals = SavedSignals()
        try:
            self._interruptible = True
            self._take_signals(signals, self._bound)
            self.initialize_server()
            try:
                try:
                    self.main_loop()
                finally:
                    # In a finally of its own: a signal that comes before this line is raised out of it and
                    # still goes through the hook below; none is raised into the hook.
                    self._interruptible = False
            finally:
                self.finalize_server()
        except _Quit:
            pass
        except PeerGone:
            if not client.peer_gone:  # it was the peer of another channel: the handler's failure
                raise
        finally:
            self._interruptible = False
            if self._changed_signals is None:
                signals.revert()
                client.close()
            # else about to leave. What it would revert to is the client's, in a fork; and its connection ends
            # with the process, after the last words: to a client that saw the end before, that would be a
            # slow death.
            self._client = self._bound = None

    def _dispatch(self, message: list[str]) -> None:
        assert self._bound is not None
        self._handling = True
        try:
            self._bound.dispatch(message)
        finally:
            self._handling = False

    def _take_signals(self, signals: SavedSignals, handlers: BoundHandlers) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        wanted: dict[int, Disposition] = {
            signal.SIGHUP: signal.SIG_IGN,
            signal.SIGTERM: self._quit_upon_signal,
            signal.SIGINT: self._quit_upon_signal,
        }
        for number in self._left_signals:
            wanted.pop(number, None)
        for number in self._handlers.signals:
            wanted[number] = handlers.for_signal(number)
        changed = changed_signals() if self._changed_signals is None else self._changed_signals
        signals.take_over(wanted, [number for number in changed if number not in self._left_signals])
        signals.unblock_all()

    def _quit_upon_signal(self, *_: object) -> None:
        self._done = True
        if self._interruptible:
            self._interruptible = False
            raise _Quit


class _Quit(BaseException):
    """Raised by SIGTERM and SIGINT to leave the main loop, whatever it is doing."""
