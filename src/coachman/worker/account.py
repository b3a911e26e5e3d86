"""What is settled before any application code runs: who this process is, and what it may use."""

from __future__ import annotations

import os
from collections.abc import Mapping

from coachman.config.resource_limits import parse_limit
from coachman.errors import ApplicationError
from coachman.unix.limits import set_own_limit


def check_account(request: Mapping[str, str]) -> None:
    """Compare user and groups with the fields `uid`, `gid` and `groups`, where the request has them.

    Raises `ApplicationError` where they differ: code that was to run with less power must not run at all.
    """
    if "uid" not in request:
        return
    uid, gid = int(request["uid"]), int(request["gid"])
    groups = {int(group) for group in request["groups"].split(",")}
    is_so = (set(os.getresuid()), set(os.getresgid()), set(os.getgroups()) | {gid})
    if is_so != ({uid}, {gid}, groups | {gid}):
        raise ApplicationError(
            f"this process was to run as user {uid} with the groups {sorted(groups | {gid})}, "
            f"but runs as {os.getresuid()} with {os.getresgid()} and {sorted(os.getgroups())}"
        )


def check_folder(root: str) -> None:
    """Raise `ApplicationError` where this process may not look into the application's folder.

    The import system takes such a folder for an empty one, and says that there is no such module.
    """
    if os.access(root, os.R_OK | os.X_OK):
        return
    folder = root
    while (above := os.path.dirname(folder)) != folder and not os.access(above, os.X_OK):
        folder = above
    raise ApplicationError(
        f"the user {_own_name()} may not look into the folder {folder}: let it enter and read that, or move "
        f"the application to where it may (`namei -l {root}` shows owners and modes)"
    )


def _own_name() -> str:
    import pwd

    try:
        return repr(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:  # a container's user often has no name
        return str(os.getuid())


def set_limits(request: Mapping[str, str]) -> None:
    """Set the resource limits in the field `limits`; raise `ApplicationError` where one is refused."""
    for text in filter(None, request.get("limits", "").split(",")):
        try:
            set_own_limit(parse_limit(text))
        except OSError as error:
            raise ApplicationError(str(error)) from None
