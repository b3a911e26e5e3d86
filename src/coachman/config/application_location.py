"""Where an application is."""

from __future__ import annotations

from pathlib import Path

import msgspec

from coachman.location import DEFAULT_ATTRIBUTE, find_location


class ApplicationLocation(msgspec.Struct, frozen=True, kw_only=True):
    """Where an application is: a module or a file in its root folder, and the name it has in there."""

    root: Path
    """The folder that becomes the working directory and the first entry of `sys.path`."""
    module: str | None = None
    file: Path | None = None
    attribute: str = DEFAULT_ATTRIBUTE

    @property
    def name(self) -> str:
        """What the application is called in the log: its module, or the folder that its file is in."""
        return self.module or self.root.name

    def __str__(self) -> str:
        return f"{self.file or self.module}:{self.attribute}"

    def followed(self) -> ApplicationLocation:
        """Return where it is at this moment, past all symbolic links on the way to its root folder."""
        root = self.root.resolve()
        file = None if self.file is None else root / self.file.relative_to(self.root)
        return msgspec.structs.replace(self, root=root, file=file)


def locate_application(text: str, folder: Path) -> ApplicationLocation:
    """Read ``module:attribute``, a file or a folder, relative to `folder`.

    Nothing is imported: whether the module exists is found out by the process that loads it. Raises
    `ConfigurationError` where `text` is a path at which there is nothing to start.
    """
    found = find_location(text, str(folder))
    return ApplicationLocation(
        root=Path(found.root),
        module=found.module,
        file=None if found.file is None else Path(found.file),
        attribute=found.attribute,
    )
