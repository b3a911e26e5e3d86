"""Values of settings as people and programs are shown them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeAlias

from coachman.config import values
from coachman.config.setting import Setting

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"
"""What JSON and TOML have a form for."""


def plain(setting: Setting, value: Any) -> Plain:
    """Return a value as it could be written into the file; None where there is none."""
    if setting.parse is values.octal:
        return None if value is None else f"{value:03o}"
    return _plain(value)


def toml(value: Plain) -> str:
    """Return the text of a value in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        pairs = [f"{toml_key(key)} = {toml(item)}" for key, item in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    return "" if value is None else _string(value)


def toml_key(key: str) -> str:
    """Return a key, in quotes where it needs them."""
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else _string(key)


def _string(text: str) -> str:
    # A basic string takes anything but quotes, backslashes and control characters as it is.
    escaped = [f"\\u{ord(c):04X}" if c < " " or c == "\x7f" else c for c in text.replace("\\", "\\\\")]
    return '"' + "".join(escaped).replace('"', '\\"') + '"'


def _plain(value: Any) -> Plain:
    if isinstance(value, StrEnum):
        return value.value
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value)
