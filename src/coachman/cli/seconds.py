"""A time as an argument."""

from __future__ import annotations

from typing import Any

import click

LONGEST = 86_400.0
"""A day. What waits in the kernel takes no number of any size."""


class Seconds(click.FloatRange):
    """A number of seconds, from `least` (or above it, where `more_than_least`) to a day."""

    name = "number of seconds"

    def __init__(self, least: float = 0.0, *, more_than_least: bool = False) -> None:
        super().__init__(least, LONGEST, min_open=more_than_least)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the number; "nan", which is neither below nor above any bound, is none."""
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value} is not a number of seconds", param, ctx)
        return number
