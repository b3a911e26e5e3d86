"""Which application gets which of the sockets that a service manager has passed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

ANY_HOST: Final = ("0.0.0.0", "[::]")


@dataclass(frozen=True, slots=True)
class Passed:
    """A socket that was passed."""

    name: str
    """What the manager calls it: `FileDescriptorName=`, or the name of the socket unit."""
    address: str
    """As `str` gives it of an `Address`."""


@dataclass(frozen=True, slots=True)
class Listening:
    """An application, and where it is configured to listen."""

    name: str
    addresses: Sequence[str]


def owner(passed: Passed, applications: Sequence[Listening]) -> str | None:
    """Return the name of the application that `passed` is for; None: there is no telling.

    That is the one that the socket is named after, or else one that is configured to listen there, or else
    the only one.
    """
    for application in applications:
        if passed.name in (application.name, f"{application.name}.socket"):
            return application.name
    for application in applications:
        if any(covers(passed.address, address) for address in application.addresses):
            return application.name
    return applications[0].name if len(applications) == 1 else None


def still_to_bind(addresses: Iterable[str], passed: Sequence[str], *, default: Sequence[str]) -> list[str]:
    """Return those of an application's addresses that it has to listen at by itself.

    With a socket at hand, those of `default` are not needed: nobody has asked for them.
    """
    return [
        address
        for address in addresses
        if not any(covers(other, address) for other in passed) and not (passed and address in default)
    ]


def covers(passed: str, address: str) -> bool:
    """Return whether nobody else could listen at `address` beside the socket at `passed`."""
    host, _, port = passed.rpartition(":")
    return passed == address or (host in ANY_HOST and address.rpartition(":")[2] == port)
