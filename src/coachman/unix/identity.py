"""Who a process runs as."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from coachman.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Identity:
    """The user and groups that a process has."""

    user: str
    uid: int
    group: str
    gid: int
    groups: tuple[int, ...]
    """The supplementary groups, `gid` among them."""
    home: str
    shell: str


def find_identity(user: str | None, group: str | None) -> Identity | None:
    """Look up the identity for processes of ours; None where they are to keep the one that we have.

    Without `group` it is the user's own; without `user`, the one we run as. Raises `ConfigurationError` where
    there is no such user or group, or where we may not take on its identity.
    """
    if user is None and group is None:
        return None
    try:
        entry = pwd.getpwnam(user) if user is not None else pwd.getpwuid(os.geteuid())
    except KeyError:
        raise ConfigurationError(f"there is no user {user or os.geteuid()!r} on this system") from None
    gid = entry.pw_gid
    if group is not None:
        try:
            gid = grp.getgrnam(group).gr_gid
        except KeyError:
            raise ConfigurationError(f"there is no group {group!r} on this system") from None
    if os.geteuid() != 0:
        if (entry.pw_uid, gid) == (os.geteuid(), os.getegid()):
            return None
        raise ConfigurationError(
            f"only root can run applications as user {entry.pw_name!r} and group {group or gid!r}: "
            "start coachman as root, or leave --user and --group out"
        )
    name = group or _group_name(gid)
    groups = tuple(os.getgrouplist(entry.pw_name, gid))
    return Identity(entry.pw_name, entry.pw_uid, name, gid, groups, entry.pw_dir, entry.pw_shell)


def closed_folder(path: str, identity: Identity) -> str | None:
    """Return the outermost folder on the way to `path` that `identity` may not enter, by its owner and mode.

    Symbolic links are followed: a virtual environment's interpreter is one. None where there is no such
    folder, or it cannot be found out.
    """
    folders = [*reversed(Path(path).parents), *reversed(Path(os.path.realpath(path)).parents)]
    for folder in folders if identity.uid else ():  # root may enter any
        try:
            found = folder.stat()
        except OSError:
            return None
        whose = 6 if found.st_uid == identity.uid else 3 if found.st_gid in identity.groups else 0
        if not found.st_mode >> whose & 0o1:
            return str(folder)
    return None


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
