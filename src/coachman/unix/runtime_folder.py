"""The folder in which supervisors keep their control sockets."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from coachman.errors import ConfigurationError

NAME: Final = "coachman"
SYSTEM_FOLDER: Final = Path("/run")


def usual_runtime_folder(variables: Mapping[str, str]) -> Path:
    """Return this user's: /run/coachman for root, ``$XDG_RUNTIME_DIR/coachman``, or one for temporary files.

    Root's does not depend on XDG_RUNTIME_DIR: a service of the system has none, a login may have one, and
    both have to come to the same folder.
    """
    if os.geteuid() == 0:
        if os.access(SYSTEM_FOLDER, os.W_OK):
            return SYSTEM_FOLDER / NAME
    elif variables.get("XDG_RUNTIME_DIR"):
        return Path(variables["XDG_RUNTIME_DIR"]) / NAME
    import tempfile  # seldom needed, and it imports much

    return Path(tempfile.gettempdir()) / f"{NAME}-{os.geteuid()}"


def runtime_folders(variables: Mapping[str, str]) -> list[Path]:
    """Return where supervisors may have their sockets: the usual folder, and those of the system's services.

    Units of systemd have a folder each below /run/coachman, which belongs to the user of the service.
    """
    usual, system = usual_runtime_folder(variables), SYSTEM_FOLDER / NAME
    folders = [usual] if usual == system else [usual, system]
    try:
        folders += sorted(path for path in system.iterdir() if path.is_dir())
    except OSError:  # there is none, or it is not for us to look into
        pass
    return folders


def make_runtime_folder(path: Path) -> int:
    """Make the folder with mode 0700 unless it is there; return a descriptor for it, which the caller owns.

    Raises `ConfigurationError` where it cannot be made or somebody else could put things into it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot make the runtime folder {path}: {error.strerror}") from error
    return open_runtime_folder(path)


def open_runtime_folder(path: Path, *, of_anybody: bool = False) -> int:
    """Open the folder; return a descriptor, which the caller owns. Raises what `make_runtime_folder` raises.

    Whoever may write to the folder could put a socket of their own in the place of a supervisor's: so it has
    to belong to us or to root, unless it may be `of_anybody`, and nobody else may write to it.
    """
    try:
        # Not through a symbolic link: in a folder for temporary files it could be anybody's.
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(f"cannot open the runtime folder {path}: {error.strerror}") from error
    found = os.fstat(fd)
    trusted = of_anybody or found.st_uid in (0, os.geteuid())
    if not trusted or stat.S_IMODE(found.st_mode) & 0o022:
        os.close(fd)
        raise ConfigurationError(
            f"the runtime folder {path} belongs to user {found.st_uid} and has the mode "
            f"{stat.S_IMODE(found.st_mode):03o}: it has to be ours, and only we may write to it"
        )
    return fd
