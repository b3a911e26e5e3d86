"""How long what has come on a connection has waited to be read."""

from __future__ import annotations

import socket
import struct
import time
from typing import Final

_LAST_DATA_RECEIVED: Final = 52
"""Where `tcpi_last_data_recv` is in `struct tcp_info` (linux/tcp.h): milliseconds, in whole ticks."""

_TICK: Final = time.clock_getres(6)
"""Seconds from one to the next: the resolution of CLOCK_MONOTONIC_COARSE, which Python does not name."""


def seconds_waited(sock: socket.socket) -> float:
    """Return how long ago the peer's last bytes came, at least: the kernel counts ticks of its clock.

    0.0 where the kernel does not tell, as for a unix socket.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECEIVED + 4)
    except OSError:
        return 0.0
    milliseconds = int(struct.unpack_from("@I", info, _LAST_DATA_RECEIVED)[0])
    return max(0.0, milliseconds / 1000 - _TICK)
