"""From a request target to a path below a folder: what no file is ever served for ends here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

WELL_KNOWN: Final = b".well-known"
"""The one hidden folder that is made to be seen (RFC 8615)."""


class Mount(NamedTuple):
    """A folder and the paths that show it."""

    prefix: bytes
    """Begins and ends with a slash; as it stands in a request target, so percent-encoded where need be."""
    folder: bytes


class Place(NamedTuple):
    """Where a request target leads to."""

    folder: bytes
    path: bytes
    """Relative to the folder, decoded, without empty, `.` and `..` parts; b"" is the folder itself."""
    is_folder: bool
    """The target ends with a slash."""


def make_mount(prefix: str, folder: bytes) -> Mount:
    """Return the mount of `folder` at `prefix`, a path that begins with a slash."""
    return Mount(quote(prefix.rstrip("/"), safe="/!$&'()*+,;=:@~%").encode() + b"/", folder)


class Mounts:
    """All mounts of an application; where several fit, the longest prefix counts."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        self._mounts = sorted(mounts, key=lambda mount: -len(mount.prefix))
        self.starts: Final = tuple(mount.prefix.removesuffix(b"/") for mount in self._mounts)
        """What every target below a mount begins with, for one quick look at those that do not."""

    def find(self, target: bytes) -> Place | None:
        """Return where `target`, in origin form, leads to; None where no file may be served for it."""
        path = target.partition(b"?")[0]
        for prefix, folder in self._mounts:
            if path.startswith(prefix):
                return _place(folder, path[len(prefix) :])
            if path == prefix[:-1] and path:
                return Place(folder, b"", is_folder=False)
        return None


def _place(folder: bytes, rest: bytes) -> Place | None:
    path = unquote_to_bytes(rest) if b"%" in rest else rest
    # A slash that was encoded does not separate (RFC 3986, 2.2). A backslash does for some browsers.
    if b"\0" in path or b"\\" in path or path.count(b"/") != rest.count(b"/"):
        return None
    is_folder = not path or path.endswith(b"/")
    path = path.removesuffix(b"/")
    for part in path.split(b"/") if path else ():
        # Hidden files are there for programs: .git, .env, .htpasswd. This refuses `.` and `..` as well.
        if not part or (part.startswith(b".") and part != WELL_KNOWN):
            return None
    if not path and rest:
        return None  # a second slash behind the prefix
    return Place(folder, path, is_folder)


def with_slash(target: bytes) -> str:
    """Return `target` with a slash at the end of its path, for `Location`."""
    path, separator, query = target.partition(b"?")
    # What is sent must be safe in a header, and cannot begin with two slashes: `find` knew it.
    return (
        quote(path, safe="/!$&'()*+,;=:@~%")
        + "/"
        + ("?" + quote(query, safe="/!$&'()*+,;=:@~%?") if separator else "")
    )
