"""`Application`, as the control socket and the signals use it."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from coachman.config.addresses import TcpAddress
from coachman.config.model import ProcessCount
from coachman.errors import ConfigurationError
from coachman.policy.lifecycle import State
from coachman.protocol.health import readiness
from coachman.protocol.supervisor_half import Ready
from coachman.supervisor.application.application import Application
from coachman.supervisor.application.limit_watch import LimitWatch
from coachman.supervisor.application.worker_source import WorkerSource
from coachman.supervisor.failures.failure import StartFailed
from coachman.supervisor.process.application_process import first_of
from coachman.supervisor.process.worker_process import WorkerProcess
from coachman.unix.processes import Ending

from ..end_to_end.applications import HELLO, write_application
from .observed import application

BROKEN = "raise RuntimeError('half deployed')"


async def ask(application: Application) -> bytes:
    address = application.listeners[0].address
    assert isinstance(address, TcpAddress)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def test_a_restart_says_what_came_of_it(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            done = await served.restart("a test")
            assert (done.outcome, done.generation, done.cause, done.reason) == ("done", 2, "a test", "")
            assert (done.took or 0) > 0
            assert served.status().last_restart == done
            assert served.status().totals.replacements == {"restart": 1}

            write_application(tmp_path, BROKEN)
            failed = await served.restart("another")
            assert (failed.outcome, failed.generation) == ("failed", 3)
            assert "half deployed" in failed.reason
            status = served.status()
            assert (status.generation, status.ready) == (2, 1)
            assert "half deployed" in status.problem
            assert status.totals.failed_spawns == 1

            write_application(tmp_path, HELLO)
            assert (await served.restart("the last")).outcome == "done"
            assert served.status().problem == ""

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_of_several_restarts_the_newest_wins(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            outcomes = await asyncio.gather(*(served.restart(str(number)) for number in range(4)))
            assert [status.outcome for status in outcomes] == [*["superseded"] * 3, "done"]
            assert served.status().generation == outcomes[-1].generation == 5
            assert {worker.generation for worker in served.status().workers if worker.state == "ready"} == {5}

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_old_workers_stay_until_each_is_replaced_however_often_that_fails(tmp_path: Path) -> None:
    only_once = """
    import os
    os.open("started", os.O_CREAT | os.O_EXCL)
    """

    async def use() -> None:
        async with application(tmp_path, processes=ProcessCount(2, 2)) as served:
            await served.start()
            await served.until(lambda status: status.ready == 2)
            write_application(tmp_path, only_once, HELLO)
            restarting = asyncio.create_task(served.restart("a test"))
            await served.until(lambda status: status.totals.failed_spawns >= 2)
            workers = served.status().workers
            assert {worker.generation for worker in workers if worker.state == "ready"} == {1, 2}
            assert served.status().ready == 2
            write_application(tmp_path, HELLO)
            assert (await restarting).outcome == "done"

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_a_restart_does_not_wait_for_a_start_that_would_only_replace_a_worker_that_serves(
    tmp_path: Path,
) -> None:
    only_once = """
    import os, signal
    try:
        os.open("started", os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        open("stuck", "w").close()
        signal.pause()
    """

    async def use() -> None:
        async with application(tmp_path, processes=ProcessCount(2, 2)) as served:
            await served.start()
            await served.until(lambda status: status.ready == 2)
            write_application(tmp_path, only_once, HELLO)
            superseded = asyncio.create_task(served.restart("one that gets stuck half-way"))
            await asyncio.to_thread((tmp_path / "stuck").read_bytes)
            there = sorted((worker.generation, worker.state) for worker in served.status().workers)
            assert there == [(1, "ready"), (2, "ready"), (2, "spawning")]
            write_application(tmp_path, HELLO)
            async with asyncio.timeout(60):  # less than the stuck one may take to start
                assert (await served.restart("a test")).outcome == "done"
            assert (await superseded).outcome == "superseded"
            assert {worker.generation for worker in served.status().workers if worker.state == "ready"} == {3}
            assert served.status().totals.failed_spawns == 0

    os.mkfifo(tmp_path / "stuck")
    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_clients_wait_for_a_worker_of_the_old_code_after_a_restart_has_failed(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            write_application(tmp_path, BROKEN)
            assert (await served.restart("a test")).outcome == "failed"
            write_application(tmp_path, HELLO)
            (worker,) = served.status().workers
            os.kill(worker.pid, signal.SIGKILL)
            await served.until(lambda status: status.ready == 0)
            assert (await ask(served)).endswith(b"hello")
            assert served.status().totals.shed == 0
            assert served.status().totals.failed_spawns == 1
            assert "half deployed" in served.status().problem

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_code_that_never_finishes_loading_is_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = WorkerProcess.start

    async def start_with_little_time(worker: WorkerProcess, timeout: float) -> Ready:
        return await start(worker, timeout if worker.generation == 1 else 0.5)

    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            monkeypatch.setattr(WorkerProcess, "start", start_with_little_time)
            write_application(tmp_path, "import signal\nsignal.pause()")
            status = await served.restart("a test")
            assert status.outcome == "failed"
            assert "not ready in time" in status.reason
            assert (await ask(served)).endswith(b"hello")

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_a_lack_of_descriptors_is_waited_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_descriptor(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            (worker,) = served.status().workers
            with monkeypatch.context() as patched:
                patched.setattr(WorkerSource, "worker", no_descriptor)
                os.kill(worker.pid, signal.SIGKILL)
                await served.until(lambda status: status.totals.failed_spawns >= 2)
                assert "Too many open files" in served.status().problem
            await served.until(lambda status: status.ready == 1)

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_a_mistake_of_ours_is_seen_and_repeated_with_pauses_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def mistaken(*_: object) -> None:
        raise ValueError("nobody has thought of this")

    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            (worker,) = served.status().workers
            with monkeypatch.context() as patched:
                patched.setattr(WorkerSource, "worker", mistaken)
                os.kill(worker.pid, signal.SIGKILL)
                await served.until(lambda status: status.totals.failed_spawns == 3)
                assert served.pool.retry_after > 0
                assert "nobody has thought of this" in served.status().problem
            await served.until(lambda status: status.ready == 1)

    write_application(tmp_path, HELLO)
    asyncio.run(use())
    assert 'raise ValueError("nobody has thought of this")' in (tmp_path / "log").read_text()


def test_who_listens_nowhere_is_told_so(tmp_path: Path) -> None:
    async def use() -> None:
        with pytest.raises(ConfigurationError, match="no address to listen at"):
            async with application(tmp_path, bind=()):
                pass

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_a_restart_before_the_first_worker_is_ready_takes_its_place(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            starting = asyncio.create_task(served.start())
            await asyncio.sleep(0)
            restarted = await served.restart("a test")
            await starting
            assert restarted.outcome == "done"
            assert served.status().generation == 2

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_a_restart_of_what_is_stopped_fails(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            await served.stop()
            status = await served.restart("too late")
            assert (status.outcome, status.reason) == ("failed", "the server stops")

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_what_is_killed_is_not_replaced(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path, processes=ProcessCount(2, 2)) as served:
            await served.start()
            assert [member.state for member in served.pool.members] == [State.READY, State.SPAWNING]
            served.kill()
            await served.until(lambda _: not served.pool.members)
            assert served.status().totals.spawns == 1

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_what_only_looks_does_not_hold_up_the_drain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            (member,) = served.pool.members

            async def stop_after_the_worker(_: LimitWatch) -> None:
                assert member.process is not None
                await first_of(member.process._exited)

            with monkeypatch.context() as patched:
                patched.setattr(LimitWatch, "stop", stop_after_the_worker)
                async with asyncio.timeout(30):
                    await served.stop()

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_a_first_start_that_fails_is_the_callers_to_deal_with(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            with pytest.raises(StartFailed, match="half deployed"):
                await served.start()

    write_application(tmp_path, BROKEN)
    asyncio.run(use())


def test_one_of_several_applications_is_tried_again_and_answers_meanwhile(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start(keep_trying=True)
            assert "half deployed" in served.status().problem
            assert (await ask(served)).startswith(b"HTTP/1.1 503 ")
            assert served.status().totals.shed == 1
            write_application(tmp_path, HELLO)
            await served.until(lambda status: status.ready == 1)
            assert (await ask(served)).endswith(b"hello")
            assert served.status().problem == ""

    write_application(tmp_path, BROKEN)
    asyncio.run(use())


def test_a_restart_that_is_tried_again_and_again_is_not_waited_for(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start(keep_trying=True)
            async with asyncio.timeout(30):
                status = await served.restart("a test")
            assert (status.outcome, status.generation) == ("failed", 2)
            assert "half deployed" in status.reason
            assert served.status().last_restart == status
            write_application(tmp_path, HELLO)
            await served.until(lambda status: status.ready == 1)
            done = served.status().last_restart
            assert done is not None
            assert (done.outcome, done.generation, done.reason) == ("done", 2, "")

    write_application(tmp_path, BROKEN)
    asyncio.run(use())


def test_workers_that_keep_ending_are_a_problem_while_the_next_one_has_to_wait(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            (first,) = served.status().workers
            os.kill(first.pid, signal.SIGKILL)
            await served.until(lambda status: status.ready == 1 and status.workers[0].pid != first.pid)
            assert served.status().problem == "", "a single death is answered at once"
            (second,) = served.status().workers
            os.kill(second.pid, signal.SIGKILL)
            await served.until(lambda status: status.problem != "")
            why = f"worker 1 (pid {second.pid}) ended with SIGKILL after 0 requests"
            assert served.status().problem.startswith(
                f"workers keep ending, and the next one has to wait: {why}"
            )
            assert (
                "no worker that is ready: workers keep ending" in readiness("serving", [served.progress()])[1]
            )
            await served.until(lambda status: status.ready == 1)
            assert served.status().problem == ""

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_the_number_of_workers_can_be_changed(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            assert str(served.scale("+2")) == "3"
            await served.until(lambda status: status.ready == 3)
            served.scale("2")
            await served.until(lambda status: len(status.workers) == 2)
            assert [worker.slot for worker in served.status().workers] == [1, 2]
            assert served.status().processes == "2"
            for nonsense in ("-2", "none"):
                with pytest.raises(ConfigurationError):
                    served.scale(nonsense)
            with pytest.raises(ConfigurationError, match="has room for"):
                served.scale("900")

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_a_start_that_was_called_off_is_waited_for_when_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use() -> None:
        hangs, killed, may_end = asyncio.Future[int](), asyncio.Event(), asyncio.Event()
        start, ended = WorkerProcess.start, WorkerProcess.ended

        async def start_that_hangs(worker: WorkerProcess, timeout: float) -> Ready:
            if worker.generation == 2:
                hangs.set_result(worker.pid)
            return await start(worker, timeout)

        async def ended_when_it_may(worker: WorkerProcess) -> Ending:
            if worker.generation == 2:  # a process takes its time to go, after SIGKILL as well
                killed.set()
                await may_end.wait()
            return await ended(worker)

        monkeypatch.setattr(WorkerProcess, "start", start_that_hangs)
        monkeypatch.setattr(WorkerProcess, "ended", ended_when_it_may)
        async with application(tmp_path) as served:
            await served.start()
            write_application(tmp_path, "import signal", "signal.pause()")
            served.begin_restart("one that hangs")
            hanging = await hangs
            served.begin_restart("one that calls the first off")
            await killed.wait()
            stopping = asyncio.create_task(served.stop())
            await asyncio.wait({stopping}, timeout=1)
            assert not stopping.done()
            may_end.set()
            await stopping
            assert served.pids() == set()
            with pytest.raises(ProcessLookupError):  # reaped as well
                os.kill(hanging, 0)

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_its_state_tells_of_every_worker(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            (worker,) = served.status().workers
            assert (worker.slot, worker.generation, worker.state) == (1, 1, "ready")
            assert (worker.memory or 0) > 1_000_000
            assert (worker.cpu_seconds or 0) > 0
            assert served.pids() == {worker.pid}
            assert served.status().queue == 0
            os.kill(worker.pid, signal.SIGKILL)
            await served.until(lambda status: status.totals.replacements == {"died": 1})
            await served.until(lambda status: status.ready == 1)
            assert served.status().totals.spawns == 2

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_its_state_tells_how_many_connections_wait(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            (worker,) = served.status().workers
            os.kill(worker.pid, signal.SIGSTOP)
            _, status = os.waitpid(worker.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            listener = served.listeners[0]
            assert isinstance(listener.address, TcpAddress)
            with select.epoll() as arrivals, ExitStack() as clients:
                arrivals.register(listener.sock, select.EPOLLIN | select.EPOLLET)
                for _ in range(2):
                    address = (listener.address.host, listener.address.port)
                    clients.enter_context(socket.create_connection(address))
                    assert arrivals.poll(30), "it has not arrived"
                assert served.status().queue == 2
            os.kill(worker.pid, signal.SIGCONT)

    write_application(tmp_path, HELLO)
    asyncio.run(use())


def test_stacks_are_told_of_all_workers_or_of_one(tmp_path: Path) -> None:
    async def use() -> None:
        async with application(tmp_path) as served:
            await served.start()
            (pid,) = served.pids() or {0}
            assert "main_loop" in (await served.dump())[pid]
            assert list(await served.dump(pid)) == [pid]
            with pytest.raises(LookupError):
                await served.dump(1)

    write_application(tmp_path, HELLO)
    asyncio.run(use())
