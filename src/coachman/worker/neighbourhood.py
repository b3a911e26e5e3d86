"""Where a module that was not found might be: in a virtual environment nearby, or in another folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from glob import escape, glob

from coachman.protocol.application_report import VirtualEnvironment

USUAL_NAMES = (".venv", "venv", "env")
PARENTS = 3
"""How many folders above the application's are looked at."""
SUBFOLDERS = 100
"""How many folders in the application's are looked at."""


def virtual_environments_with(module: str, root: str) -> tuple[VirtualEnvironment, ...]:
    """Return those in `root` or its parents in which `module` is installed, the one in use left out."""
    found = []
    for folder in _virtual_environments(root):
        if any(_lies_in(module, place) for place in _places(folder)):
            bin_folder = os.path.join(folder, "bin")
            command = os.path.join(bin_folder, "coachman")
            found.append(
                VirtualEnvironment(
                    folder=folder,
                    python=os.path.join(bin_folder, "python"),
                    coachman=command if os.path.exists(command) else None,
                )
            )
    return tuple(found)


def folder_with(module: str, root: str) -> str | None:
    """Return a folder near `root`, other than it, in which the module's first part lies, or None."""
    subfolders: list[str] = []
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name not in USUAL_NAMES and entry.is_dir() and len(subfolders) < SUBFOLDERS:
                subfolders.append(entry.path)
    for folder in (*sorted(subfolders), *list(_upwards(root))[1:]):
        if _lies_in(module, folder):
            return folder
    return None


def _virtual_environments(root: str) -> Iterator[str]:
    in_use = os.path.realpath(sys.prefix)
    named = os.environ.get("VIRTUAL_ENV")
    candidates = [os.path.join(folder, name) for folder in _upwards(root) for name in USUAL_NAMES]
    for folder in dict.fromkeys([*([named] if named else []), *candidates]):
        if os.path.isfile(os.path.join(folder, "pyvenv.cfg")) and os.path.realpath(folder) != in_use:
            yield folder


def _upwards(folder: str) -> Iterator[str]:
    for _ in range(PARENTS + 1):
        yield folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return
        folder = parent


def _places(environment: str) -> Iterator[str]:
    """Iterate over the folders that the environment's interpreter looks into."""
    for site_packages in glob(os.path.join(escape(environment), "lib*", "python*", "site-packages")):
        yield site_packages
        for file in glob(os.path.join(escape(site_packages), "*.pth")):
            with open(file, encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    # A line that begins with "import" is code; it is not run here.
                    if line.strip() and not line.startswith(("import ", "import\t", "#")):
                        yield os.path.join(site_packages, line.strip())


def _lies_in(module: str, folder: str) -> bool:
    path = os.path.join(folder, module.partition(".")[0])
    if os.path.isdir(path):
        # A folder without Python in it shares the name by chance.
        return any(glob(os.path.join(escape(path), pattern)) for pattern in ("*.py", "*.so", "*/__init__.py"))
    return os.path.isfile(path + ".py") or bool(glob(escape(path) + ".*.so"))
