"""Command-line options, made from the table of settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import click

from coachman.config.building import default_of
from coachman.config.setting import Setting
from coachman.errors import ConfigurationError
from coachman.location import current_folder

Command = TypeVar("Command", bound=Callable[..., Any])


def with_options(settings: Iterable[Setting]) -> Callable[[Command], Command]:
    """Return a decorator that gives a command an option for each setting.

    The command gets what was given as ``**given``, under the names that click derives from the keys, and None
    (or nothing, where an option may come several times) for what was not; `values_given` makes use of it.
    """

    def decorate(command: Command) -> Command:
        for setting in reversed(list(settings)):
            command = _option(setting)(command)
        return command

    return decorate


def values_given(settings: Iterable[Setting], given: dict[str, Any]) -> dict[str, Any]:
    """Return the values of those settings that were given, by key."""
    found = {}
    for setting in settings:
        value = given.get(_parameter(setting))
        if value is not None:
            found[setting.key] = value
    return found


def _parameter(setting: Setting) -> str:
    return "option_" + setting.key.replace("-", "_")


def _option(setting: Setting) -> Callable[[Command], Command]:
    def parse(_context: click.Context, _parameter: click.Parameter, raw: Any) -> Any:
        if raw is None or raw == ():
            return None
        try:
            return setting.parse(raw, Path(current_folder()))
        except ConfigurationError as error:
            raise click.BadParameter(str(error)) from None

    if not setting.metavar:
        names = [f"--{setting.key}/--no-{setting.key}", _parameter(setting)]
        return click.option(*names, default=None, callback=parse, help=setting.help)
    return click.option(
        f"--{setting.key}",
        _parameter(setting),
        metavar=setting.metavar,
        multiple=setting.several,
        callback=parse,
        help=setting.help + _more(setting),
    )


def _more(setting: Setting) -> str:
    default = default_of(setting)
    if setting.key == "processes":
        text = "auto"
    elif isinstance(default, tuple):
        text = ", ".join(map(str, default))
    elif isinstance(default, StrEnum):
        text = default.value
    elif isinstance(default, float):
        text = f"{default:g}"
    elif default is None or default == {}:
        text = ""
    else:
        text = str(default)
    several = " May be given several times." if setting.several else ""
    return several + (f"  [default: {text}]" if text and text != "0" else "")
