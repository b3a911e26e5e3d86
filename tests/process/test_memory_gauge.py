from __future__ import annotations

import os

import pytest

from coachman.supervisor.application import memory_gauge
from coachman.supervisor.application.memory_gauge import MemoryGauge


def test_a_reading_is_kept_for_a_while_and_forgotten_with_its_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []

    def proportional_memory(pid: int) -> int:
        read.append(pid)
        return pid

    monkeypatch.setattr(memory_gauge, "proportional_memory", proportional_memory)
    monkeypatch.setattr(memory_gauge, "BUDGET_SECONDS", float("inf"))
    monkeypatch.setattr(memory_gauge, "FRESH_SECONDS", 3600.0)
    gauge = MemoryGauge()
    assert gauge.read([1, 2]) == {1: 1, 2: 2}
    assert gauge.read([2, 3]) == {2: 2, 3: 3}
    assert gauge.read([1]) == {1: 1}
    assert read == [1, 2, 3, 1]


def test_what_there_is_no_time_for_is_read_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_gauge, "proportional_memory", lambda pid: pid)
    gauge = MemoryGauge()
    monkeypatch.setattr(memory_gauge, "BUDGET_SECONDS", -1.0)
    assert gauge.read([1, 2]) == {1: None, 2: None}
    monkeypatch.setattr(memory_gauge, "BUDGET_SECONDS", float("inf"))
    assert gauge.read([1, 2]) == {1: 1, 2: 2}


def test_one_is_read_each_time_however_little_time_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_gauge, "proportional_memory", lambda pid: pid)
    monkeypatch.setattr(memory_gauge, "BUDGET_SECONDS", 0.0)
    gauge = MemoryGauge()
    assert gauge.read([1, 2]) == {1: 1, 2: None}
    assert gauge.read([1, 2]) == {1: 1, 2: 2}


def test_it_reads_real_processes() -> None:
    assert (MemoryGauge().read([os.getpid()])[os.getpid()] or 0) > 1_000_000
