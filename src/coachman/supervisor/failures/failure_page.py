"""A failed start as an HTML page: one file, for a browser on anything from a phone upwards."""

from __future__ import annotations

from collections.abc import Iterator

from coachman.supervisor.failures import page
from coachman.supervisor.failures.advice import advice
from coachman.supervisor.failures.failure import StartFailure
from coachman.supervisor.failures.failure_text import process_facts, without_markup


def failure_page(failure: StartFailure) -> str:
    """Return the page, with everything that is known; the traceback once."""
    title = f"{failure.application or 'The application'} could not be started"
    return page.document(title, _parts(failure, title), failed=True)


def _parts(failure: StartFailure, title: str) -> Iterator[str]:
    report = failure.report
    where = f"{report.file}, line {report.line}" if report is not None and report.file is not None else ""
    headline = without_markup(failure.headline) if failure.html else failure.headline
    # The line above says already that it could not be started; the cause is what the eye looks for.
    cause = report.cause if report is not None else ""
    headline = cause or headline[:1].upper() + headline[1:]
    yield page.heading(title, headline, where)
    if sentence := advice(failure):
        yield page.hint(sentence)
    if message := (without_markup(failure.message) if failure.html else failure.message):
        yield page.quotation("Traceback" if report is not None else "What it reported", message)
    if failure.stacks:
        yield page.quotation("Where its threads were", failure.stacks)
    if failure.journey is not None:
        yield page.journey("The journey", failure.journey, failed=True)
    if failure.printed:
        yield page.printed("What it printed", failure.printed)
    if process := process_facts(failure):
        yield page.facts("The process", process)
    if report is None:
        return
    if report.path:
        yield page.listing("sys.path", report.path)
    if report.environment:
        yield page.facts("The environment, secrets masked", report.environment.items(), folded=True)
    if report.packages:
        title = "Installed packages" + ("" if report.packages_complete else " (not all: it took too long)")
        yield page.facts(title, report.packages, folded=True)
