"""Starts that fail, as the supervisor sees them: any program as the wrapper, and our own under it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from coachman.config.application_location import ApplicationLocation
from coachman.config.model import ApplicationConfig
from coachman.protocol.journey import Step
from coachman.protocol.log_format import Source
from coachman.supervisor.failures.failure import FailureKind, StartFailed, StartFailure
from coachman.supervisor.log.log import Log
from coachman.supervisor.process.application_process import ApplicationProcess
from coachman.supervisor.process.controlled_process import ControlledProcess
from coachman.supervisor.process.request import Role, request_for
from coachman.supervisor.process.spawner import spawn, spawn_interpreter
from coachman.unix.identity import Identity
from coachman.unix.memory_kills import MemoryKillWatch

from .wrapped import WatchedLog

GREET = "print('!> I have control 1.0', flush=True)\nwhile input():\n    pass\n"
FOR_EVER = "import signal\nsignal.pause()\n"


def failed_wrapper(folder: Path, script: str, *, timeout: float = 30) -> StartFailure:
    """Start a wrapper that is this Python script and return how that fails."""

    async def start() -> StartFailure:
        log = Log(folder / "log")
        spawned = spawn([sys.executable, "-c", script], folder)
        process = ApplicationProcess(spawned, {"app_root": str(folder)}, Source(spawned.child.pid), log)
        return await failure_of(process, log, timeout)

    return asyncio.run(start())


def failed_application(
    folder: Path,
    source: str,
    role: Role,
    *,
    timeout: float = 30,
    budget_from: str = "",
    identity: Identity | None = None,
) -> StartFailure:
    """Start our own wrapper with this application and return how that fails.

    It is told that it is to be `identity`, and stays what we are. The time begins when the application
    prints `budget_from`, where that is given: however slow the machine is, it is being loaded then.
    """
    file = folder / "app.py"
    file.write_text(source)

    async def start() -> StartFailure:
        begun = asyncio.Event()
        log = WatchedLog(folder / "log", lambda line: begun.set() if line == budget_from else None)
        config = ApplicationConfig(location=ApplicationLocation(root=folder, file=file))
        spawned = spawn_interpreter(folder)
        source = Source(spawned.process.child.pid)
        process = ControlledProcess(spawned, request_for(config, identity, role), source, log)
        if budget_from:
            await begun.wait()
        return await failure_of(process, log, timeout)

    return asyncio.run(start())


async def failure_of(process: ApplicationProcess, log: Log, timeout: float) -> StartFailure:
    try:
        with pytest.raises(StartFailed) as caught:
            await process.start(timeout)
    finally:
        process.kill()
        await process.ended()
        log.close()
    failure = caught.value.failure
    assert str(failure)
    return failure


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no-such-wrapper") as caught:
        spawn([str(tmp_path / "no-such-wrapper")], tmp_path)
    assert StartFailure.not_executed(caught.value).kind is FailureKind.WRAPPER_MISSING


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no-such-folder") as caught:
        spawn([sys.executable], tmp_path / "no-such-folder")
    assert StartFailure.not_executed(caught.value).kind is FailureKind.WRAPPER_MISSING


@pytest.mark.parametrize(("mode", "content"), [(0o644, "#!/bin/sh\n"), (0o755, "no program at all\n")])
def test_a_program_that_cannot_be_executed_is_named(tmp_path: Path, mode: int, content: str) -> None:
    program = tmp_path / "wrapper"
    program.write_text(content)
    program.chmod(mode)
    with pytest.raises(OSError, match="wrapper") as caught:
        spawn([str(program)], tmp_path)
    failure = StartFailure.not_executed(caught.value)
    assert failure.kind is FailureKind.NOT_EXECUTABLE
    assert "wrapper" in failure.headline


def test_a_wrapper_that_exits_is_reported_with_its_status_and_words(tmp_path: Path) -> None:
    failure = failed_wrapper(tmp_path, "import sys\nprint('one')\nsys.exit('two')")
    assert (failure.kind, str(failure.ending)) == (FailureKind.EXITED, "exit status 1")
    assert {line.text for line in failure.printed} == {"one", "two"}
    assert failure.journey is not None
    assert failure.journey.step is Step.EXEC


def test_a_wrapper_that_is_killed_is_reported_with_the_signal(tmp_path: Path) -> None:
    failure = failed_wrapper(tmp_path, GREET + "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert (failure.kind, str(failure.ending)) == (FailureKind.KILLED, "SIGKILL")
    assert failure.journey is not None
    assert failure.journey.step is Step.LOAD


def test_a_kill_for_want_of_memory_is_told_from_another_by_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryKillWatch, "evidence", lambda _: "the kernel says so")
    kill = "import os, signal\nos.kill(os.getpid(), signal.SIG{})"
    failure = failed_wrapper(tmp_path, kill.format("KILL"))
    assert failure.kind is FailureKind.KILLED_FOR_MEMORY
    assert "the kernel says so" in failure.headline
    assert failed_wrapper(tmp_path, kill.format("TERM")).kind is FailureKind.KILLED


def test_a_wrapper_that_breaks_the_protocol_is_quoted(tmp_path: Path) -> None:
    failure = failed_wrapper(tmp_path, "print('!> Nonsense', flush=True)\n" + FOR_EVER)
    assert failure.kind is FailureKind.PROTOCOL_BROKEN
    assert "!> Nonsense" in failure.headline


def test_a_wrapper_that_closes_its_stdout_and_lives_is_reported(tmp_path: Path) -> None:
    failure = failed_wrapper(tmp_path, "import os\nos.close(1)\n" + FOR_EVER)
    assert (failure.kind, failure.ending) == (FailureKind.CHANNEL_CLOSED, None)


def test_a_wrapper_that_says_nothing_is_reported_when_its_time_is_up(tmp_path: Path) -> None:
    failure = failed_wrapper(tmp_path, FOR_EVER, timeout=0.5)
    assert (failure.kind, failure.stacks) == (FailureKind.TIMED_OUT, "")
    assert failure.headline.endswith("was not ready in time: after 0.5 s it was in the step exec")


def test_the_error_of_a_wrapper_comes_with_what_it_wrote_to_stderr(tmp_path: Path) -> None:
    failure = failed_wrapper(
        tmp_path,
        GREET + "import sys\nprint('!> Error\\n!> html: true\\n!> \\n<p>no &amp; never</p>', flush=True)\n"
        "sys.stdout.close()\nprint('the reason', file=sys.stderr)",
    )
    assert (failure.kind, failure.html) == (FailureKind.REFUSED, True)
    assert "the reason" in [line.text for line in failure.printed]


@pytest.mark.parametrize("role", Role)
def test_our_wrapper_tells_everything_of_an_error(tmp_path: Path, role: Role) -> None:
    failure = failed_application(tmp_path, "def deep():\n    1 / 0\n\ndeep()", role)
    assert failure.kind is FailureKind.REFUSED
    assert failure.headline == "the application could not be loaded: ZeroDivisionError: division by zero"
    assert failure.report is not None
    assert (failure.report.file, failure.report.line) == (str(tmp_path / "app.py"), 2)
    # On a busy machine there may not be time to look at all of them.
    assert dict(failure.report.packages).get("coachman") or not failure.report.packages_complete
    assert failure.message.count("Traceback") == 1
    assert failure.journey is not None
    assert [stage.step for stage in failure.journey.stages()] == [
        Step.PREPARE, Step.EXEC, Step.HANDSHAKE, Step.LOAD,
    ]  # fmt: skip


@pytest.mark.parametrize("role", Role)
def test_our_wrapper_imports_nothing_where_it_has_another_account_than_it_should(
    tmp_path: Path, role: Role
) -> None:
    somebody = os.getuid() + 1
    identity = Identity("somebody", somebody, "somebody", somebody, (somebody,), "/", "/bin/sh")
    failure = failed_application(tmp_path, "print('imported')", role, identity=identity)
    assert f"this process was to run as user {somebody} with the groups" in failure.headline
    assert failure.printed == ()


@pytest.mark.parametrize("role", Role)
def test_our_wrapper_shows_its_stacks_when_the_time_is_up(tmp_path: Path, role: Role) -> None:
    source = "import signal\nprint('here')\ndef wait():\n    signal.pause()\n\nwait()"
    failure = failed_application(tmp_path, source, role, timeout=2, budget_from="stdout: here")
    assert failure.kind is FailureKind.TIMED_OUT
    assert f'File "{tmp_path}/app.py", line 4 in wait' in failure.stacks
    assert "here" in [line.text for line in failure.printed]


def test_a_worker_that_waits_for_its_sockets_is_in_the_step_listen(tmp_path: Path) -> None:
    source = "def application(environ, start_response): ...\nprint('here')"
    failure = failed_application(tmp_path, source, Role.WORKER, timeout=5, budget_from="stdout: here")
    assert failure.kind is FailureKind.TIMED_OUT
    assert failure.headline.endswith("in the step listen")
