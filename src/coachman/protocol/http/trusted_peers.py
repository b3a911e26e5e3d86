"""Whose word is taken on the client that a request comes from."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

UNIX_SOCKET: Final = ""
"""The address of a peer on a unix socket."""

_CACHE_LIMIT = 1024


class TrustedPeers:
    """The proxies whose word is taken: networks, "unix" for unix sockets, "*" for everybody."""

    def __init__(self, peers: Iterable[str]) -> None:
        """Raises ValueError where a peer is neither an address nor a network nor one of the two words."""
        words = set(peers)
        self._everybody = "*" in words
        self._unix = "unix" in words
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(word, strict=False) for word in sorted(words - {"*", "unix"})
        ]
        self._known: dict[str, bool] = {}
        """Answers that were given; bounded, because clients choose the addresses that they claim."""

    def trusts(self, address: str) -> bool:
        """Return whether the peer at `address`, an IP address or `UNIX_SOCKET`, is trusted."""
        known = self._known.get(address)
        if known is None:
            known = self._trusts(address)
            if len(self._known) < _CACHE_LIMIT:
                self._known[address] = known
        return known

    def _trusts(self, address: str) -> bool:
        if self._everybody:
            return True
        if address == UNIX_SOCKET:
            return self._unix
        parsed = ip_address(address)
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)
