"""Sockets that a service manager has passed (sd_listen_fds(3)) become listeners of the applications."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from coachman.config.addresses import Address
from coachman.config.building import default_of
from coachman.config.model import ApplicationConfig
from coachman.config.settings import APPLICATION_SETTINGS
from coachman.errors import ConfigurationError
from coachman.policy.activation import Listening, Passed, owner, still_to_bind
from coachman.unix.listeners import Listener

BIND = next(setting for setting in APPLICATION_SETTINGS if setting.key == "bind")


def adopt_passed_sockets(
    descriptors: Iterable[tuple[int, str]], applications: Sequence[ApplicationConfig]
) -> dict[str, list[Listener]]:
    """Return a listener for each of the descriptors, of which it takes over the ownership, by application.

    Raises `ConfigurationError` where one cannot be used, or it is not clear whose it is.
    """
    candidates = [
        Listening(each.title, [str(address) for address in each.addresses]) for each in applications
    ]
    found: dict[str, list[Listener]] = {}
    with ExitStack() as on_failure:
        for fd, name in descriptors:
            listener = Listener.adopt(fd)
            on_failure.callback(listener.close)
            title = owner(Passed(name, str(listener.address)), candidates)
            if title is None:
                names = ", ".join(each.name for each in candidates)
                raise ConfigurationError(
                    f"the service manager has passed a socket named {name!r}, which listens at "
                    f"{listener.address}, where no application does: set FileDescriptorName= in its unit to "
                    f"one of {names}"
                )
            found.setdefault(title, []).append(listener)
        on_failure.pop_all()
    return found


def addresses_to_bind(config: ApplicationConfig, passed: Sequence[Listener]) -> list[Address]:
    """Return where the application has to listen beside the sockets that were passed for it."""
    by_text = {str(address): address for address in config.addresses}
    default = [str(address) for address in default_of(BIND)]
    wanted = still_to_bind(by_text, [str(each.address) for each in passed], default=default)
    return [by_text[text] for text in wanted]
