"""The configuration file: coachman.toml, or [tool.coachman] in pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from coachman.config.toml_lines import KeyPath, key_lines
from coachman.errors import ConfigurationError

FILE: Final = "coachman.toml"
PROJECT_FILE: Final = "pyproject.toml"
PROJECT_TABLE: Final = ("tool", "coachman")
_POSITION: Final = re.compile(r" \(at line (\d+), column \d+\)$")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a file says, and where in it."""

    path: Path
    table: Mapping[str, Any]
    prefix: KeyPath = ()
    """The table of the document that `table` is."""
    lines: Mapping[KeyPath, int] | None = None

    @property
    def folder(self) -> Path:
        """What paths in the file are relative to."""
        return self.path.parent

    def place(self, *keys: str) -> str:
        """Return ``FILE:LINE`` of a key, or of the innermost of the tables around it that has a line."""
        path = (*self.prefix, *keys)
        while path:
            if (line := (self.lines or {}).get(path)) is not None:
                return f"{self.path}:{line}"
            path = path[:-1]
        return str(self.path)

    def error(self, message: str, *keys: str) -> ConfigurationError:
        """Return the error that says what is wrong with a key."""
        return ConfigurationError(f"{self.place(*keys)}: {message}")


def find_config_file(folder: Path) -> ConfigFile | None:
    """Return what `folder` has: coachman.toml, else pyproject.toml if coachman has a table in there."""
    if (folder / FILE).is_file():
        return read_config_file(folder / FILE)
    project = folder / PROJECT_FILE
    # Not for every project that has one: whoever does not speak of coachman cannot be wrong about it.
    if project.is_file() and b"coachman" in _read(project):
        found = read_config_file(project)
        return found if found.prefix else None
    return None


def read_config_file(path: Path) -> ConfigFile:
    """Read a file; raise `ConfigurationError` where that cannot be done."""
    data = _read(path)
    try:
        text = data.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{line}: this is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        position = _POSITION.search(str(error))
        place = f"{path}:{position[1]}" if position else str(path)
        raise ConfigurationError(f"{place}: {_POSITION.sub('', str(error))}") from None
    lines = key_lines(text)
    table: Any = document
    if path.name == PROJECT_FILE:
        for key in PROJECT_TABLE:
            table = table.get(key) if isinstance(table, dict) else None
        if not isinstance(table, dict):
            return ConfigFile(path, {})
        return ConfigFile(path, table, PROJECT_TABLE, lines)
    return ConfigFile(path, table, (), lines)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read the configuration file {path}: {error.strerror}") from error
