"""Where an application is, found from what a person types; with nothing to import but the files' names."""

from __future__ import annotations

import os

from coachman.errors import ConfigurationError

DEFAULT_ATTRIBUTE = "application"
STARTUP_FILES = ("passenger_wsgi.py", "wsgi.py")
"""What is looked for, in this order, where the application is given as a folder."""


class Location:
    """A file or a module, in the folder `root`, and the name of the application in there."""

    __slots__ = ("attribute", "file", "module", "root")

    def __init__(
        self,
        root: str,
        *,
        file: str | None = None,
        module: str | None = None,
        attribute: str = DEFAULT_ATTRIBUTE,
    ) -> None:
        self.root = root
        self.file = file
        self.module = module
        self.attribute = attribute

    def __str__(self) -> str:
        return f"{self.file or self.module}:{self.attribute}"


def current_folder() -> str:
    """Return the working directory by the name that the shell knows it by, symbolic links included.

    A link that is turned to the next release after each deployment is to be followed again then. Raises
    `ConfigurationError` where the folder is gone.
    """
    physical = working_directory()
    logical = os.environ.get("PWD", "")
    try:
        return logical if os.path.isabs(logical) and os.path.samefile(logical, physical) else physical
    except OSError:
        return physical


def working_directory() -> str:
    """Return the working directory; raise `ConfigurationError` where it is gone."""
    try:
        return os.getcwd()
    except OSError as error:
        raise ConfigurationError(
            f"the current folder cannot be used: {error.strerror}; change to one that exists"
        ) from error


def find_location(text: str, folder: str) -> Location:
    """Read ``module:attribute``, a file or a folder, relative to `folder`.

    Symbolic links in the names of folders are left for whoever starts the application to follow. Nothing is
    imported: whether the module exists is found out by the process that loads it. Raises `ConfigurationError`
    where `text` is a path at which there is nothing to start.
    """
    path = os.path.join(folder, text)
    if "\n" in path:
        raise ConfigurationError(f"{path!r} has a line break in it, for which the start protocol has no room")
    if os.path.isdir(path):
        root = os.path.abspath(path)
        for name in STARTUP_FILES:
            if os.path.isfile(os.path.join(path, name)):
                return Location(root, file=os.path.join(root, name))
        raise ConfigurationError(
            f"no application in the folder {os.path.normpath(path)}: it has none of "
            f"{', '.join(STARTUP_FILES)}; name a file, or module:attribute"
        )
    source, _, attribute = text.partition(":")
    attribute = attribute or DEFAULT_ATTRIBUTE
    if source.endswith(".py") or "/" in source:
        file = os.path.join(folder, source)
        if not os.path.isfile(file):
            raise ConfigurationError(f"there is no file {file}")
        # As `python FILE` does; the folders on the way stay as they are named.
        file = os.path.realpath(file) if os.path.islink(file) else os.path.abspath(file)
        return Location(os.path.dirname(file), file=file, attribute=attribute)
    if not all(part.isidentifier() for part in source.split(".")):
        raise ConfigurationError(
            f"{text!r} is neither a folder, nor a file, nor of the form module:attribute"
        )
    return Location(os.path.abspath(folder), module=source, attribute=attribute)
