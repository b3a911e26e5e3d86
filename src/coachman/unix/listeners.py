"""Listening sockets."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from coachman.config.addresses import Address, TcpAddress, UnixAddress
from coachman.errors import ConfigurationError

BACKLOG = 2048
"""Connections that may wait in the kernel; it takes the smaller of this and net.core.somaxconn."""


LONGEST_PATH = 107
"""Bytes; sun_path of unix(7) has one more, for the zero at the end."""


class Listener:
    """A bound, listening, non-blocking socket, and its address as the kernel knows it.

    It owns the socket and, where it made one, the socket file: `close` releases both.
    """

    def __init__(self, sock: socket.socket, address: Address, *, adopted: bool = False) -> None:
        self.sock = sock
        self.address = address
        self.adopted = adopted
        """Another program has bound it, and goes on with it after us."""
        self._file = None if adopted else _identity(address)

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
    def adopt(cls, fd: int) -> Listener:
        """Take over a socket that another program has bound and made listen, as service managers do.

        Its socket file, where it has one, stays that program's. Raises `ConfigurationError` where `fd` is not
        a listening stream socket with an address that can be told to others: it may be one of ours by
        mistake, and is left alone.
        """
        try:
            sock = socket.socket(fileno=fd)
        except OSError as error:
            raise ConfigurationError(f"descriptor {fd} is no socket: {error.strerror}") from error
        try:
            address = _listening_address(sock)
            sock.set_inheritable(False)
            sock.setblocking(False)
            if isinstance(address, TcpAddress):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.detach()
            raise
        return cls(sock, address, adopted=True)

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
        ours = self._file is not None and self._file == _identity(self.address)
        if ours and isinstance(self.address, UnixAddress):
            with suppress(FileNotFoundError):
                self.address.path.unlink()


def _listening_address(sock: socket.socket) -> Address:
    """Return where `sock` listens; raise `ConfigurationError` where it does not."""
    problem = ""
    if sock.type != socket.SOCK_STREAM:
        problem = f"a {sock.type.name} socket; only stream sockets can be served"
    elif not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        problem = "a socket that does not listen; one connection for each process (Accept=yes) is not served"
    elif sock.family in (socket.AF_INET, socket.AF_INET6):
        return TcpAddress(*sock.getsockname()[:2])
    elif sock.family != socket.AF_UNIX:
        problem = "neither an IP nor a unix socket"
    elif not (isinstance(path := sock.getsockname(), str) and path.startswith("/")):
        problem = f"a unix socket without a path ({path!r}); give it one"
    else:
        return UnixAddress(Path(path))
    raise ConfigurationError(f"descriptor {sock.fileno()} is {problem}")


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
        # A server that accepts nothing has a full queue, and a connect that blocks would wait for it.
        probe.setblocking(False)
        try:
            probe.connect(str(address.path))
        except ConnectionRefusedError:
            address.path.unlink()
            return
        except BlockingIOError:
            pass
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
    if isinstance(address, UnixAddress) and (size := len(os.fsencode(address.path))) > LONGEST_PATH:
        return f"its path has {size} bytes, and that of a unix socket has room for {LONGEST_PATH}"
    return error.strerror or str(error)
