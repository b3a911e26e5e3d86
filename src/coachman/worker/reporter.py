"""What an application process tells of its start, beside the negotiation: on the control channel."""

from __future__ import annotations

import os
import time

from coachman.protocol import control
from coachman.protocol.journey import Step
from coachman.protocol.messages import encode_array, encode_scalar


class Reporter:
    """Writes messages to `fd`, a blocking stream whose other end the supervisor reads; it stays the caller's.

    What nobody reads any more is dropped: the process has other means to see that its supervisor is gone.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def step(self, step: Step) -> None:
        """Tell that `step` begins now."""
        self.tell(control.STEP, step.value, repr(time.monotonic()))

    def raised(self) -> None:
        """Tell that the application's code has failed now; what is collected about that takes longer."""
        self.tell(control.RAISED, repr(time.monotonic()))

    def tell(self, *elements: str) -> None:
        """Send an array message."""
        self._write(encode_array(elements))

    def report(self, data: bytes) -> None:
        """Send why the application could not be loaded."""
        self._write(encode_array((control.REPORT,)) + encode_scalar(data))

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError:
            pass
