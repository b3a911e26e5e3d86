"""The arguments of `coachman check`, read without the library that reads those of the other commands.

That library takes longer to import than a small application to start. What is not understood here (help, a
mistake, an abbreviation) is left to it, so nobody has to meet two kinds of messages.
"""

from __future__ import annotations

from collections.abc import Sequence

from coachman.protocol.value import Value

DEFAULT_TIMEOUT = 90.0
LONGEST_TIMEOUT = 86_400.0
"""As `Seconds` has it, which takes that library."""


class CheckArguments(Value):
    """What `coachman check` was asked for."""

    application: str = "."
    html: str | None = None
    json: bool = False
    timeout: float = DEFAULT_TIMEOUT


def parse_plainly(arguments: Sequence[str]) -> CheckArguments | None:
    """Read what is spelled out and right; None: it takes a closer look."""
    application: str | None = None
    options: dict[str, str] = {}
    json = False
    waiting = list(reversed(arguments))
    while waiting:
        argument = waiting.pop()
        if argument == "--json":
            json = True
        elif argument in ("--html", "--timeout") and waiting:
            options[argument] = waiting.pop()
        elif argument.startswith("-") or not argument or application is not None:
            return None
        else:
            application = argument
    html = options.get("--html")
    try:
        timeout = float(options.get("--timeout", DEFAULT_TIMEOUT))
    except ValueError:
        return None
    if not 0 < timeout <= LONGEST_TIMEOUT or html == "":
        return None
    return CheckArguments("." if application is None else application, html, json, timeout)
