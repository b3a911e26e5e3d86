"""The pid file: a file with a process's number, which is true as long as that process holds a lock on it."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from coachman.errors import ConfigurationError

LONGEST: Final = 32
"""Bytes that a pid file has at most."""


@contextmanager
def pid_file(path: Path) -> Iterator[None]:
    """Have our pid in `path`, with a newline, for as long as this lasts.

    The file appears whole. A living process that holds the file is recognised by its lock (flock(2)), which
    ends with it: so a number that was left behind, and belongs to somebody else by now, is nobody's claim. At
    the end the file is removed if it is ours still.

    Raises `ConfigurationError` where another process holds it, where there is a file that is no pid file, or
    where it cannot be written.
    """
    try:
        fd = _take(path)
    except OSError as error:
        raise ConfigurationError(f"cannot write the pid file {path}: {error.strerror}") from error
    try:
        yield
    finally:
        with suppress(OSError):
            if _is_at(fd, path):
                path.unlink()
        os.close(fd)


def _take(path: Path) -> int:
    """Put a file with our pid at `path`; return its descriptor, which holds the lock."""
    # Locked and complete before it has the name: nobody ever sees it otherwise.
    fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        os.write(fd, b"%d\n" % os.getpid())
        os.fchmod(fd, 0o644)
        fcntl.flock(fd, fcntl.LOCK_EX)
        while True:
            try:
                os.link(temporary, path)
            except FileExistsError:
                if not _replace_stale(path, temporary):
                    continue  # whoever had the file has removed or replaced it meanwhile
            break
    except BaseException:
        os.close(fd)
        raise
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    return fd


def _replace_stale(path: Path, temporary: str) -> bool:
    """Put `temporary` in the place of a file that nobody holds; False: that was not there any more.

    Raises `ConfigurationError` where somebody holds it, or it is no pid file.
    """
    try:
        # Without O_NONBLOCK a FIFO would be waited for; behind a symbolic link is not what we would replace.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        content = os.read(fd, LONGEST + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else b"something else"
        if len(content) > LONGEST or (content.strip() and not content.strip().isdigit()):
            raise ConfigurationError(f"{path} is no pid file, and is left alone; choose another name for it")
        try:
            # The lock is held until the new file is in place: two that start at once cannot both replace.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise ConfigurationError(
                f"the pid file {path} belongs to the living process {content.decode().strip()}: "
                "stop that one, or choose another file"
            ) from None
        if not _is_at(fd, path):
            return False
        os.rename(temporary, path)
        return True
    finally:
        os.close(fd)


def _is_at(fd: int, path: Path) -> bool:
    """Return whether `path` is the file that `fd` is open for."""
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False
