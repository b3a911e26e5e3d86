"""What an application process is told when it starts: the fields of the request on the stdio channel."""

from __future__ import annotations

from enum import StrEnum

from coachman.config import ServeConfig
from coachman.unix.identity import Identity


class Role(StrEnum):
    """What a process of ours is to be."""

    WORKER = "worker"
    PRELOADER = "preloader"


def request_for(config: ServeConfig, identity: Identity | None, role: Role) -> dict[str, str]:
    """Return the fields that the wrapper of a process is sent."""
    application = config.application
    request = {
        "app_root": str(application.root),
        "app_type": "wsgi",
        "environment": config.environment,
        "role": role.value,
        "startup_attribute": application.attribute,
        "threads": str(config.threads),
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
    if application.file is not None:
        request["startup_file"] = str(application.file)
    if application.module is not None:
        request["startup_module"] = application.module
    return request
