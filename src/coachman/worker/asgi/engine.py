"""The loop of an ASGI worker: uvloop's where there is one, else asyncio's own."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from coachman.config.model import WorkerConfig
from coachman.policy.draining import DrainPlan, drain_plan
from coachman.protocol.scoreboard import ACCEPTED, HANDED_OVER, TAKEN_OVER
from coachman.worker.asgi.accepting import Accepting
from coachman.worker.asgi.adapter import protocol_factory
from coachman.worker.asgi.context import Context
from coachman.worker.asgi.lifespan import Application, Lifespan
from coachman.worker.complaints import complain
from coachman.worker.handoff import Handoff, NoDescriptorLeft, passport_of

if TYPE_CHECKING:
    from coachman.worker.access_log import AccessLog
    from coachman.worker.services import Services

PAUSE_SECONDS = 0.2
"""How long taking connections rests where descriptors have run out."""

CLEANING_SECONDS = 1.0
"""How long what is cancelled at the end may take to clean up."""


class AsgiEngine:
    """Serves an ASGI `application`: an `Engine` of coachman.worker.engine_contract.

    It makes the event loop, so it is made in the process that serves and never before a fork.
    """

    def __init__(self, application: Application, config: WorkerConfig) -> None:
        self.loop = _event_loop()
        """What everything here runs in."""
        self._context = Context(application, config, self.loop)
        self._context.on_change = self._note_change
        self._lifespan = Lifespan(application)
        self._handoff: Handoff | None = None
        self._accepting = Accepting(self.loop, self._take)
        self._factory = protocol_factory(self._context, self._lifespan.state)
        self._connecting: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._plan: DrainPlan | None = None
        self._failure: BaseException | None = None
        """What a reader has raised."""
        self._finished = True
        # A pipe of our own: asyncio's has no name, and uvloop has one only while it runs in the main thread.
        self._wakeup, self.wakeup_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.loop.add_reader(self._wakeup, self._empty_wakeup)

    @property
    def cells(self) -> memoryview[int]:
        """The slot of the scoreboard that is written to."""
        return self._context.board.cells

    @cells.setter
    def cells(self, cells: memoryview[int]) -> None:
        self._context.board.use(cells)

    # What the worker calls.

    def prepare(self) -> None:
        """Run the application's lifespan startup; raise what it fails with."""
        error = self.loop.run_until_complete(self._lifespan.startup())
        if error is not None:
            raise error

    def use_services(self, services: Services) -> None:
        """Serve with `services`, which stay the caller's."""
        # Here, because a worker without services does without the modules as well.
        from coachman.worker.asgi.serviced import ServicedApplication

        self._context.application = ServicedApplication(self._context.application, services)
        access_log = services.access_log
        if access_log is not None:
            access_log.on_stuck = lambda: self.call_soon(lambda: self._write_on(access_log))

    def add_listener(self, listener: socket.socket) -> None:
        """Accept on `listener`; the engine closes it when it drains."""
        self._accepting.add(listener)

    def add_reader(self, fd: int, on_readable: Callable[[], None]) -> None:
        """Call `on_readable` whenever `fd` can be read; what it raises ends `run`."""

        def call() -> None:
            try:
                on_readable()
            except BaseException as error:  # an event loop would log it and go on
                self._failure = error
                self._changed.set()

        self.loop.add_reader(fd, call)

    def remove_reader(self, fd: int) -> None:
        """Forget `fd`."""
        self.loop.remove_reader(fd)

    def call_soon(self, function: Callable[[], None]) -> None:
        """Have the loop call `function`."""
        with suppress(RuntimeError):  # closed: there is nothing left to do
            self.loop.call_soon_threadsafe(function)

    def join_handoff(self, handoff: Handoff) -> None:
        """Take connections from `handoff`, and give them there when draining."""
        self._handoff = handoff
        self.loop.add_reader(handoff.take_fd, self._on_takeable)
        handoff.announce(True)

    def drain(self, seconds: float, *, hand_over: bool = False) -> None:
        """Accept no more, finish what is in hand, run the lifespan shutdown, and end `run`."""
        handoff = self._handoff
        if handoff is not None and not self._context.draining:
            self.loop.remove_reader(handoff.take_fd)
            handoff.announce(False)
        # What a proxy has said by the PROXY protocol would be lost on the way.
        if handoff is not None and hand_over and not self._context.proxy_protocol:
            self.hand_over_with(self._put)
        elif handoff is not None:
            self._context.hand_over = None
        plan = drain_plan(self.loop.time(), seconds)
        if self._plan is None or plan.deadline < self._plan.deadline:
            self._plan = plan
        self._accepting.close()
        if not self._context.draining:
            self._context.draining = True
            for client in list(self._context.clients):
                client.drain()
        self._changed.set()

    def run(self) -> bool:
        """Serve until drained."""
        self.loop.run_until_complete(self._serve())
        if self._failure is not None:
            raise self._failure
        return self._finished

    def close(self) -> bool:
        """Close everything. False where requests were given up: their threads may be busy for ever."""
        self._accepting.close()
        for client in list(self._context.clients):
            client.give_up()
        self.loop.run_until_complete(self._clean_up())
        self._context.close()
        self.loop.remove_reader(self._wakeup)
        self.loop.close()
        os.close(self._wakeup)
        os.close(self.wakeup_fd)
        return self._finished

    # The loop's own.

    async def _serve(self) -> None:
        await self._while(lambda: self._plan is None)
        if self._plan is None:
            return  # a reader has failed
        await self._while(lambda: self._busy, until=lambda plan: plan.farewell_at)
        for client in list(self._context.clients):
            client.say_farewell()
        await self._while(lambda: self._busy, until=lambda plan: plan.give_up_at)
        if self._busy:
            self._finished = False
            await self._give_up()
        await self._shut_down()

    @property
    def _busy(self) -> bool:
        return bool(self._context.clients or self._context.tasks or self._connecting)

    async def _while(
        self, condition: Callable[[], bool], until: Callable[[DrainPlan], float] | None = None
    ) -> None:
        """Wait as long as `condition` holds and the moment of the plan, which may change, has not come."""
        while condition() and self._failure is None:
            timer = None
            if until is not None and self._plan is not None:
                moment = until(self._plan)
                if self.loop.time() >= moment:
                    return
                timer = self.loop.call_at(moment, self._changed.set)
            await self._changed.wait()
            self._changed.clear()
            if timer is not None:
                timer.cancel()

    async def _give_up(self) -> None:
        """Close every connection, and cancel the calls that do not end upon that."""
        for client in list(self._context.clients):
            client.give_up()
        # Applications that wait for the end of their connection are to hear of it before they are cancelled.
        half = self.loop.time() + self._time_left() / 2
        await self._while(lambda: bool(self._context.clients), until=lambda _: half)
        for _ in range(2):
            await asyncio.sleep(0)
        tasks = [*self._context.tasks, *self._connecting]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._time_left() / 2)

    async def _shut_down(self) -> None:
        shutdown = asyncio.create_task(self._lifespan.shutdown())
        _, late = await asyncio.wait([shutdown], timeout=self._time_left())
        if late:
            self._finished = False
            complain("the application's lifespan shutdown did not end in time")
            shutdown.cancel()

    def _time_left(self) -> float:
        return max(0.0, self._plan.deadline - self.loop.time()) if self._plan is not None else 0.0

    async def _clean_up(self) -> None:
        """Cancel what is left, as asyncio.run() does, but without waiting for threads."""
        await self._lifespan.end()
        own = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not own]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=CLEANING_SECONDS)
        for task in left:
            if task.done() and not task.cancelled():
                task.exception()  # or asyncio complains that nobody has looked at it
        with suppress(TimeoutError):
            await asyncio.wait_for(self.loop.shutdown_asyncgens(), CLEANING_SECONDS)

    def _take(self, sock: socket.socket) -> None:
        """Serve a connection that was just accepted."""
        self._context.board.add(ACCEPTED)
        self.adopt(sock)

    def hand_over_with(self, hand_over: Callable[[socket.socket, int], bool]) -> None:
        """Give connections to other workers by `hand_over` when draining, instead of closing them.

        It is called with a socket, which stays the engine's, and the number of requests that were answered
        on it; it returns whether somebody else has the connection now.
        """
        self._context.hand_over = hand_over

    def _put(self, sock: socket.socket, served: int) -> bool:
        assert self._handoff is not None
        put = self._handoff.put(sock, passport_of(sock, served))
        if put:
            self._context.board.add(HANDED_OVER)
        return put

    def _on_takeable(self) -> None:
        handoff = self._handoff
        assert handoff is not None
        try:
            taken = handoff.take()
        except NoDescriptorLeft as error:
            complain(f"cannot take connections for now: {error}")
            self.loop.remove_reader(handoff.take_fd)
            self.loop.call_later(PAUSE_SECONDS, self._look_into_queue)
            return
        if taken is not None:
            sock, passport = taken
            self._context.board.add(TAKEN_OVER)
            self.adopt(sock, passport.served)

    def _look_into_queue(self) -> None:
        if self._handoff is not None and not self._context.draining:
            self.loop.add_reader(self._handoff.take_fd, self._on_takeable)

    def adopt(self, sock: socket.socket, served: int = 0) -> None:
        """Serve a connection, which is taken over, and on which `served` requests have been answered.

        In the thread of `run` only.
        """
        task = self.loop.create_task(self._connect(sock, served))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        if not self._has_room():
            self._accepting.rest()

    async def _connect(self, sock: socket.socket, served: int) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: self._factory(served), sock)
        except (OSError, asyncio.CancelledError):  # the peer is gone already
            sock.close()
        self._note_change()

    def _has_room(self) -> bool:
        limit = self._context.bounds.connections
        return not limit or len(self._context.clients) + len(self._connecting) < limit

    def _note_change(self) -> None:
        if self._context.draining:
            self._changed.set()
        elif self._has_room():
            self._accepting.go_on()

    def _write_on(self, access_log: AccessLog) -> None:
        """Have what is left of the access log written when its pipe takes more."""

        def write() -> None:
            if access_log.flush():
                self.loop.remove_writer(access_log.fd)

        self.loop.add_writer(access_log.fd, write)

    def _empty_wakeup(self) -> None:
        os.read(self._wakeup, 4096)


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # no wheel for this system, or not CPython
        return asyncio.SelectorEventLoop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
