"""`coachman config --from`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from coachman.config.foreign import gunicorn, passenger
from coachman.config.foreign.translation import Translation
from coachman.errors import ConfigurationError

TRANSLATORS: Final[dict[str, Callable[[Path, str], Translation]]] = {
    ".json": passenger.translate,
    ".py": gunicorn.translate,
}
"""By the suffix of the file: Passengerfile.json, gunicorn.conf.py."""


def print_translation(path: Path) -> None:
    """Print the coachman.toml on standard output; name what has no equivalent on standard error."""
    translate = TRANSLATORS.get(path.suffix)
    if translate is None:
        raise ConfigurationError(f"{path} is neither a Passengerfile.json nor a gunicorn.conf.py")
    try:
        source = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from error
    result = translate(path, source)
    print(f"# From {path.name}.")
    print(result.text(), end="")
    for name, why in result.missing:
        click.echo(f"coachman: {path.name}: {name}: {why}", err=True)
