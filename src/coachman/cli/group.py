"""The commands of `coachman`, each imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from coachman.version import VERSION

COMMANDS: Final = ("check", "serve", "spawn", "systemd-unit")
"""Each is a `click.Command` in a module, both of this name, with "_" for "-"."""


class LazyGroup(click.Group):
    """A group that imports a command upon its first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None: there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(import_module(f"coachman.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="coachman")
def coachman() -> None:
    """Start applications, keep them running and carry their requests."""
