"""One thing that can be set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coachman.config.values import Parser


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be set."""

    key: str
    """As an option, after two dashes; in the file; in capitals, after ``COACHMAN_``, as a variable."""
    target: str
    """Its place in `ApplicationConfig` or `SupervisorConfig`, with dots."""
    parse: Parser[Any]
    help: str
    metavar: str = ""
    """What stands for its value in the help; "" for a switch."""
    several: bool = False
    """Whether the option may be given several times."""

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        return "COACHMAN_" + self.key.upper().replace("-", "_")

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return "--" + self.key
