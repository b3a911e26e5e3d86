"""Listening sockets."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress

from coachman.config.addresses import Address, TcpAddress, UnixAddress
from coachman.errors import ConfigurationError

BACKLOG = 2048
"""Connections that may wait in the kernel; it takes the smaller of this and net.core.somaxconn."""


class Listener:
    """A bound, listening, non-blocking socket, and its address as the kernel knows it.

    It owns the socket and, where it made one, the socket file: `close` releases both.
    """

    def __init__(self, sock: socket.socket, address: Address) -> None:
        self.sock = sock
        self.address = address
        self._file = _identity(address)

    @classmethod
    def bind(cls, address: Address) -> Listener:
        """Listen on `address`; raise `ConfigurationError`, with the way out, where that is not possible."""
        family = socket.AF_UNIX
        target: tuple[str, int] | str = ""
        try:
            if isinstance(address, TcpAddress):
                found = socket.getaddrinfo(
                    address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
                )
                family, target = found[0][0], (address.host, address.port)
            else:
                target = str(address.path)
                _remove_stale_socket(address)
            return cls._listen(family, target, address)
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {address}: {_explain(error, address)}") from error

    @classmethod
    def _listen(
        cls, family: socket.AddressFamily, target: tuple[str, int] | str, address: Address
    ) -> Listener:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            if isinstance(address, TcpAddress):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                # Accepted sockets inherit it: a response that goes out in pieces does not wait for an ACK.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(target)
            sock.listen(BACKLOG)
            sock.setblocking(False)
            if isinstance(address, TcpAddress):
                address = TcpAddress(address.host, sock.getsockname()[1])
        except BaseException:
            sock.close()
            raise
        return cls(sock, address)

    def close(self) -> None:
        """Stop listening in this process; remove the socket file, unless another server has replaced it."""
        self.sock.close()
        if isinstance(self.address, UnixAddress) and self._file == _identity(self.address):
            with suppress(FileNotFoundError):
                self.address.path.unlink()


def _identity(address: Address) -> tuple[int, int] | None:
    """Return what tells a socket file from a later one in its place; None where there is none."""
    if isinstance(address, UnixAddress):
        with suppress(OSError):
            found = os.stat(address.path)
            return found.st_dev, found.st_ino
    return None


def _remove_stale_socket(address: UnixAddress) -> None:
    """Remove the socket file that a server left behind when it was killed; leave anything else alone."""
    try:
        if not stat.S_ISSOCK(os.stat(address.path).st_mode):
            raise FileExistsError(errno.EEXIST, "there is a file that is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(address.path))
        except ConnectionRefusedError:
            address.path.unlink()
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _explain(error: OSError, address: Address) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the address is in use by another process; stop that one, or choose another address"
    if error.errno == errno.EACCES and isinstance(address, TcpAddress) and address.port < 1024:
        return f"ports under 1024 belong to root; choose another than {address.port}"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address"
    if isinstance(address, UnixAddress) and error.errno == errno.ENOENT:
        return f"there is no folder {address.path.parent}"
    return error.strerror or str(error)
