"""For whom a proxy forwards a request: `X-Forwarded-For`, `-Proto`, `-Host`, and `Forwarded` (RFC 7239).

Every proxy appends what it has seen to what it was given, and a client may have sent anything to begin with.
So the lists are read from the right, as far as the word of the next one is to be taken: the client is the
rightmost address that is not a trusted proxy's.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final, NamedTuple

from coachman.protocol.http.refusal import malformed
from coachman.protocol.http.target import is_host
from coachman.protocol.http.trusted_peers import TrustedPeers

FOR, PROTO, HOST, FORWARDED = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_FORWARDED",
)
FORWARDED_FIELDS: Final = frozenset({FOR, PROTO, HOST, FORWARDED})
"""The fields under their names in CGI."""

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_CACHE_LIMIT = 1024
_CACHED_SIZE = 256

_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]++)\]|([0-9.]++))(?::([0-9]{1,5}+))?+|([0-9A-Fa-f:.]++)")
_UNNAMED = re.compile(r"(?i:unknown)|_[A-Za-z0-9._-]++(?::[A-Za-z0-9._-]++)?+")
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_PAIR = re.compile(rf'({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*+)")')
# A pair may be left out, so there may be several semicolons, and one behind the last pair (RFC 7239, 4).
_PAIR_END = re.compile(r"[ \t]*+((?:;[ \t]*+)*+)(,|$)?+[ \t]*+")


class Origin(NamedTuple):
    """Where a request comes from, as far as trusted proxies have said."""

    address: str | None = None
    """The client's; "" where a proxy does not tell; None where none has said anything."""
    port: str = ""
    scheme: str | None = None
    host: str | None = None


class ForwardedReader:
    """Finds out where requests come from that trusted peers forward; remembers what it has found."""

    def __init__(self, trusted: TrustedPeers) -> None:
        self._trusted = trusted
        self._known: dict[tuple[str | None, ...], Origin] = {}
        """Bounded, because clients choose a part of these values."""

    def read(self, headers: dict[str, str]) -> Origin:
        """Return the origin of a request with such headers, which came from a trusted peer.

        Raises `BadRequest` where a proxy's word cannot be understood, or is contradicted by another header.
        """
        key = (headers.get(FOR), headers.get(PROTO), headers.get(HOST), headers.get(FORWARDED))
        origin = self._known.get(key)
        if origin is None:
            origin = self._read(*key)
            if len(self._known) >= _CACHE_LIMIT:
                self._known.clear()
            if sum(len(value) for value in key if value is not None) <= _CACHED_SIZE:
                self._known[key] = origin
        return origin

    def _read(self, chain: str | None, proto: str | None, host: str | None, forwarded: str | None) -> Origin:
        if forwarded is None:
            return self._read_separate(chain, proto, host)
        standard = self._read_forwarded(forwarded)
        if chain is None and proto is None and host is None:
            return standard
        separate = self._read_separate(chain, proto, host)
        if chain is not None and separate.address != standard.address:
            # A proxy writes one and passes the other on as the client sent it; nobody can tell which. To
            # believe neither would make the client look like the proxy itself.
            raise malformed("Forwarded and X-Forwarded-For name different clients")
        return Origin(
            standard.address,
            standard.port,
            separate.scheme or standard.scheme,
            separate.host or standard.host,
        )

    def _read_separate(self, chain: str | None, proto: str | None, host: str | None) -> Origin:
        address, port, hops = None, "", 0
        if chain is not None:
            nodes = _split(chain)
            for hops, node in enumerate(reversed(nodes), 1):  # noqa: B007 - where it ended is of use
                address, port = _read_node(node)
                if address == "" or not self._trusted.trusts(address):
                    break
            proto, host = _counterpart(proto, hops, len(nodes)), _counterpart(host, hops, len(nodes))
        else:
            proto, host = _counterpart(proto, 1, 1), _counterpart(host, 1, 1)
        return Origin(address, port, _scheme(proto), _checked_host(host))

    def _read_forwarded(self, value: str) -> Origin:
        address: str | None = None
        port = ""
        origin: dict[str, str] = {}
        for element in reversed(_elements(value)):
            if "for" not in element:
                break
            origin = element
            address, port = _read_node(element["for"])
            if address == "" or not self._trusted.trusts(address):
                break
        return Origin(address, port, _scheme(origin.get("proto")), _checked_host(origin.get("host")))


def _split(value: str) -> list[str]:
    return [part.strip(" \t") for part in value.split(",")]


def _counterpart(value: str | None, hops: int, length: int) -> str | None:
    """Return the part of a list that belongs to the address `hops` from the right in a list of `length`.

    Most proxies set these two instead of appending to them: the last one is the nearest proxy's word.
    """
    if value is None:
        return None
    parts = _split(value)
    return parts[-hops] if len(parts) == length else parts[-1]


def _read_node(node: str) -> tuple[str, str]:
    """Return address and port; both "" where the proxy hides them (RFC 7239, 6)."""
    match = _NODE.fullmatch(node)
    if match is not None:
        try:
            return str(ip_address(match[1] or match[2] or match[4])), match[3] or ""
        except ValueError:
            pass
    elif _UNNAMED.fullmatch(node):
        return "", ""
    raise malformed("a proxy forwards for what is no address", node)


def _scheme(proto: str | None) -> str | None:
    return None if proto is None else _SCHEMES.get(proto.lower())


def _checked_host(host: str | None) -> str | None:
    if host is not None and not is_host(host):
        raise malformed("a proxy forwards for what is no host", host)
    return host or None


def _elements(value: str) -> list[dict[str, str]]:
    """Return the elements of a `Forwarded` field: parameters by their names in small letters."""
    elements: list[dict[str, str]] = [{}]
    position = 0
    while True:
        pair = _PAIR.match(value, position)
        if pair is None or pair[1].lower() in elements[-1]:
            raise malformed("this is no Forwarded field", value)
        text = pair[2] if pair[2] is not None else re.sub(r"\\(.)", r"\1", pair[3])
        elements[-1][pair[1].lower()] = text
        end = _PAIR_END.match(value, pair.end())
        assert end is not None
        semicolons, element_end = end.groups()
        if element_end == "":
            return elements
        if element_end == ",":
            elements.append({})
        elif not semicolons:
            raise malformed("this is no Forwarded field", value)
        position = end.end()
