from __future__ import annotations

import signal

import pytest

from coachman.unix.signals import SavedSignals, changed_signals, signal_name, signal_number


@pytest.mark.parametrize("which", [15, signal.SIGTERM, "SIGTERM", "TERM", "term"])
def test_a_signal_goes_by_number_and_by_name(which: int | str) -> None:
    assert signal_number(which) == 15


@pytest.mark.parametrize("which", [0, 99, "SIGNONE", "_SIG", "SIGKILL", signal.SIGSTOP])
def test_what_is_no_signal_that_can_be_handled_is_refused(which: int | str) -> None:
    with pytest.raises(ValueError, match="signal"):
        signal_number(which)


def test_every_signal_has_a_name() -> None:
    assert signal_name(9) == "SIGKILL"
    assert signal_name(signal.SIGRTMIN + 3) == "SIGRTMIN+3"
    assert signal_name(99) == "signal 99"


def test_signals_are_taken_over_and_given_back() -> None:
    def handler(*_: object) -> None:
        pass

    before = [signal.getsignal(number) for number in signal.valid_signals()]
    signals = SavedSignals()
    signals.take_over({signal.SIGUSR1: handler})
    signals.unblock_all()
    assert changed_signals() == [signal.SIGUSR1]
    assert signal.getsignal(signal.SIGUSR1) is handler
    signals.revert()
    assert [signal.getsignal(number) for number in signal.valid_signals()] == before
