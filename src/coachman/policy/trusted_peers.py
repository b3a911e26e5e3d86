"""Whose word on a request counts: that of proxies of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

CACHED: Final = 4096
"""Addresses whose answer is remembered."""


class TrustedPeers:
    """A set of peers: addresses, networks, "unix" for whoever comes over a unix socket, "*" for all."""

    def __init__(self, words: Iterable[str]) -> None:
        words = frozenset(words)
        self._all = "*" in words
        self._networks = [ip_network(word, strict=False) for word in words - {"*", "unix"}]
        self._known: dict[str, bool] = {"": self._all or "unix" in words}

    def __contains__(self, address: str) -> bool:
        """Return whether the peer at `address` is trusted; "" is one on a unix socket."""
        known = self._known.get(address)
        if known is None:
            known = self._all or self._look_up(address)
            if len(self._known) < CACHED:
                self._known[address] = known
        return known

    def _look_up(self, address: str) -> bool:
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped  # how a socket for both families shows a peer of the older one
        return any(found in network for network in self._networks)
