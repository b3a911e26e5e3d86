import os
import select
import signal

import pytest

from coachman.unix.processes import ChildProcess, Ending


def child(*, exits: int | None = None) -> ChildProcess:
    pid = os.fork()
    if pid == 0:
        if exits is not None:
            os._exit(exits)
        signal.pause()
    return ChildProcess(pid)


@pytest.fixture(params=["pidfd", "watching thread"])
def waiting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param != "pidfd":
        monkeypatch.delattr(os, "pidfd_open")
    return str(request.param)


@pytest.mark.usefixtures("waiting")
def test_an_exit_status_is_reported() -> None:
    process = child(exits=7)
    assert process.wait(timeout=10) == Ending(7)
    assert process.wait() == process.ending
    assert str(process.ending) == "exit status 7"
    assert not process.send_signal(signal.SIGTERM)
    process.close()


@pytest.mark.usefixtures("waiting")
def test_a_signal_is_reported() -> None:
    process = child()
    assert process.wait(timeout=0) is None
    assert process.wait(timeout=0.001) is None
    assert process.send_signal(signal.SIGKILL)
    assert process.wait() == Ending(None, signal.SIGKILL)
    assert str(process.ending) == "SIGKILL"
    process.close()


def test_a_zombie_is_not_signalled() -> None:
    process = child(exits=0)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not process.send_signal(signal.SIGTERM)
    assert process.wait() == Ending(0)
    process.close()


def test_a_child_that_somebody_else_reaped_has_an_unknown_ending() -> None:
    process = child(exits=0)
    os.waitpid(process.pid, 0)
    ending = process.wait()
    assert ending == Ending(None)
    assert "unknown" in str(ending)
    process.close()


def test_an_ending_says_what_it_was() -> None:
    assert str(Ending(7)) == "exit status 7"
    assert str(Ending(None, signal.SIGKILL)) == "SIGKILL"
    assert str(Ending(None, signal.SIGSEGV, core_dumped=True)) == "SIGSEGV (core dumped)"


@pytest.mark.usefixtures("waiting")
def test_its_descriptor_is_readable_once_the_child_has_ended() -> None:
    process = child()
    assert select.select([process], [], [], 0)[0] == []
    process.send_signal(signal.SIGTERM)
    select.select([process], [], [])
    assert process.wait(timeout=0) == Ending(None, signal.SIGTERM)
    process.close()


def test_it_takes_over_a_pidfd() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    pidfd = os.pidfd_open(pid)
    process = ChildProcess(pid, pidfd)
    assert process.fileno() == pidfd
    assert process.wait() == Ending(3)
    process.close()


def test_without_a_pidfd_a_wait_without_end_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    process = child(exits=4)
    assert process.wait() == Ending(4)
    assert process._watch is None
    process.close()
