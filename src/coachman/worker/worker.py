"""The worker: an AbstractServer whose client is the supervisor, with an engine that serves requests."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from coachman.errors import ChannelError
from coachman.protocol import control
from coachman.protocol.scoreboard import AWAITED, HEARTBEAT
from coachman.server.abstract_server import AbstractServer
from coachman.unix.handoff import LANES, HandoffQueue
from coachman.unix.scoreboard import Scoreboard
from coachman.worker.engine_contract import Engine
from coachman.worker.handoff import Handoff
from coachman.worker.inspector import Inspector
from coachman.worker.orphan_guard import OrphanGuard
from coachman.worker.stacks import SIGNAL as STACKS_SIGNAL

READ_SIZE = 64 * 1024


@contextmanager
def _waking_upon_signals(fd: int) -> Iterator[None]:
    """Have a byte written to `fd` upon every signal that has a handler.

    Without it, a signal that comes between the interpreter's last look and epoll_wait(2) is handled when
    something else wakes the loop.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no signal is handled here
        return
    before = signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)


class Worker(AbstractServer):
    """Serves requests with `engine` until the supervisor has it drained, or is gone.

    `on_listening` is called with the address of the first listening socket, once connections are accepted.
    Upon SIGTERM it drains for `drain_timeout` seconds at most. So it does once the supervisor is gone, when
    `guard` bounds its life as well.
    `output` are read ends of the pipes that this process prints to; nobody else reads them then.
    """

    def __init__(
        self,
        engine: Engine,
        on_listening: Callable[[str], None],
        *,
        inspector: Inspector | None = None,
        guard: OrphanGuard,
        output: Sequence[int],
        drain_timeout: float,
        applications_signals: frozenset[int] = frozenset(),
    ) -> None:
        """`applications_signals`: those for which the application has handlers already."""
        self._engine = engine
        self._inspector = inspector
        self._telling = threading.Lock()
        """Held while this thread or another one writes to the supervisor."""
        self._guard = guard
        self._output = output
        self._drain_timeout = drain_timeout
        self._scoreboard: Scoreboard | None = None
        self._slot = 0
        self._handoff: Handoff | None = None
        self._on_listening: Callable[[str], None] | None = on_listening
        self.stuck = False
        """Once it has ended: whether the application still keeps threads busy, for which nobody will wait."""
        self.define_message_handler(control.LIFELINE, "depend_on_lifeline")
        self.define_message_handler(control.SCOREBOARD, "join_scoreboard")
        self.define_message_handler(control.HANDOFF, "join_handoff")
        self.define_message_handler(control.LISTEN, "listen")
        self.define_message_handler(control.DRAIN, "drain")
        self.define_message_handler(control.PING, "pong")
        self.define_signal_handler(signal.SIGTERM, "drain_upon_signal")
        self._left_signals = applications_signals
        if signal.SIGINT not in applications_signals:
            # Ctrl-C in a terminal is for the supervisor, which tells us what to do about it.
            self.define_signal_handler(signal.SIGINT, signal.SIG_IGN)
        if inspector is not None:
            self.define_signal_handler(STACKS_SIGNAL, inspector.report_upon_signal)

    def initialize_server(self) -> None:
        """Be ready to tell where the threads are."""
        if self._inspector is not None:
            self._inspector.start(self.tell)

    def main_loop(self) -> None:
        """Run the engine, with the control channel as one of the things it waits for."""
        engine, channel = self._engine, self.client.fileno()
        engine.add_reader(channel, self._on_control)
        with _waking_upon_signals(engine.wakeup_fd):
            finished = engine.run()
        if not self.done:
            engine.remove_reader(channel)
            self.tell((control.DRAINED, "yes" if finished else "no"))

    def finalize_server(self) -> None:
        """Close what the engine still has."""
        if self._inspector is not None:
            self._inspector.close()
        self.stuck = not self._engine.close()
        if self.stuck:
            return  # the application's threads still have all of it
        if self._handoff is not None:
            self._handoff.close()
        if self._scoreboard is not None:
            self._engine.cells.release()
            self._scoreboard.close()

    def join_scoreboard(self, slot: str) -> None:
        """Write to a slot of the scoreboard, whose descriptor follows the message."""
        fd = self.client.recv_io(negotiate=False)
        if fd is not None:
            self._scoreboard = Scoreboard(fd)
            self._slot = int(slot)
            self._engine.cells = self._scoreboard.cells(self._slot)
            self._engine.cells[HEARTBEAT] = time.monotonic_ns()  # from now on, silence means something
            self._engine.on_connection = self._note_connection

    def join_handoff(self) -> None:
        """Share connections with the siblings, through the descriptors that follow the message."""
        received = [self.client.recv_io(negotiate=False) for _ in range(2 * LANES)]
        descriptors = [fd for fd in received if fd is not None]
        if len(descriptors) == len(received):
            assert self._scoreboard is not None, "the scoreboard comes first"
            self._handoff = Handoff(HandoffQueue(descriptors), self._scoreboard, self._slot)
            self._engine.join_handoff(self._handoff)

    def depend_on_lifeline(self) -> None:
        """Live as long as the lifeline that follows the message. It comes before anything is in hand."""
        fd = self.client.recv_io(negotiate=False)
        if fd is not None:
            self._guard.give_time(fd)

    def listen(self, address: str) -> None:
        """Accept on the listening socket that follows the message."""
        fd = self.client.recv_io(negotiate=False)
        if fd is None:
            return  # the end of the stream, which the main loop sees as well
        self._engine.add_listener(socket.socket(fileno=fd))
        on_listening, self._on_listening = self._on_listening, None
        if on_listening is not None:
            on_listening(address)

    def drain(self, seconds: str, connections: str) -> None:
        """Finish what is in hand, for so many seconds at most, and end."""
        self._drain(float(seconds), hand_over=connections == control.HANDOVER)

    def pong(self) -> None:
        """Show that the loop turns."""
        self._engine.cells[HEARTBEAT] = time.monotonic_ns()
        self.tell((control.PONG,))

    def _note_connection(self) -> None:
        cells = self._engine.cells
        if cells[AWAITED]:
            cells[AWAITED] = 0
            with suppress(ChannelError):  # nobody is left who would want to know
                self.tell((control.CONNECTED,))

    def drain_upon_signal(self) -> None:
        """Drain; the signal may have come in the middle of anything, so the loop does it.

        The supervisor puts another worker in this one's place, for which connections wait in the queue.
        """
        self._engine.call_soon(lambda: self._drain(self._drain_timeout, hand_over=True))

    def _drain(self, seconds: float, *, hand_over: bool) -> None:
        self._engine.drain(seconds, hand_over=hand_over)
        with suppress(ChannelError):  # nobody is left who would want to know
            self.tell((control.DRAINING,))

    def tell(self, message: tuple[str, ...], details: bytes | None = None) -> None:
        """Send the supervisor a message, and `details` as a scalar behind it. May be called by any thread.

        Raises what `MessageChannel.write` raises.
        """
        with self._telling:
            self.client.write(*message)
            if details is not None:
                self.client.write_scalar(details)

    def _on_control(self) -> None:
        self.dispatch_pending()
        if self.done:
            self._engine.remove_reader(self.client.fileno())
            for fd in self._output:
                self._engine.add_reader(fd, partial(self._discard, fd))
            self._engine.drain(self._drain_timeout)

    def _discard(self, fd: int) -> None:
        """Empty a pipe that nobody else reads, or whoever prints would wait for ever once it is full."""
        with suppress(BlockingIOError):
            if not os.read(fd, READ_SIZE):
                self._engine.remove_reader(fd)
