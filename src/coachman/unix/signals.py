"""Signals: their names, and the state in which a process that starts afresh finds them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Mapping
from types import FrameType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TypeAlias

SignalHandler: TypeAlias = Callable[[int, FrameType | None], object]
Disposition: TypeAlias = SignalHandler | int | signal.Handlers | None

# CPython starts with these ignored, so that writing to a closed pipe, or beyond a size limit, raises an
# OSError instead of ending the process. That is the default manner of a Python process, and what Ruby's
# "DEFAULT" does too.
IGNORED_BY_PYTHON: Final = frozenset(
    getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ", "SIGXFZ") if hasattr(signal, name)
)
UNCATCHABLE: Final = frozenset({signal.SIGKILL, signal.SIGSTOP})
# Asked once: building these sets of enum members costs more than all the system calls of a reset.
ALL: Final = frozenset(signal.valid_signals())
CATCHABLE: Final = tuple(sorted(ALL - UNCATCHABLE))


def signal_number(which: int | str) -> int:
    """Return a signal's number, given that or a name such as "SIGTERM" or "term".

    Raises `ValueError` where there is no such signal, or none that can be handled.
    """
    number = _number_by_name(which) if isinstance(which, str) else which
    if number not in ALL:
        raise ValueError(f"{which!r} is not the number of a signal on this system")
    if number in UNCATCHABLE:
        raise ValueError(f"the signal {which!r} cannot be handled")
    return number


def _number_by_name(which: str) -> int:
    name = which.upper()
    try:
        return signal.Signals[name if name.startswith("SIG") else f"SIG{name}"]
    except KeyError:
        raise ValueError(f"there is no signal named {which!r} on this system") from None


def signal_name(number: int) -> str:
    """Return "SIGKILL" for 9; "SIGRTMIN+3" or "signal 99" where the system has no name of its own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        if signal.SIGRTMIN < number < signal.SIGRTMAX:
            return f"SIGRTMIN+{number - signal.SIGRTMIN}"
        return f"signal {number}"


def default_disposition(number: int) -> signal.Handlers:
    """Return what a Python process starts with: SIGPIPE and SIGXFSZ ignored, the others not."""
    return signal.SIG_IGN if number in IGNORED_BY_PYTHON else signal.SIG_DFL


def dispositions() -> dict[int, Disposition]:
    """Return what Python knows to be done upon each signal."""
    return {number: signal.getsignal(number) for number in CATCHABLE}


def changed_since(before: Mapping[int, Disposition]) -> frozenset[int]:
    """Return the signals whose disposition is another than in `before`, which `dispositions` has returned."""
    return frozenset(number for number, was in before.items() if signal.getsignal(number) is not was)


def changed_signals() -> list[int]:
    """Return the signals whose disposition is not what a Python process starts with."""
    return [n for n in CATCHABLE if signal.getsignal(n) is not default_disposition(n)]


class SavedSignals:
    """The dispositions, the mask and the wakeup descriptor of this process before they were changed.

    `take_over` and `unblock_all` change them, `revert` puts back what was there. Main thread only, as
    `signal.signal` is.
    """

    def __init__(self) -> None:
        self._dispositions: dict[int, Disposition] = {}
        self._wakeup: int | None = None
        self._mask: set[int | signal.Signals] | None = None

    def take_over(self, wanted: Mapping[int, Disposition], changed: Iterable[int] | None = None) -> None:
        """Give these signals these dispositions, all others their defaults; take the wakeup descriptor away.

        `changed` are the `changed_signals` if they are known.
        """
        self._wakeup = signal.set_wakeup_fd(-1)
        for number in changed_signals() if changed is None else changed:
            if number not in wanted:
                self._dispositions[number] = signal.signal(number, default_disposition(number))
        for number, disposition in wanted.items():
            self._dispositions[number] = signal.signal(number, disposition)

    def unblock_all(self) -> None:
        """Let every signal through to this thread."""
        self._mask = signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def revert(self) -> None:
        """Put everything back, except what C code had installed: Python cannot, and leaves the default."""
        while self._dispositions:
            number, before = self._dispositions.popitem()
            if before is not None:
                signal.signal(number, before)
        if self._wakeup is not None:
            signal.set_wakeup_fd(self._wakeup)
            self._wakeup = None
        if self._mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            self._mask = None
