"""The environment variables of an application process."""

from __future__ import annotations

from collections.abc import Mapping

OWN_PREFIX = "COACHMAN_"
SERVICE_MANAGER = frozenset(
    {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC"}
)
"""What a service manager tells the supervisor alone (sd_notify(3), sd_listen_fds(3))."""


def application_environment(
    ours: Mapping[str, str],
    *,
    account: Mapping[str, str],
    configured: Mapping[str, str],
    told: Mapping[str, str],
) -> dict[str, str]:
    """Return the environment for an application process.

    From `ours`, the supervisor's, comes what is not meant for the supervisor alone: neither `COACHMAN_...`,
    where its own settings and secrets are, nor what its service manager said. Over that come `account` (HOME
    and the like, where the process runs as another user), `configured`, and, as `COACHMAN_...`, `told`.
    """
    environment = {
        name: value
        for name, value in ours.items()
        if not name.startswith(OWN_PREFIX) and name not in SERVICE_MANAGER
    }
    environment.update(account)
    environment.update(configured)
    environment.update({OWN_PREFIX + name: value for name, value in told.items()})
    return environment


def account_environment(*, user: str, home: str, shell: str) -> dict[str, str]:
    """Return what login(1) sets for a user."""
    return {"HOME": home, "USER": user, "LOGNAME": user, "SHELL": shell or "/bin/sh"}
