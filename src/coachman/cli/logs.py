"""`coachman logs`."""

from __future__ import annotations

import sys
from typing import Any

import click

from coachman.cli.supervisors import NoAnswer, chosen_supervisor
from coachman.cli.target import target_from, with_target
from coachman.counted import counted
from coachman.protocol.control_socket import FOLLOW, LOGS, REOPEN, LogLines


@click.command(short_help="Print the recent lines of the log, or follow it.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is logged from now on, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(0), metavar="N", help="So many of the recent lines only.")
@click.option("--reopen", is_flag=True, help="Print nothing; have the log file opened anew, by its name.")
@with_target
def logs(follow: bool, lines: int | None, reopen: bool, **target: Any) -> None:
    """Print the recent lines of the log: about 128 KiB of each application, wherever the log goes.

    With --app: what that application has printed, and what the supervisor says. Who follows and reads too
    slowly is told how many lines are missing.
    Exit status 0: done, or the supervisor that was followed has ended; 1: there is no such application;
    3: no supervisor; 4: several; 5: no answer.
    """
    meant = target_from(target)
    with chosen_supervisor(meant) as supervisor:
        if reopen:
            supervisor.ask(REOPEN, result=type(None))
            return
        first = supervisor.ask(FOLLOW if follow else LOGS, meant.app, result=LogLines)
        _write(first.text if lines is None else _last_lines(first.text, lines))
        try:
            while follow:
                more = supervisor.next(LogLines, timeout=None)
                if more.skipped:
                    missing = counted(more.skipped, "line")
                    _write(f"... {missing} missing here: what is logged is read too slowly ...\n")
                _write(more.text)
        except NoAnswer:
            pass  # it has ended


def _last_lines(text: str, count: int) -> str:
    # Not by splitlines(), to which a carriage return or a form feed inside of a line is the end of one.
    begin = len(text)
    while begin and count:
        begin, count = text.rfind("\n", 0, begin - 1) + 1, count - 1
    return text[begin:]


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode(errors="backslashreplace"))
    sys.stdout.buffer.flush()
