"""`coachman config`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from coachman.cli.loading import loaded_from, with_configuration
from coachman.config.layers import Layer
from coachman.config.loading import ALL, Loaded
from coachman.config.setting import Setting
from coachman.config.settings import SUPERVISOR_SETTINGS
from coachman.config.shown import Plain, plain, toml
from coachman.protocol.masking import MASK, looks_secret, masked_value


@click.command(short_help="Show every setting and where its value comes from.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--from",
    "foreign",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Print the coachman.toml that is equivalent to this Passengerfile.json or gunicorn.conf.py.",
)
@with_configuration
def config(
    as_json: bool, foreign: Path | None, application: str | None, config_file: Path | None, **given: Any
) -> None:
    """Show every setting that `coachman serve` would go by, with the same arguments, and where it comes from.

    The origin is an option, a variable, the line of a file, or "default". Secrets are masked.
    Exit status 0: the configuration is sound; 1: it is not, and standard error says where.
    """
    if foreign is not None:
        from coachman.cli.foreign import print_translation

        print_translation(foreign)
        return
    loaded = loaded_from(application, config_file, given)
    if as_json:
        print(json.dumps(_as_json(loaded), indent=2))
    else:
        _print(loaded)


def _as_json(loaded: Loaded) -> dict[str, Any]:
    return {
        "file": None if loaded.file is None else str(loaded.file),
        "supervisor": _members(SUPERVISOR_SETTINGS, loaded.supervisor),
        "applications": {name: _members(ALL, layer) for name, layer in loaded.applications.items()},
    }


def _members(settings: Iterable[Setting], layer: Layer) -> dict[str, Any]:
    return {
        setting.key: {"value": _shown(setting, layer), "from": layer[setting.key].origins}
        for setting in settings
    }


def _print(loaded: Loaded) -> None:
    print(f"# {loaded.file or 'no file'}")
    print("\n# The supervisor")
    _print_rows(SUPERVISOR_SETTINGS, loaded.supervisor)
    for name, layer in loaded.applications.items():
        print(f"\n# The application {name}")
        _print_rows(ALL, layer)


def _print_rows(settings: Iterable[Setting], layer: Layer) -> None:
    """Print lines that are TOML, where there is a value, with the origins as comments."""
    rows = []
    for setting in settings:
        text = toml(_shown(setting, layer))
        rows.append((f"{setting.key} = {text}" if text else f"# {setting.key}", layer[setting.key].origins))
    width = min(60, max(len(text) for text, _ in rows))
    for text, origins in rows:
        print(f"{text:<{width}}  # {', '.join(origins)}")


def _shown(setting: Setting, layer: Layer) -> Plain:
    value = plain(setting, layer[setting.key].value)
    if setting.key == "env" and isinstance(value, dict):
        return {name: MASK if looks_secret(name) else masked_value(str(value[name])) for name in value}
    return value
