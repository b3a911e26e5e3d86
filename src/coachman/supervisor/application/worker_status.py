"""What `coachman status` says of a worker."""

from __future__ import annotations

from coachman.protocol.scoreboard import SlotView
from coachman.protocol.status import WorkerStatus
from coachman.supervisor.process.worker_process import WorkerProcess
from coachman.unix.process_usage import cpu_seconds


def worker_status(
    worker: WorkerProcess, view: SlotView, memory: int | None, now: float, *, measured: bool = True
) -> WorkerStatus:
    """Return the state of `worker`, whose slot of the scoreboard says `view`; `now` in monotonic seconds.

    `measured`: with the processor time that the process has used, which takes the kernel a while to find out.
    """
    return WorkerStatus(
        slot=worker.slot,
        pid=worker.pid,
        generation=worker.generation,
        state=worker.state.name.lower(),
        age=worker.age,
        requests=view.counters.requests,
        in_flight=view.in_flight,
        waiting=view.waiting,
        connections=view.connections,
        oldest_request=None if view.oldest_start is None else max(0.0, now - view.oldest_start),
        request_line=view.request_line.decode(errors="backslashreplace"),
        memory=memory,
        cpu_seconds=cpu_seconds(worker.pid) if measured else None,
    )
