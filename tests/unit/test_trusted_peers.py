"""Whose word counts."""

from __future__ import annotations

import pytest

from coachman.policy import trusted_peers
from coachman.policy.trusted_peers import TrustedPeers

USUAL = ("127.0.0.0/8", "::1", "unix")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", ""])
def test_peers_on_this_machine_are_trusted_as_a_rule(address: str) -> None:
    assert address in TrustedPeers(USUAL)


@pytest.mark.parametrize("address", ["192.0.2.1", "::2", "::ffff:192.0.2.1", "nonsense", "fe80::1%eth0"])
def test_strangers_are_not(address: str) -> None:
    trusted = TrustedPeers(USUAL)
    assert address not in trusted
    assert address not in trusted  # asked again


def test_a_network_can_be_trusted_and_unix_sockets_not() -> None:
    trusted = TrustedPeers(["10.0.0.0/8", "fe80::/10"])
    assert "10.1.2.3" in trusted
    assert "fe80::1%eth0" in trusted
    assert "" not in trusted


def test_everybody_can_be_trusted() -> None:
    trusted = TrustedPeers(["*"])
    assert all(address in trusted for address in ("", "192.0.2.1", "::2"))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trusted_peers, "CACHED", 10)
    trusted = TrustedPeers(["10.0.0.0/8"])
    assert all(f"10.0.0.{n}" in trusted for n in range(100))
    assert len(trusted._known) <= 10
