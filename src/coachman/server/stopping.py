"""The ladder: how a server process is brought to its end."""

from __future__ import annotations

import signal
from typing import Final

from coachman.unix.processes import ChildProcess, Ending

CLOSE_WAIT: Final = 3.0
TERM_WAIT: Final = 3.0


def end_process(process: ChildProcess, close_wait: float, term_wait: float) -> Ending:
    """Reap a server whose connection was closed: wait, SIGTERM, wait, SIGKILL. Waits are in seconds."""
    ending = process.wait(close_wait)
    if ending is None:
        process.send_signal(signal.SIGTERM)
        # A stopped process takes the SIGTERM only once it goes on.
        process.send_signal(signal.SIGCONT)
        ending = process.wait(term_wait)
    if ending is None:
        process.send_signal(signal.SIGKILL)
        ending = process.wait()
    assert ending is not None
    return ending
