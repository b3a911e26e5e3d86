"""The tables of `docs/configuration.md`, made from the table of settings."""

from __future__ import annotations

from collections.abc import Iterable

from coachman.config.building import default_of
from coachman.config.setting import Setting
from coachman.config.shown import plain, toml


def markdown_table(settings: Iterable[Setting]) -> str:
    """Return a table of settings: key, value, default, meaning."""
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for setting in settings:
        value = f"`{setting.metavar}`" if setting.metavar else "`true` or `false`"
        cells = (f"`{setting.key}`", value, default_text(setting), setting.help)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def default_text(setting: Setting) -> str:
    """Return the default as the file would have it; "" where there is none."""
    if setting.key == "processes":
        return '`"auto"`'
    value = plain(setting, default_of(setting))
    return "" if value in (None, "", [], {}) else f"`{toml(value)}`"
