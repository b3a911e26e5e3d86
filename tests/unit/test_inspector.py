"""What a worker tells of its threads, where there is no thread to tell it."""

from __future__ import annotations

import _thread
import os
import signal
from collections.abc import Callable

import pytest

from coachman.worker.inspector import Inspector
from coachman.worker.stacks import SIGNAL, StackWriter


def test_a_worker_that_gets_no_thread_goes_on_and_the_c_code_has_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(function: Callable[[], None], arguments: tuple[()]) -> int:
        raise RuntimeError("can't start new thread")

    stacks = StackWriter()
    inspector = Inspector(stacks, 0.0)
    before = signal.signal(SIGNAL, lambda *_: inspector.report_upon_signal())
    try:
        inspector.start(lambda message, details: None)
        monkeypatch.setattr(_thread, "start_new_thread", refuse)
        os.kill(os.getpid(), SIGNAL)
        assert b"test_inspector.py" in os.pread(stacks.fd, 100_000, 0)
    finally:
        inspector.close()
        signal.signal(SIGNAL, before)
    assert "can't start new thread" in capsys.readouterr().err
