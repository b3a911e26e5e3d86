"""The folder of everything that changes: the database, uploads, collected static files and the secret key.

Every process of the guestbook uses the same folder, and several may start at the same moment.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.management.utils import get_random_secret_key


def var_folder() -> Path:
    """Return the folder, `GUESTBOOK_VAR` or `var/` beside `manage.py`, and make what is missing of it."""
    beside_manage_py = Path(__file__).resolve().parent.parent / "var"
    folder = Path(os.environ.get("GUESTBOOK_VAR") or beside_manage_py).resolve()
    for part in ("media", "static", "uploads"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; a second process waits. The kernel drops it even when the holder is killed."""
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def secret_key(folder: Path) -> str:
    """Return the key that signs sessions and CSRF tokens, made on first use: a restart logs nobody out."""
    path = folder / "secret_key"
    with locked(folder):
        if not path.exists():
            draft = folder / "secret_key.draft"
            draft.touch(mode=0o600)
            draft.write_text(get_random_secret_key())
            draft.replace(path)  # a process killed half-way leaves no empty key
        return path.read_text()
