"""The engine of an ASGI worker: it serves in an event loop until it is drained."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from coachman.config.model import WorkerConfig
from coachman.policy.death import in_hand
from coachman.policy.draining import DrainPlan, drain_plan
from coachman.policy.handing_over import hopes_until
from coachman.worker.asgi.adapter import protocol_factory
from coachman.worker.asgi.arrivals import Arrivals
from coachman.worker.asgi.context import Arrival, Context
from coachman.worker.asgi.event_loop import CLEANING_SECONDS, cancel_all_others, make_event_loop
from coachman.worker.asgi.handing_over import HandingOver
from coachman.worker.asgi.lifespan import Application, Lifespan
from coachman.worker.complaints import complain
from coachman.worker.handoff import Handoff

if TYPE_CHECKING:
    from coachman.worker.access_log import AccessLog
    from coachman.worker.services import Services


class AsgiEngine:
    """Serves an ASGI `application`: an `Engine` of coachman.worker.engine_contract.

    It makes the event loop, so it is made in the process that serves and never before a fork.
    """

    def __init__(self, application: Application, config: WorkerConfig) -> None:
        self.loop = make_event_loop()
        """What everything here runs in."""
        self._context = Context(application, config, self.loop)
        self._context.on_change = self._note_change
        self._lifespan = Lifespan(application)
        self.arrivals = Arrivals(self._context, protocol_factory(self._context, self._lifespan.state))
        self._changed = asyncio.Event()
        self._plan: DrainPlan | None = None
        self._hopeless = False
        """A queue that is full now will hardly have room for everybody before the drain is over."""
        self._failure: BaseException | None = None
        """What a reader has raised."""
        self._finished = True
        self._handoff: Handoff | None = None
        self._handing_over: HandingOver | None = None
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

    @property
    def on_connection(self) -> Callable[[], object]:
        """What is called for every connection that comes, once it is on the scoreboard."""
        return self._context.on_connection

    @on_connection.setter
    def on_connection(self, call: Callable[[], object]) -> None:
        self._context.on_connection = call

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

        context = self._context
        context.application = ServicedApplication(context.application, services, context.give_up_on)
        access_log = services.access_log
        if access_log is not None:
            self._context.access_log = access_log
            access_log.on_stuck = lambda: self.call_soon(lambda: self._write_on(access_log))

    def join_handoff(self, handoff: Handoff) -> None:
        """Share connections with the siblings."""
        self._handoff = handoff
        board = self._context.board
        self._handing_over = HandingOver(self.loop, handoff, board, self._heed_queue)
        self._context.hand_over = self._hand_over
        self._context.departures.join(handoff, board)
        self.arrivals.join(self._handing_over, handoff.take_fds)
        handoff.announce(True)

    def add_listener(self, listener: socket.socket) -> None:
        """Accept on `listener`; the engine closes it when it drains."""
        self.arrivals.add_listener(listener)

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

    def drain(self, seconds: float, *, hand_over: bool = False) -> None:
        """Take no more, finish what is in hand, run the lifespan shutdown, and end `run`."""
        now = self.loop.time()
        plan = drain_plan(now, seconds)
        if self._plan is None or plan.deadline < self._plan.deadline:
            self._plan = plan
        self.arrivals.close()
        if self._handoff is not None:
            self._handoff.announce(False)
        if not hand_over:
            self._context.hand_over = None
        self._context.draining = True
        self.loop.call_at(hopes_until(now, plan.deadline), self._end_hope)
        self._heed_queue()
        self._changed.set()

    def run(self) -> bool:
        """Serve until drained."""
        self.loop.run_until_complete(self._serve())
        if self._failure is not None:
            raise self._failure
        return self._finished

    def close(self) -> bool:
        """Close everything. False where requests were given up: their threads may be busy for ever."""
        self.arrivals.close()
        if self._handing_over is not None:
            self._handing_over.close()
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
        while True:
            await self._while(lambda: self._busy, until=lambda plan: plan.farewell_at)
            # Nobody comes after this worker: the last ones to go see to what is left in the queue.
            if self._busy or self._context.hand_over is not None or not self.arrivals.take_one():
                break
        for client in list(self._context.clients):
            client.say_farewell()
        await self._while(lambda: self._busy, until=lambda plan: plan.give_up_at)
        if self._busy or self._context.late:
            self._finished = False
            await self._give_up()
        await self._shut_down()

    @property
    def _busy(self) -> bool:
        return bool(self._context.clients or self._context.tasks or self.arrivals.connecting)

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
        # Late ones alone are given up long before the time is up, which is no reason to wait for them.
        longest = inf if self._busy else CLEANING_SECONDS
        requests, line = self._context.board.in_hand
        if self._busy and requests:
            complain(f"the time to finish is up{in_hand(requests, line)}")
        for client in list(self._context.clients):
            client.give_up()
        # Applications that wait for the end of their connection are to hear of it before they are cancelled.
        half = self.loop.time() + self._time_left() / 2
        await self._while(lambda: bool(self._context.clients), until=lambda _: half)
        for _ in range(2):
            await asyncio.sleep(0)
        tasks = [*self._context.tasks, *self._context.late, *self.arrivals.connecting]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=min(longest, self._time_left() / 2))

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
        await self._lifespan.end()
        await cancel_all_others()

    def _hand_over(self, sock: socket.socket, arrival: Arrival) -> bool:
        """Put a connection into the queue, `sock` staying the caller's; False: there is no room."""
        assert self._handing_over is not None
        self.arrivals.leave_queue_to_others()  # it is there because this loop is late, or ends
        return self._handing_over.put(sock, arrival)

    def _end_hope(self) -> None:
        self._hopeless = True
        self._heed_queue()

    def _heed_queue(self) -> None:
        """While draining: let connections go that have nothing in hand, and the others after their answer."""
        context = self._context
        if not context.draining:
            return
        moving = self._handing_over if context.hand_over is not None else None
        context.answers_are_last = moving is None or (self._hopeless and moving.full)
        for client in list(context.clients):
            if moving is not None and moving.full and not context.answers_are_last:
                return  # all others have to wait as well, however many there are
            client.drain()

    def _note_change(self) -> None:
        if self._context.draining:
            self._changed.set()
        else:
            self.arrivals.heed_room()

    def _write_on(self, access_log: AccessLog) -> None:
        """Have what is left of the access log written when its pipe takes more."""

        def write() -> None:
            if access_log.flush():
                self.loop.remove_writer(access_log.fd)

        self.loop.add_writer(access_log.fd, write)

    def _empty_wakeup(self) -> None:
        os.read(self._wakeup, 4096)
