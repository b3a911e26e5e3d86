"""How many connections wait at a listening socket to be accepted."""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

# tcp_info: eight single bytes, then words of 32 bits; of a listening socket, tcpi_unacked is the length of
# its accept queue (net/ipv4/tcp.c, tcp_get_info).
_TCP_INFO_SIZE: Final = 104
_UNACKED_OFFSET: Final = 8 + 4 * 4

# sock_diag(7).
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_UDIAG_SHOW_RQLEN: Final = 0x10
_UNIX_DIAG_RQLEN: Final = 4
_ALL_STATES: Final = 0xFFFF_FFFF
_NO_COOKIE: Final = 0xFFFF_FFFF
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBHIIIII")
_MESSAGE_SIZE: Final = 16
_ATTRIBUTE: Final = struct.Struct("=HH")
_ANSWER_SIZE: Final = 8192


def accept_queue_length(listener: socket.socket) -> int | None:
    """Return the connections that wait at `listener`; None where the kernel does not tell."""
    try:
        if listener.family == socket.AF_UNIX:
            return _unix_queue_length(os.fstat(listener.fileno()).st_ino)
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
        return int(struct.unpack_from("=I", info, _UNACKED_OFFSET)[0])
    except OSError:
        return None


def _unix_queue_length(inode: int) -> int | None:
    """Ask by netlink: a unix socket has no option for it. None where the kernel has no unix_diag."""
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG
    ) as asking:
        # The kernel answers before send returns, or not at all.
        asking.setblocking(False)
        request = _REQUEST.pack(
            socket.AF_UNIX, 0, 0, _ALL_STATES, inode, _UDIAG_SHOW_RQLEN, _NO_COOKIE, _NO_COOKIE
        )
        header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
        asking.send(header + request)
        answer = asking.recv(_ANSWER_SIZE)
    length, kind, *_ = _HEADER.unpack_from(answer)
    if kind != _SOCK_DIAG_BY_FAMILY:  # an error: there is no such socket, or no such question
        return None
    offset = _HEADER.size + _MESSAGE_SIZE
    while offset + _ATTRIBUTE.size <= length:
        size, attribute = _ATTRIBUTE.unpack_from(answer, offset)
        if attribute == _UNIX_DIAG_RQLEN:
            return int(struct.unpack_from("=I", answer, offset + _ATTRIBUTE.size)[0])
        offset += max(_ATTRIBUTE.size, (size + 3) & ~3)
    return None
