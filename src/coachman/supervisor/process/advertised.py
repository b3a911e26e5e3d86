"""What a wrapper says of its application, held against the system."""

from __future__ import annotations

import os
import stat

from coachman.protocol.addresses import TcpEndpoint
from coachman.protocol.stdio import AdvertisedSocket, parse_pid
from coachman.protocol.supervisor_half import Ready


def objection_to(ready: Ready, *, leader: int, uid: int) -> str:
    """Say what is wrong with `ready`, "" where nothing is.

    `leader` is the process that was started, which leads its session; `uid` the user that it was started as.
    """
    for socket in ready.sockets:
        if objection := _objection_to_socket(socket, uid):
            return f"the socket {str(socket)!r} {objection}"
    pid = ready.fields.get("pid")
    if pid is not None and (objection := _objection_to_pid(parse_pid(pid), leader)):
        return f"the pid {pid!r} {objection}"
    return ""


def _objection_to_socket(socket: AdvertisedSocket, uid: int) -> str:
    endpoint = socket.endpoint
    if isinstance(endpoint, TcpEndpoint):
        return (
            "" if endpoint.on_loopback else "is not on the loopback interface: 127.0.0.0/8, ::1 or localhost"
        )
    try:
        # Not through a symbolic link: what it points to may be another one a moment later.
        found = os.lstat(endpoint.path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        return f"cannot be found: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISSOCK(found.st_mode):
        return "is the path of something that is no socket"
    if found.st_uid != uid:
        return f"belongs to the user with the number {found.st_uid}, but the application runs as {uid}"
    return ""


def _objection_to_pid(pid: int, leader: int) -> str:
    """A process of another session would outlive the kill of the group, and need not be its own at all."""
    try:
        session = os.getsid(pid)
    except ProcessLookupError:
        return "is that of no process; leave the field out where the application is in another pid namespace"
    return "" if session == leader else f"is that of a process outside the session of process {leader}"
