"""What a translation consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from coachman.config.settings import APPLICATION_SETTINGS, SUPERVISOR_SETTINGS
from coachman.config.shown import Plain, toml, toml_key
from coachman.errors import ConfigurationError

Pairs: TypeAlias = dict[str, Plain]
"""Values by the keys of our settings."""

Rule: TypeAlias = "Callable[[Any], Pairs] | str"
"""What makes our settings from a value, or why there is no equivalent."""

UNKNOWN: Final = "not known, and nothing like it"

_PARSERS: Final = {setting.key: setting.parse for setting in (*APPLICATION_SETTINGS, *SUPERVISOR_SETTINGS)}
"""What reads our settings, but for `app`: the application need not be where the file is."""


@dataclass(slots=True)
class Translation:
    """Our settings, and what could not be carried over."""

    settings: Pairs = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)
    """Name of a foreign setting, and why it has no equivalent."""

    def apply(self, rules: Mapping[str, Rule], name: str, value: Any) -> None:
        """Carry one foreign setting over by its rule."""
        rule = rules.get(name, UNKNOWN)
        if isinstance(rule, str):
            self.missing.append((name, rule))
            return
        try:
            pairs = rule(value)
            _require_sound(pairs)
        except ConfigurationError as error:
            self.missing.append((name, f"{value!r}: {error}"))
            return
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            self.missing.append((name, f"the value {value!r} is not understood: {error}"))
            return
        for key, item in pairs.items():
            if item is None:  # as good as not set, and TOML has no word for it
                continue
            before = self.settings.get(key)
            if isinstance(before, list) and isinstance(item, list):
                item = before + item
            elif isinstance(before, dict) and isinstance(item, dict):
                item = {**before, **item}
            self.settings[key] = item

    def text(self) -> str:
        """Return it as a coachman.toml, what is missing as comments at the end."""
        lines = [f"{toml_key(key)} = {toml(value)}" for key, value in self.settings.items()]
        if self.missing:
            lines += ["", "# Without an equivalent:"]
            lines += [f"#   {name}: {' '.join(why.split())}" for name, why in self.missing]
        return "\n".join(lines) + "\n"


def _require_sound(pairs: Pairs) -> None:
    """Raise `ConfigurationError` for a value that our setting does not take: the file is to be sound."""
    for key, value in pairs.items():
        if value is not None and key in _PARSERS:
            _PARSERS[key](value, Path())


def to(key: str) -> Rule:
    """Return the rule for a setting of ours that takes the same values."""
    return lambda value: {key: value}
