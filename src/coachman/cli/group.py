"""The commands of `coachman`, each imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import click

from coachman.version import VERSION

COMMANDS: Final = {
    "check": "check:check",
    "config": "config:config",
    "dump": "dump:dump",
    "list": "listing:list_supervisors",
    "logs": "logs:logs",
    "restart": "restart:restart",
    "scale": "scale:scale",
    "serve": "serve:serve",
    "spawn": "spawn:spawn",
    "status": "status:status",
    "stop": "stop:stop",
    "systemd-unit": "systemd_unit:systemd_unit",
}
"""Where each `click.Command` is: a module in this folder, and its name in there."""


class LazyGroup(click.Group):
    """A group that imports a command upon its first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None: there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(f"coachman.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; end as a shell expects after a Ctrl-C, where click would say "Aborted!"."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(130)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="coachman")
def coachman() -> None:
    """Start applications, keep them running and carry their requests."""
