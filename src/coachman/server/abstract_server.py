"""AbstractServer: a server in a child process that has exactly one client, the process that started it."""

from __future__ import annotations

import signal
import socket
import time
import warnings
from types import TracebackType
from typing import ClassVar, Literal, Self, TypeAlias

from coachman.errors import (
    LocalProtocolError,
    MessageCut,
    PeerGone,
    ServerAlreadyStarted,
    ServerError,
    ServerNotStarted,
)
from coachman.protocol.messages import Element
from coachman.server.forking import fork_server
from coachman.server.handlers import Handler, check_handler
from coachman.server.last_words import LastWords
from coachman.server.server_side import ServerSide
from coachman.server.spawning import spawn_server
from coachman.server.stopping import CLOSE_WAIT, TERM_WAIT, end_process
from coachman.unix.channel import MessageChannel
from coachman.unix.processes import ChildProcess, Ending
from coachman.unix.signals import signal_number

StartMethod: TypeAlias = Literal["fork", "spawn"]


class AbstractServer(ServerSide):
    """The base of a server with exactly one client, to which it talks in discrete messages.

    It ends when the connection to its client does. A subclass defines handlers for messages and signals, in
    `__init__` or with decorators, and methods that talk to the running server. `start` runs it in a child
    process, `stop` ends it; a `with` block does both. The whole contract is in `docs/library.md`.
    """

    start_method: ClassVar[StartMethod] = "fork"

    _process: ChildProcess | None = None
    _channel: MessageChannel | None = None
    _words: LastWords | None = None
    # The call that ran out of time before its reply came.
    _due: tuple[Element, ...] | None = None

    def before_fork(self) -> None:
        """Do something in the parent just before it forks. An error here is the error of `start`."""

    def define_message_handler(self, name: str, handler: Handler) -> None:
        """Have the message `name` handled by a method (by its name) or a callable; its arguments are `str`.

        `RuntimeError` in the parent of a running server, whose handlers are its own by now.
        """
        self._refuse_while_started("message handler", name)
        check_handler(self, handler)
        self._handlers.messages[name] = handler
        if self._bound is not None:
            self._bound.forget(name)

    def define_signal_handler(self, which: int | str, handler: Handler | signal.Handlers) -> None:
        """Have a signal handled, in the server process, by a method (by its name), a callable or SIG_IGN.

        It is called with as many of (number, frame) as it takes, between two instructions of whatever runs
        then; what it raises is raised there. It takes the place of what the server would do itself: quit upon
        SIGTERM and SIGINT, ignore SIGHUP. `RuntimeError` while the server runs.
        """
        number = signal_number(which)
        self._refuse_while_started("signal handler", str(which))
        if self._bound is not None:
            raise RuntimeError("signal handlers are installed when the server starts: define them before")
        if not isinstance(handler, signal.Handlers):
            check_handler(self, handler)
        self._handlers.signals[number] = handler

    @property
    def started(self) -> bool:
        """Whether the server runs; false once it has ended, for whatever reason."""
        return self._process is not None and self._process.wait(timeout=0) is None

    @property
    def server_pid(self) -> int | None:
        """The server's process id; None when it is not started."""
        return self._process.pid if self._process is not None and self.started else None

    @property
    def server(self) -> MessageChannel:
        """The channel to the server; it stays this object's. `ServerNotStarted` unless started."""
        if self._channel is None:
            raise ServerNotStarted(f"{type(self).__name__} has not been started: call start() first")
        return self._channel

    def start(self, method: StartMethod | None = None) -> None:
        """Start the server in a child process; return without waiting for it.

        `method` is "fork" (the server is a copy of this object as it is now) or "spawn" (a fresh interpreter,
        to which this object is sent, pickled); by default the class's `start_method`.

        Raises `ServerAlreadyStarted`, whatever `before_fork` or pickling raises, and `OSError` if there is no
        process or descriptor left. A server that has ended by itself is started again.
        """
        if self.started:
            raise ServerAlreadyStarted(f"{type(self).__name__} is already started, as {self.server_pid}")
        self._let_go()
        fork = _is_fork(method or self.start_method)
        ours, theirs = socket.socketpair()
        try:
            self.before_fork()
            self._process, self._words = (fork_server if fork else spawn_server)(self, ours, theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._channel = MessageChannel(ours)

    def stop(self, close_wait: float = CLOSE_WAIT, term_wait: float = TERM_WAIT) -> Ending:
        """End the server and return how it ended; when this returns, it is reaped and all is closed.

        Closes the connection, upon which the server quits; `close_wait` seconds later sends SIGTERM;
        `term_wait` seconds later SIGKILL. Raises `ServerNotStarted`. Interrupted by Ctrl-C, or whatever a
        signal's handler raises, it can be called again.
        """
        if self._process is None:
            raise ServerNotStarted(f"{type(self).__name__} is not started")
        if self._channel is not None:
            self._channel.close()
        ending = end_process(self._process, close_wait, term_wait)
        self._let_go()
        return ending

    def send_to_server(self, name: Element, *args: Element, timeout: float | None = None) -> None:
        """Send a message. `ServerError` if the server has ended; else what `MessageChannel.write` raises."""
        try:
            self.server.write(name, *args, timeout=timeout)
        except PeerGone as error:
            raise self._ended() from error

    def recv_from_server(self, timeout: float | None = None) -> list[str]:
        """Receive a message. `ServerError` if the server has ended, or what `MessageChannel.read` raises."""
        try:
            message = self.server.read(timeout)
        except MessageCut as error:
            raise self._ended() from error
        if message is None:
            raise self._ended()
        self._due = None
        return message

    def call(self, name: Element, *args: Element, timeout: float | None = None) -> list[str]:
        """Send a message and return the reply, a whole message. Raises what sending and receiving raise.

        After a `ChannelTimeout` the reply is still due: the same call again waits for it without sending
        twice. Any other call is refused with `LocalProtocolError`, because it would get the wrong reply.
        """
        request = (name, *args)
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._due is None:
            self.send_to_server(name, *args, timeout=timeout)
            self._due = request
        elif self._due != request:
            raise LocalProtocolError(
                f"the reply to {self._due[0]!r} is still due: repeat that call, or call recv_from_server()"
            )
        return self.recv_from_server(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def __enter__(self) -> Self:
        """Start the server unless it runs."""
        if not self.started:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the server unless it has ended."""
        if self._process is not None:
            self.stop()

    def __del__(self) -> None:
        """Say that the server was forgotten. It ends, as its connection is closed now; nobody reaps it."""
        if self._process is not None:
            warnings.warn(
                f"{type(self).__name__}, process {self._process.pid}, was not stopped",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
            self._words = None  # it may still leave some
            self._let_go()

    def _refuse_while_started(self, what: str, name: str) -> None:
        if self._process is not None and self.started:
            raise RuntimeError(
                f"the {what} for {name} comes too late: the server runs, with the handlers it had"
            )

    def _ended(self) -> ServerError:
        """Reap the server, whose connection has ended, and return the error that says how it ended."""
        assert self._process is not None
        assert self._words is not None
        if self._channel is not None:
            self._channel.close()
        ending = end_process(self._process, CLOSE_WAIT, TERM_WAIT)
        error = ServerError(type(self).__name__, self._process.pid, ending, self._words.read())
        self._let_go()
        return error

    def _let_go(self) -> None:
        """Close what belonged to a server that is no more."""
        channel, process, words = self._channel, self._process, self._words
        self._channel = self._process = self._words = self._due = None
        for owned in (channel, process, words):
            if owned is not None:
                owned.close()


def _is_fork(method: str) -> bool:
    if method not in ("fork", "spawn"):
        raise ValueError(f"a server starts by 'fork' or 'spawn', not by {method!r}")
    return method == "fork"
