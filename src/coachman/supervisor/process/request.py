"""What an application process is told when it starts: the fields of the request on the stdio channel."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from coachman.config.model import ApplicationConfig
from coachman.unix.identity import Identity


class Role(StrEnum):
    """What a process of ours is to be."""

    WORKER = "worker"
    PRELOADER = "preloader"


def request_for(config: ApplicationConfig, identity: Identity | None, role: Role) -> dict[str, str]:
    """Return the fields that the wrapper of a process is sent."""
    location = config.location
    request = {
        "app_root": str(location.root),
        "app_type": config.worker.interface.value,
        "environment": config.environment,
        "role": role.value,
        "startup_attribute": location.attribute,
        "worker": msgspec.json.encode(config.worker).decode(),
        "start_timeout": f"{config.start_timeout:g}",
    }
    for key, functions in (
        ("before_fork", config.before_fork),
        ("after_fork_in_worker", config.after_fork_in_worker),
    ):
        if functions:
            request[key] = ",".join(functions)
    if config.process.limits:
        request["limits"] = ",".join(config.process.limits)
    if identity is not None:
        request["user"], request["group"] = identity.user, identity.group
        request["uid"], request["gid"] = str(identity.uid), str(identity.gid)
        request["groups"] = ",".join(map(str, identity.groups))
    if location.file is not None:
        request["startup_file"] = str(location.file)
    if location.module is not None:
        request["startup_module"] = location.module
    return request
