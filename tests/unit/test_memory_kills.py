"""Evidence for a kill for want of memory, in files made up for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coachman.unix import memory_kills
from coachman.unix.memory_kills import MemoryKillWatch

PID = 4711


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, place in (("PROC", "proc"), ("CONTROL_GROUPS", "cgroup"), ("KERNEL_LOG", "kmsg")):
        monkeypatch.setattr(memory_kills, name, str(tmp_path / place))
    (tmp_path / "proc" / str(PID)).mkdir(parents=True)
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/self/status").write_text(f"Name:\tx\nNSpid:\t{os.getpid()}\n")
    return tmp_path


def group(system: Path, line: str, file: str) -> Path:
    (system / "proc" / str(PID) / "cgroup").write_text(line)
    events = system / "cgroup" / file
    events.parent.mkdir(parents=True)
    events.write_text("low 0\noom 2\noom_kill 1\noom_group_kill 0\n")
    return events


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("0::/app.slice/web\n", "app.slice/web/memory.events"),
        ("5:cpu:/\n4:memory:/web\n0::/\n", "memory/web/memory.oom_control"),
    ],
)
def test_a_counter_that_rises_is_evidence(system: Path, line: str, file: str) -> None:
    events = group(system, line, file)
    watch = MemoryKillWatch(PID)
    assert watch.evidence() is None
    events.write_text("oom 3\noom_kill 2\n")
    assert watch.evidence() == f"oom_kill in {events} went from 1 to 2"


def test_the_kernels_log_is_evidence_when_it_is_about_this_process(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    log = system / "kmsg"
    record = "6,77,{0}000000,-;Out of memory: Killed process {1} (python) total-vm:1kB"
    log.write_text(record.format(101, PID + 1))
    assert MemoryKillWatch(PID).evidence() is None
    log.write_text(record.format(50, PID))
    assert MemoryKillWatch(PID).evidence() is None, "that was an earlier process of this number"
    log.write_text(record.format(101, PID))
    assert "killed process 4711" in (MemoryKillWatch(PID).evidence() or "")


def test_in_a_container_the_kernels_log_is_about_others(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    (system / "kmsg").write_text(f"6,77,101000000,-;Out of memory: Killed process {PID} (x)")
    (system / "proc/self/status").write_text("NSpid:\t900\t3\n")
    assert MemoryKillWatch(PID).evidence() is None


def test_where_nothing_can_be_read_there_is_no_evidence(system: Path) -> None:
    assert MemoryKillWatch(PID).evidence() is None
    group(system, "0::/web\n", "web/memory.events").unlink()
    assert MemoryKillWatch(PID).evidence() is None
