"""A failed start as text for a terminal: what happened, what to try, then everything else that is known."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from html import unescape
from typing import Final

from coachman.protocol.text import safe
from coachman.supervisor.failures.advice import advice
from coachman.supervisor.failures.failure import StartFailure
from coachman.supervisor.failures.wording import attributed, indented, journey_lines

WIDTH: Final = 100
QUOTED_LINES: Final = 20
"""How many of the last printed lines are quoted where not all of them are asked for."""
BOLD, DIM, PLAIN = "\033[1m", "\033[2m", "\033[0m"


def summary(failure: StartFailure, *, quote_printed: bool, with_journey: bool = False) -> str:
    """Return what somebody needs who has the log before them; `quote_printed` for somebody who has not."""
    parts = [_headline(failure, colour=False)]
    if tail := _message(failure):
        parts += ["", tail]
    if failure.stacks:
        parts += ["", "where its threads were:", indented(safe(failure.stacks).splitlines())]
    if quote_printed and failure.printed:
        lines = [line.text for line in failure.printed[-QUOTED_LINES:]]
        parts += ["", "the last that it printed:", indented(map(safe, lines))]
    if with_journey and failure.journey is not None:
        parts += ["", "the journey:", indented(journey_lines(failure.journey, failed=True))]
    return "\n".join(parts)


def full_text(failure: StartFailure, *, colour: bool = False) -> str:
    """Return everything that is known, the traceback once."""
    parts = [_headline(failure, colour=colour)]
    if tail := _message(failure):
        parts += ["", tail]
    for title, lines in _sections(failure):
        heading = f"{BOLD}{title}{PLAIN}" if colour else title
        parts += ["", heading, indented(lines)]
    return "\n".join(parts)


def without_markup(text: str) -> str:
    """Return HTML as plain text, well enough for a message: some wrappers report their errors as HTML."""
    text = re.sub(r"(?is)<(script|style)\b.*?</\1>", "", text)
    text = re.sub(r"(?i)<(br|/p|/div|/h\d|/li|/tr|/pre)\b[^>]*>", "\n", text)
    text = unescape(re.sub(r"<[^>]*>", "", text))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _headline(failure: StartFailure, *, colour: bool) -> str:
    headline = safe(without_markup(failure.headline) if failure.html else failure.headline)
    lines = [f"{BOLD}{headline}{PLAIN}" if colour else headline]
    report = failure.report
    if report is not None and report.file is not None:
        lines.append(f"  where:  {safe(report.file)}, line {report.line}")
    if sentence := advice(failure):
        lines.append(
            textwrap.fill(
                safe(sentence),
                WIDTH,
                initial_indent="  to try: ",
                subsequent_indent=" " * 10,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )
    return "\n".join(lines)


def _message(failure: StartFailure) -> str:
    return safe(without_markup(failure.message) if failure.html else failure.message)


def _sections(failure: StartFailure) -> Iterator[tuple[str, list[str]]]:
    report = failure.report
    if failure.stacks:
        yield "Where its threads were", safe(failure.stacks).splitlines()
    if failure.journey is not None:
        yield "The journey", journey_lines(failure.journey, failed=True)
    if failure.printed:
        yield "What it printed", [safe(attributed(line)) for line in failure.printed]
    process = process_facts(failure)
    if process:
        yield "The process", [f"{name:<18}{safe(value)}" for name, value in process]
    if report is not None:
        if report.path:
            yield "sys.path", [safe(entry) for entry in report.path]
        if report.environment:
            pairs = report.environment.items()
            yield "The environment (secrets masked)", [safe(f"{name}={value}") for name, value in pairs]
        if report.packages:
            title = "Installed packages" + (
                "" if report.packages_complete else " (not all: it took too long)"
            )
            names = ", ".join(f"{name} {version}" for name, version in report.packages)
            yield title, textwrap.wrap(safe(names), WIDTH - 4, break_long_words=False, break_on_hyphens=False)


def process_facts(failure: StartFailure) -> list[tuple[str, str]]:
    """Return what is known of the process, as names and values."""
    facts = []
    if failure.application:
        facts.append(("application", failure.application))
    if failure.pid is not None:
        facts.append(("pid", str(failure.pid)))
    if failure.ending is not None:
        facts.append(("ended with", str(failure.ending)))
    if failure.report is not None and failure.report.interpreter:
        facts.append(("interpreter", failure.report.interpreter))
        facts.append(("Python", failure.report.version))
    return facts
