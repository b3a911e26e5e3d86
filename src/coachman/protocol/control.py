"""The words of the control channel between the supervisor and its workers: names of array messages.

============  =============================  ====================================================
supervisor →  ``listen URL`` + descriptor    accept on this listening socket
supervisor →  ``drain SECONDS``              stop accepting, finish what is in hand, exit
→ supervisor  ``stdout`` + descriptor        the read end of the pipe that the application prints to
→ supervisor  ``drained FINISHED``           about to exit; "no" where the time was up too early
============  =============================  ====================================================
"""

from typing import Final

LISTEN: Final = "listen"
DRAIN: Final = "drain"
STDOUT: Final = "stdout"
DRAINED: Final = "drained"
