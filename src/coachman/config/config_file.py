"""The configuration file: coachman.toml, or [tool.coachman] in pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from coachman.config.toml_lines import KeyPath, key_lines, statements
from coachman.errors import ConfigurationError

FILE: Final = "coachman.toml"
PROJECT_FILE: Final = "pyproject.toml"
PROJECT_TABLE: Final = ("tool", "coachman")
_POSITION: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


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
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{line}: this is not UTF-8") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}:{_complaint(text, str(error))}") from None
    lines = key_lines(text)
    table: Any = document
    if path.name == PROJECT_FILE:
        for key in PROJECT_TABLE:
            table = table.get(key) if isinstance(table, dict) else None
        if not isinstance(table, dict):
            return ConfigFile(path, {})
        return ConfigFile(path, table, PROJECT_TABLE, lines)
    return ConfigFile(path, table, (), lines)


def _complaint(text: str, error: str) -> str:
    """Return ``LINE: REASON`` from what `tomllib` says of `text`."""
    lines = text.rstrip().split("\n")
    position = _POSITION.search(error)
    reason = _POSITION.sub("", error)
    if position is not None and position[1]:
        line = int(position[1])
    else:
        line, reason = len(lines), f"{reason}, at the end of the file"
    if not reason.startswith("Cannot overwrite a value"):
        return f"{line}: {reason}"
    # Up to there it is sound, but for the last statement, which may have begun some lines before.
    *before, (keys, line) = statements("\n".join(lines[:line]))
    first = next((at for path, at in before if path[: len(keys)] == keys), line)
    return f"{line}: {'.'.join(keys)} is set again, after line {first}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read the configuration file {path}: {error.strerror}") from error
