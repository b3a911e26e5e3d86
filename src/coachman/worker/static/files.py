"""Finding the file that a request asks for, and what is to be sent of it."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Sequence
from typing import Final

from coachman.protocol.static.encodings import Coding, acceptable
from coachman.protocol.static.paths import Mount, Mounts, Place, with_slash
from coachman.protocol.static.response import (
    FileFacts,
    StaticResponse,
    plain_response,
    redirect_to,
    respond,
)
from coachman.protocol.static.types import may_be_compressed, media_type
from coachman.unix.beneath import open_beneath
from coachman.worker.complaints import complain

INDEX: Final = b"index.html"

STALE_AFTER_SECONDS: Final = 60
"""How much older than its file a precompressed variant may be: more, and an earlier version is in it."""

_MISSING: Final = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG, errno.ENXIO, errno.EINVAL)
)


class StaticAnswer:
    """An answer and the open file that its spans are of. Whoever has it closes it."""

    __slots__ = ("fd", "response")

    def __init__(self, response: StaticResponse, fd: int = -1) -> None:
        self.response = response
        self.fd = fd
        """-1 where the answer is not made of a file."""

    def close(self) -> None:
        """Close the file. Again: nothing happens."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class StaticFiles:
    """The folders that are served, each below its prefix. May be used by several threads at the same time."""

    def __init__(
        self, mounts: Sequence[Mount], *, follow_symlinks: bool = False, max_age: float | None = None
    ) -> None:
        """`max_age`: seconds for which clients may use a file without asking again; None: nothing is said."""
        self._mounts = Mounts(mounts)
        self.starts: Final = tuple(start.decode("ascii") for start in self._mounts.starts)
        """What a target begins with that may be one of ours: `target.startswith(starts)` says so quickly."""
        self.starts_in_bytes: Final = self._mounts.starts
        self._follow_symlinks = follow_symlinks
        self._cache_control = "" if max_age is None else f"public, max-age={max_age:.0f}"
        # Nobody can have put into a file what this process has just made up.
        self._boundary = os.urandom(16).hex()

    def answer(self, method: str, target: bytes, headers: dict[str, str]) -> StaticAnswer | None:
        """Return the answer to a request, or None where there is no such file: it is for the application.

        `headers` are those that decide, by `coachman.protocol.static.response`.
        """
        place = self._mounts.find(target)
        if place is None:
            return None
        try:
            # Opened anew for each request: a build may have put another folder in its place.
            root = os.open(place.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                return self._answer(root, place, method, target, headers)
            finally:
                os.close(root)
        except OSError as error:
            if error.errno in _MISSING:
                return None
            path = os.fsdecode(os.path.join(place.folder, place.path))
            complain(f"cannot serve {path!r}: {error.strerror}")
            refused = error.errno in (errno.EACCES, errno.EPERM)
            status = "403 Forbidden" if refused else "503 Service Unavailable"
            return StaticAnswer(plain_response(status, [], with_body=method != "HEAD"))

    def _answer(
        self, root: int, place: Place, method: str, target: bytes, headers: dict[str, str]
    ) -> StaticAnswer | None:
        path = _index_of(place.path) if place.is_folder else place.path
        found = self._open(root, path)
        if found is None:
            return None if place.is_folder else self._redirect(root, place, method, target)
        fd, facts = found
        try:
            if "accept-encoding" in headers and may_be_compressed(media_type(path)):
                for coding in acceptable(headers["accept-encoding"]):
                    variant = self._open_variant(root, path, coding, facts)
                    if variant is not None:
                        os.close(fd)
                        fd, facts = variant
                        break
            response = respond(
                method,
                path,
                facts,
                headers,
                now=time.time(),
                boundary=self._boundary,
                cache_control=self._cache_control,
            )
        except BaseException:
            os.close(fd)
            raise
        answer = StaticAnswer(response, fd)
        if not response.parts:
            answer.close()
        return answer

    def _redirect(self, root: int, place: Place, method: str, target: bytes) -> StaticAnswer | None:
        """Answer what names a folder without a slash at the end, where there is something in it to show."""
        if method not in ("GET", "HEAD"):
            return None
        index = self._open(root, _index_of(place.path))
        if index is None:
            return None
        os.close(index[0])
        return StaticAnswer(redirect_to(with_slash(target), with_body=method == "GET"))

    def _open(self, root: int, path: bytes) -> tuple[int, FileFacts] | None:
        """Open a file, which the caller owns then; None where it is no regular file. Raises OSError."""
        fd = open_beneath(root, path or b".", follow_symlinks=self._follow_symlinks)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            return None
        return fd, FileFacts(status.st_size, status.st_mtime_ns, status.st_ino)

    def _open_variant(
        self, root: int, path: bytes, coding: Coding, plain: FileFacts
    ) -> tuple[int, FileFacts] | None:
        try:
            found = self._open(root, path + coding.suffix)
        except OSError:
            return None  # whatever is wrong with it, there is the file itself
        if found is None:
            return None
        fd, facts = found
        if facts.mtime_ns < plain.mtime_ns - STALE_AFTER_SECONDS * 1_000_000_000:
            os.close(fd)
            return None
        return fd, facts._replace(coding=coding.name)


def _index_of(path: bytes) -> bytes:
    return path + b"/" + INDEX if path else INDEX
