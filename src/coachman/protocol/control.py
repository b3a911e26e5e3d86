"""The words of the control channels between the supervisor and its processes: names of array messages.

Every process that runs the application:

============  ===============================  ====================================================
→ supervisor  ``stdout`` + descriptor          the read end of the pipe that the application prints to
→ supervisor  ``tether`` + descriptor          the upper end of a lifeline: the process is killed when it
                                               hangs up, which is when the supervisor is gone
→ supervisor  ``access`` + descriptor          the read end of the pipe that the access log comes in
→ supervisor  ``step NAME AT``                 this step of the start begins, at that monotonic time
→ supervisor  ``raised AT``                    the application's code has failed, at that monotonic time
→ supervisor  ``stacks SIGNAL`` + descriptor   this signal has it write the stacks of all threads to the
                                               descriptor; during the start it ends the process as well
→ supervisor  ``report`` + scalar message      why the application could not be loaded, as JSON
→ supervisor  ``interface NAME REASON``        the application is called by "wsgi" or "asgi", and why
→ supervisor  ``imports PACKAGE...``           what imports took, each as ``NAME SELF TOTAL MODULES``
============  ===============================  ====================================================

Workers:

============  ===============================  ====================================================
supervisor →  ``scoreboard SLOT`` + fd         write to this slot of the memory behind the descriptor
supervisor →  ``lifeline`` + descriptor        from now on, be killed when this hangs up, and not when the
                                               supervisor is gone: drain then
supervisor →  ``handoff`` + four descriptors   where connections are put for other workers, and where they
                                               are taken, then both for those that are taken first; comes
                                               behind ``scoreboard``
supervisor →  ``listen ADDRESS`` + descriptor  accept on this listening socket
supervisor →  ``drain SECONDS CONNECTIONS``    stop accepting, finish what is in hand, exit; connections are
                                               left to other workers (``handover``) or closed (``close``)
supervisor →  ``ping``                         answer from the loop
→ supervisor  ``pong``                         the answer
→ supervisor  ``connected``                    has a connection, the first one since the supervisor has asked
                                               for that on the scoreboard
→ supervisor  ``draining``                     accepts no more
→ supervisor  ``drained FINISHED``             about to exit; "no" where the time was up too early
→ supervisor  ``timed-out SECONDS STATUS       a request has been in the application for too long, and was
              LINE`` + scalar message          answered with STATUS ("": not at all); the stacks as text
→ supervisor  ``dumped`` + scalar message      the stacks as text, upon the signal of ``stacks``
============  ===============================  ====================================================

Preloaders:

============  ===============================  ====================================================
→ supervisor  ``alive KIND WHAT``              the application left this alive when it was loaded
supervisor →  ``spawn SLOT GENERATION``        fork a worker onto the four descriptors that follow:
                                               stdin, stdout, stderr, control channel
→ supervisor  ``spawned PID`` + descriptor     the worker's pidfd
→ supervisor  ``failed REASON``                there is no worker
============  ===============================  ====================================================
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SCOREBOARD: Final = "scoreboard"
LIFELINE: Final = "lifeline"
HANDOFF: Final = "handoff"
LISTEN: Final = "listen"
DRAIN: Final = "drain"
STDOUT: Final = "stdout"
TETHER: Final = "tether"
STEP: Final = "step"
RAISED: Final = "raised"
STACKS: Final = "stacks"
REPORT: Final = "report"
INTERFACE: Final = "interface"
IMPORTS: Final = "imports"
PING: Final = "ping"
PONG: Final = "pong"
CONNECTED: Final = "connected"
DRAINING: Final = "draining"
DRAINED: Final = "drained"
TIMED_OUT: Final = "timed-out"
DUMPED: Final = "dumped"
STACKS_LIMIT: Final = 256 * 1024
"""Bytes of the stacks that a worker tells."""
ACCESS: Final = "access"

ALIVE: Final = "alive"
SPAWN: Final = "spawn"
SPAWNED: Final = "spawned"
FAILED: Final = "failed"

HANDOVER: Final = "handover"
CLOSE: Final = "close"
"""What ``drain`` says of the connections."""

THREAD: Final = "thread"
"""The KIND of ``alive`` that a fork does not survive."""
