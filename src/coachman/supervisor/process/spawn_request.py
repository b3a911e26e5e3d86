"""What `coachman spawn` starts, and what it sends to the wrapper."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coachman.config.model import LogLevel
from coachman.errors import ConfigurationError
from coachman.location import working_directory
from coachman.protocol.stdio import encode_field
from coachman.supervisor.process.patience import Patience


@dataclass(frozen=True, slots=True)
class SpawnConfig:
    """Everything that `coachman spawn` goes by."""

    command: Sequence[str]
    options: Mapping[str, str] = field(default_factory=dict)
    """Fields of the request that were given; they win over ours."""
    log_level: LogLevel = LogLevel.INFO
    folder: Path = field(default_factory=lambda: Path(working_directory()))
    start_timeout: float = 90.0
    patience: Patience = field(default_factory=Patience)

    @property
    def app_root(self) -> Path:
        """The working directory of the application."""
        return (self.folder / self.options.get("app_root", "")).absolute()


def request_fields(config: SpawnConfig, sockets: Path) -> dict[str, str]:
    """Return the fields that the wrapper is sent; `sockets` is the folder for its sockets.

    The names are those of the original, so that its wrappers find what they look for. Not among them:
    ``UNIX_PATH_MAX``, because a wrapper of some releases fails on it, and every one does without it; and
    what has no meaning here (passenger_root, ruby_libdir, gupid, connect_password and the like). Raises
    `ConfigurationError` where a field cannot be sent.
    """
    fields = {
        "app_root": str(config.app_root),
        "app_group_name": str(config.app_root),
        "environment": "production",
        "base_uri": "/",
        "log_level": "0",
        "start_timeout": f"{config.start_timeout:g}",
        "user": _user_name(),
        "group": _group_name(),
        "generation_dir": str(sockets.parent),
        "socket_dir": str(sockets),
        **config.options,
    }
    # Ours again: a relative one would mean another folder to whoever starts somewhere else.
    fields["app_root"] = str(config.app_root)
    for key, value in fields.items():
        try:
            encode_field(key, value)
        except ValueError as error:
            raise ConfigurationError(f"the option {key!r} cannot be sent: {error}") from None
    return fields


def environment() -> dict[str, str]:
    """Return the environment for the command: our own, and Python told not to keep what is printed.

    A wrapper written for Python 2 prints its part of the negotiation with nothing that flushes it; the
    original sets this variable for the same reason.
    """
    return {"PYTHONUNBUFFERED": "1", **os.environ}


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's user often has no name
        return str(os.geteuid())


def _group_name() -> str:
    try:
        return grp.getgrgid(os.getegid()).gr_name
    except KeyError:
        return str(os.getegid())
