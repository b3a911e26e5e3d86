"""The spawn methods: what is loaded once, what is forked, what the application notices of it."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Final

import pytest

from tests.faults.pidfds import Pidfds

from .applications import HELLO, ONE_PROCESS, write_application
from .coachman_serve import CoachmanServe, children
from .gate import WAIT_AT_GATE, Gate
from .raw_client import RawClient

PRELOAD: Final = ("--bind", "127.0.0.1:0", "--processes", "3", "--spawn-method", "preload")
AUTO: Final = (*PRELOAD[:-1], "auto")
DIRECT: Final = (*PRELOAD[:-1], "direct")

LOADED_BY: Final = """
import os
loaded_by = os.getpid()

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"%d %d %d" % (loaded_by, os.getpid(), os.getppid())]
"""

THREAD: Final = """
import threading
threading.Thread(target=threading.Event().wait, name="ticker", daemon=True).start()
"""

HOOKS: Final = """
import os
from coachman import hooks

@hooks.before_fork
def disconnect():
    print("before fork in", os.getpid())

@hooks.after_fork_in_worker
def connect():
    print("after fork in", os.getpid())
"""


def preloader_pid(server: CoachmanServe) -> int:
    return int(server.wait_for_output(r"the preloader \(pid (\d+)\) is ready")[1])


def ask(server: CoachmanServe) -> tuple[int, int, int]:
    """Return the process that loaded the application, the one that answers, and its parent."""
    with RawClient(server.url) as client:
        client.get()
        loaded_by, answering, parent = map(int, client.answer().body.split())
    return loaded_by, answering, parent


def test_the_application_is_loaded_once_and_its_workers_are_the_supervisors_children(tmp_path: Path) -> None:
    write_application(tmp_path, "print('loading')", LOADED_BY)
    with CoachmanServe(tmp_path, *AUTO) as server:
        workers = server.ready_workers(3)
        preloader = preloader_pid(server)
        loaded_by, answering, parent = ask(server)
        assert loaded_by == preloader
        assert answering in workers
        assert parent == server.pid
        assert server.application_pids() == {preloader, *workers}
        assert children(preloader) == set()
        assert server.stop() == 0
        assert server.outcome()[1].count("loading") == 1


def test_with_the_method_direct_every_worker_loads_the_application(tmp_path: Path) -> None:
    write_application(tmp_path, LOADED_BY)
    with CoachmanServe(tmp_path, *DIRECT) as server:
        workers = server.ready_workers(3)
        loaded_by, answering, _ = ask(server)
        assert loaded_by == answering
        assert server.application_pids() == set(workers)


@pytest.mark.parametrize("options", [PRELOAD, DIRECT], ids=["preload", "direct"])
def test_what_a_worker_prints_is_its_own(tmp_path: Path, options: tuple[str, ...]) -> None:
    write_application(
        tmp_path,
        """
        import os, sys
        print("not finished", end="")

        def application(environ, start_response):
            print("answering from", os.getpid())
            print("complaining from", os.getpid(), file=sys.stderr)
            start_response("200 OK", [])
            return []
        """,
    )
    with CoachmanServe(tmp_path, *options) as server:
        server.ready_workers(3)
        with RawClient(server.url) as client:
            client.get()
            assert client.answer().status == 200
        server.wait_for_output(r"(?m)^App (\d+) stdout: (not finished)?answering from \1$")
        server.wait_for_output(r"(?m)^App (\d+) stderr: complaining from \1$")
        assert server.stop() == 0
        assert server.outcome()[1].count("not finished") == (1 if options is PRELOAD else 3)


def test_what_waits_in_a_buffer_at_a_fork_is_printed_once(tmp_path: Path) -> None:
    write_application(tmp_path, "import sys\nsys.stdout.write('half a line')", HELLO)
    buffered = {"PYTHONUNBUFFERED": ""}
    with CoachmanServe(tmp_path, *AUTO, environment=buffered) as server:
        server.ready_workers(3)
        preloader = preloader_pid(server)
        assert server.stop() == 0
    assert re.findall(r"App (\d+) stdout: half a line", server.output()) == [str(preloader)]


def test_a_thread_makes_every_worker_load_the_application_by_itself(tmp_path: Path) -> None:
    file = write_application(tmp_path, THREAD, LOADED_BY)
    with CoachmanServe(tmp_path, *AUTO) as server:
        server.wait_for_output(
            rf"loading the application left alive: the thread 'ticker' \(from {re.escape(str(file))}:3\)"
        )
        server.wait_for_output("every worker loads the application by itself")
        workers = server.ready_workers(3)
        loaded_by, answering, _ = ask(server)
        assert loaded_by == answering
        assert set(workers) <= server.application_pids()


def test_the_method_preload_insists(tmp_path: Path) -> None:
    write_application(tmp_path, THREAD, LOADED_BY)
    with CoachmanServe(tmp_path, *PRELOAD) as server:
        server.wait_for_output("left alive: the thread 'ticker'")
        server.ready_workers(3)
        assert ask(server)[0] == preloader_pid(server)


def test_sockets_and_event_loops_are_reported_and_forbid_nothing(tmp_path: Path) -> None:
    left = "import asyncio, socket\nkept = socket.socket()\nloop = asyncio.new_event_loop()\n"
    file = write_application(tmp_path, left, LOADED_BY)
    with CoachmanServe(tmp_path, *AUTO) as server:
        server.wait_for_output(
            rf"left alive: the socket with descriptor \d+ \(from {re.escape(str(file))}:2\)"
        )
        server.wait_for_output(r"left alive: an event loop")
        server.ready_workers(3)
        assert ask(server)[0] == preloader_pid(server)


def test_hooks_run_where_they_say(tmp_path: Path) -> None:
    write_application(tmp_path, HOOKS, HELLO)
    with CoachmanServe(tmp_path, *AUTO) as server:
        workers = server.ready_workers(3)
        preloader = preloader_pid(server)
        for worker in workers:
            server.wait_for_output(rf"App {worker} stdout: after fork in {worker}\n")
        before = rf"App {preloader} stdout: before fork in {preloader}\n"
        server.wait_for_output(rf"(?s)({before}.*){{3}}")


def test_hooks_can_be_named_from_outside(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    functions = """
    import os

    def disconnect():
        print("before fork in", os.getpid())

    class Pool:
        @staticmethod
        def connect():
            print("after fork in", os.getpid())
    """
    write_application(tmp_path, functions, name="database.py")
    options = ("--before-fork", "database:disconnect", "--after-fork-in-worker", "database:Pool.connect")
    with CoachmanServe(tmp_path, *AUTO, *options) as server:
        workers = server.ready_workers(3)
        preloader = preloader_pid(server)
        server.wait_for_output(rf"App {preloader} stdout: before fork in {preloader}\n")
        for worker in workers:
            server.wait_for_output(rf"App {worker} stdout: after fork in {worker}\n")


@pytest.mark.parametrize(
    ("name", "status", "complaint"),
    [
        ("database", 2, "'database' is not of the form MODULE:FUNCTION"),
        ("nowhere:connect", 1, "the hook nowhere:connect cannot be found: No module named 'nowhere'"),
        ("wsgi.nowhere:connect", 1, "the hook wsgi.nowhere:connect cannot be found: No module named"),
        ("wsgi:connect", 1, "the hook wsgi:connect cannot be found: wsgi has no 'connect'"),
    ],
)
def test_a_hook_that_is_not_there_is_named(tmp_path: Path, name: str, status: int, complaint: str) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *AUTO, "--after-fork-in-worker", name) as server:
        ended, output = server.outcome()
    assert ended == status
    assert complaint in output
    assert "it has 'application'" not in output, "that would be no hook"


def test_without_a_fork_only_the_hook_of_the_worker_runs(tmp_path: Path) -> None:
    write_application(tmp_path, HOOKS, HELLO)
    with CoachmanServe(tmp_path, *DIRECT) as server:
        for worker in server.ready_workers(3):
            server.wait_for_output(rf"App {worker} stdout: after fork in {worker}\n")
        assert "before fork" not in server.output()


@pytest.mark.parametrize(
    ("decorator", "complaint"),
    [
        ("before_fork", r"the preloader \(pid \d+\) could not fork a worker: LookupError: no database"),
        ("after_fork_in_worker", "LookupError: no database"),
    ],
)
def test_a_hook_that_fails_fails_the_start(tmp_path: Path, decorator: str, complaint: str) -> None:
    hook = f"""
    from coachman import hooks

    @hooks.{decorator}
    def connect():
        raise LookupError("no database")
    """
    write_application(tmp_path, hook, HELLO)
    with CoachmanServe(tmp_path, *AUTO) as server:
        status, output = server.outcome()
    assert status == 1
    assert re.search(f"coachman: .*{complaint}", output), output
    assert "in connect" in output
    assert not re.search(r'File ".*/coachman/', output), "coachman's own frames are of no use here"


def test_a_crashed_preloader_takes_nobody_along_and_is_replaced_when_needed(tmp_path: Path) -> None:
    write_application(tmp_path, LOADED_BY)
    with CoachmanServe(tmp_path, *AUTO) as server:
        workers = server.ready_workers(3)
        preloader = preloader_pid(server)
        os.kill(preloader, signal.SIGKILL)
        server.wait_for_output(rf"the preloader \(pid {preloader}\) ended with SIGKILL")
        assert server.application_pids() == set(workers)
        assert ask(server)[0] == preloader

        so_far = len(server.output())
        os.kill(workers[0], signal.SIGKILL)
        fresh = int(server.wait_for_output(r"the preloader \(pid (\d+)\) is ready", after=so_far)[1])
        successor = int(server.wait_for_output(r"worker 1 \(pid (\d+)\) is ready", after=so_far)[1])
        assert server.application_pids() == {fresh, successor, *workers[1:]}


@pytest.mark.parametrize("method", ["preload", "direct"])
def test_handlers_that_the_application_sets_while_it_is_loaded_are_its_workers(
    tmp_path: Path, method: str
) -> None:
    handlers = """
    import os, signal

    def handle(number, frame):
        os.write(2, b"handled %d\\n" % number)

    for number in (signal.SIGUSR1, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, handle)
    """
    write_application(tmp_path, handlers, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, "--spawn-method", method) as server:
        (pid,) = server.ready_workers(1)
        for number in (signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
            os.kill(pid, number)
            server.wait_for_output(f"App {pid} stderr: handled {number:d}")
        os.kill(pid, signal.SIGTERM)
        server.wait_for_output(rf"worker 1 \(pid {pid}\) got SIGTERM and drains")
        assert server.stop() == 0


def test_a_preloader_ends_by_sigterm_and_not_by_ctrl_c(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS) as server:
        preloader = int(server.wait_for_output(r"the preloader \(pid (\d+)\) is ready")[1])
        server.wait_for_output("listening at")
        os.kill(preloader, signal.SIGINT)
        (pid,) = server.ready_workers(1)
        os.kill(pid, signal.SIGTERM)
        server.wait_for_output(r"worker 2 \(pid \d+\) is ready")  # forked by the same one
        assert "gets a fresh one" not in server.output()
        os.kill(preloader, signal.SIGTERM)
        server.wait_for_output(
            rf"the preloader \(pid {preloader}\) ended with exit status 0; the next worker"
        )
        assert server.stop() == 0


def test_the_preloader_of_an_old_generation_goes_once_its_workers_are_gone(tmp_path: Path) -> None:
    slow = """
    def application(environ, start_response):
        wait_at_gate()
        start_response("200 OK", [])
        return [b"at last"]
    """
    write_application(tmp_path, WAIT_AT_GATE, slow)
    with (
        Gate(tmp_path) as gate,
        CoachmanServe(tmp_path, *ONE_PROCESS, "--threads", "2", environment=gate.environment) as server,
        RawClient(server.url) as client,
    ):
        preloader = preloader_pid(server)
        with Pidfds([preloader]) as processes:
            client.get()
            gate.wait_for_arrival()
            write_application(tmp_path, HELLO)
            server.send_signal(signal.SIGHUP)
            server.wait_for_output("the restart is done: generation 2 serves")
            assert preloader in server.application_pids(), "a worker of its generation is still busy"
            gate.open()
            assert client.answer().body == b"at last"
            processes.wait(preloader)


def test_a_preloader_that_is_stopped_by_sigstop_does_not_hold_up_the_end(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(tmp_path, *AUTO) as server:
        server.ready_workers(3)
        os.kill(preloader_pid(server), signal.SIGSTOP)
        assert server.stop() == 0
        server.outcome()


def test_an_idle_preloader_is_stopped_and_comes_back(tmp_path: Path) -> None:
    write_application(tmp_path, LOADED_BY)
    with CoachmanServe(tmp_path, *AUTO, "--max-preloader-idle-time", "0.2") as server:
        workers = server.ready_workers(3)
        # Where workers are slow to start, it is stopped and started again in between: the last one counts.
        *_, last = re.findall(r"the preloader \(pid (\d+)\) is ready", server.output())
        server.wait_for_output(rf"the preloader \(pid {last}\) is stopped: it has had nothing to do")
        so_far = len(server.output())
        os.kill(workers[1], signal.SIGKILL)
        server.wait_for_output(r"the preloader \(pid \d+\) is ready", after=so_far)
        server.wait_for_output(r"worker 2 \(pid \d+\) is ready", after=so_far)


def test_a_broken_application_is_reported_once_by_the_preloader(tmp_path: Path) -> None:
    write_application(tmp_path, "import nowhere_to_be_found", HELLO)
    with CoachmanServe(tmp_path, *AUTO) as server:
        status, output = server.outcome()
    assert status == 1
    assert output.count("Traceback") == 1
    assert "ModuleNotFoundError: No module named 'nowhere_to_be_found'" in output


def test_ctrl_c_while_the_preloader_loads_ends_at_once(tmp_path: Path) -> None:
    endless = "import signal\nprint('loading', flush=True)\nsignal.pause()\n"
    write_application(tmp_path, endless, HELLO)
    with CoachmanServe(tmp_path, *AUTO) as server:
        server.wait_for_output("loading")
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
        server.outcome()


@pytest.mark.parametrize("options", [PRELOAD, DIRECT])
def test_a_wsgi_worker_that_serves_has_imported_no_asyncio(tmp_path: Path, options: tuple[str, ...]) -> None:
    told = """
    import sys

    def application(environ, start_response):
        start_response("200 OK", [])
        return [" ".join(sys.modules).encode()]
    """
    write_application(tmp_path, told)
    with CoachmanServe(tmp_path, *options) as server, RawClient(server.url) as client:
        client.get()
        modules = set(client.answer().body.decode().split())
        assert "coachman.worker.wsgi.engine" in modules
        assert not {"asyncio", "ssl", "logging", "subprocess"} & modules
        assert server.stop() == 0


@pytest.mark.parametrize("options", [PRELOAD, DIRECT])
def test_no_look_for_garbage_goes_through_our_own_code(tmp_path: Path, options: tuple[str, ...]) -> None:
    told = """
    import gc
    from coachman.worker.wrapper import Wrapper

    def looked_through(thing):
        return any(each is thing for each in gc.get_objects())

    class Own: ...

    assert not looked_through(Wrapper)
    assert looked_through(Own)
    """
    write_application(tmp_path, told, HELLO)
    with CoachmanServe(tmp_path, *options) as server:
        server.ready_workers(3)
        assert server.stop() == 0
