"""The addresses at which an application says it can be reached: ``unix:/PATH`` and ``tcp://HOST:PORT``."""

from __future__ import annotations

from coachman.protocol.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias


class UnixEndpoint(Value):
    """The path of a unix stream socket: absolute, with nothing in it that has to be resolved first."""

    path: str


class TcpEndpoint(Value):
    """A host, as a name or a number, and a port."""

    host: str
    port: int

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it: 127.0.0.0/8, ::1 or localhost."""
        if self.host.lower() == "localhost":
            return True
        # Here, because every worker imports this module and none asks.
        import ipaddress

        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


Endpoint: TypeAlias = UnixEndpoint | TcpEndpoint


def parse_endpoint(address: str) -> Endpoint:
    """Read an advertised address; raise ValueError, saying what it is not, where it is wrong."""
    if address.startswith("unix:"):
        return _parse_unix(address.removeprefix("unix:"))
    if address.startswith("tcp://"):
        return _parse_tcp(address.removeprefix("tcp://"))
    raise ValueError("is neither unix:/PATH nor tcp://HOST:PORT")


def _parse_unix(path: str) -> UnixEndpoint:
    root, *parts = path.split("/")
    if root or not parts:
        raise ValueError("is not an absolute path")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("is a path with an empty part, '.' or '..' in it")
    return UnixEndpoint(path)


def _parse_tcp(rest: str) -> TcpEndpoint:
    host, _, port = rest.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:
        raise ValueError("has no port between 1 and 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("has an IPv6 host without brackets")
    if not host:
        raise ValueError("has no host")
    return TcpEndpoint(host, int(port))
