"""What a process that is forked to try a start has to know: numbers of descriptors, all of them its own."""

from __future__ import annotations

from coachman.protocol.value import Value


class Ends(Value):
    """The process's ends of its pipes."""

    stdin: int
    channel: int
    """What it negotiates on, in the place of stdout."""
    stderr: int
    stdout: int
    """What the application prints to."""
    control: int
    """The control channel: a pipe here, because the process has only to tell."""
    tether: int
    """The lower end of a lifeline of whoever asked for the trial."""
    stacks: int
    """The file that the stacks of its threads go to."""
