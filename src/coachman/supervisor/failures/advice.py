"""A plain sentence with what to try, for every failure whose usual causes are known."""

from __future__ import annotations

import re
import signal
from typing import Final

from coachman.policy.own_code import first_to_look_at
from coachman.protocol.journey import Step
from coachman.supervisor.failures.application_advice import error_advice
from coachman.supervisor.failures.failure import FailureKind, StartFailure

CRASHES: Final = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGSYS}
)
SERVING: Final = frozenset({"serve_forever", "run_forever"})
"""Functions of libraries that return when a server is stopped."""
_FRAME: Final = re.compile(r'^  File "([^"]+)", line (\d+) in (.+)$', re.MULTILINE)


def advice(failure: StartFailure) -> str:
    """Return what to try; "" where nothing sensible is known."""
    match failure.kind:
        case FailureKind.REFUSED:
            return error_advice(failure.report) if failure.report is not None else ""
        case FailureKind.MISCONFIGURED:
            return "Mend it, see that `coachman config` ends with status 0, and restart."
        case FailureKind.WRAPPER_MISSING:
            return (
                "Look whether the program and the folder exist, under the name given and as this user sees "
                "them; a script can also name an interpreter in its first line that does not exist."
            )
        case FailureKind.NOT_EXECUTABLE:
            return (
                "See that the user may enter every folder above the file, that the file is executable "
                "(`chmod +x FILE`), that its first line names an interpreter (#!/usr/bin/env ...), and that "
                "its file system is not mounted noexec."
            )
        case FailureKind.NOT_EXECUTED:
            return "The system is out of something: look at the limits for processes and files (`ulimit -a`)."
        case FailureKind.NOT_FORKED:
            return (
                "Look at what the hooks do that run before a fork, at the limits for processes and memory "
                "(`ulimit -a`), or start every worker by itself: `--spawn-method direct`."
            )
        case FailureKind.EXITED:
            return _exit_advice(failure)
        case FailureKind.KILLED:
            return _signal_advice(failure)
        case FailureKind.KILLED_FOR_MEMORY:
            return (
                "Give it more memory (the limit of the container or of the systemd unit, MemoryMax), or let "
                "it load less: look at what it reads into memory while it is imported."
            )
        case FailureKind.TIMED_OUT:
            return _timeout_advice(failure)
        case FailureKind.CHANNEL_CLOSED:
            return (
                "A wrapper has to keep its stdout open until it has said Ready; see that nothing it runs "
                "closes or redirects descriptor 1 before that."
            )
        case FailureKind.PROTOCOL_BROKEN:
            return (
                'Before it is ready, only the lines of the protocol may start with "!> " on stdout: compare '
                "the wrapper with docs/protocols.md, section 3."
            )


def _exit_advice(failure: StartFailure) -> str:
    status = failure.ending.status if failure.ending is not None else None
    if status == 127:
        return "Status 127 is a shell's way to say that a command was not found: look at what it printed."
    if status == 126:
        return (
            "Status 126 is a shell's way to say that a command may not be executed: look at what it printed."
        )
    if status == 0:
        return (
            "It took itself for done. An application process has to go on until its stdin ends; look for a "
            "call that ends it (os._exit, a command that runs in the background and detaches)."
        )
    if failure.printed:
        return "Look at the last lines that it printed: programs say there why they give up."
    return "It printed nothing before it ended: look for a call of os._exit, or for a shell with 'set -e'."


def _signal_advice(failure: StartFailure) -> str:
    number = failure.ending.signal if failure.ending is not None else None
    if number in CRASHES:
        return (
            "It crashed in C code: an extension module that was built for another Python or another library "
            "is the usual cause; set `PYTHONFAULTHANDLER=1` to see which call it was."
        )
    if number == signal.SIGKILL:
        return (
            "Somebody killed it, and nothing readable says who. If memory may have run out, the kernel's log "
            "knows (`journalctl -k`, or `dmesg`)."
        )
    if number == signal.SIGXCPU:
        return "It used up its limit of processor time: raise the limit (`ulimit -t`)."
    if number == signal.SIGXFSZ:
        return "A file grew beyond the limit: raise it (`ulimit -f`)."
    if number == signal.SIGPIPE:
        return "It wrote to a pipe that nobody reads any more: look at what it has its output go to."
    return "Somebody sent it that signal: a service manager, a time limit, or the application itself."


def _timeout_advice(failure: StartFailure) -> str:
    step = failure.journey.step if failure.journey is not None else None
    if place := waiting_place(failure.stacks):
        file, line, function = place
        if SERVING & {name for _, _, name in _frames_of_main_thread(failure.stacks)}:
            return (
                f"The application itself serves requests, from {file}, line {line}. Under coachman it need "
                "not: put app.run() and its like under if __name__ == '__main__'."
            )
        return (
            f"At that moment it was in {function}, {file}, line {line}: see what it waits for there (a "
            "database, a network, a lock), and give such calls a time limit of their own."
        )
    if step in (Step.EXEC, Step.HANDSHAKE):
        return (
            'The wrapper never said "!> I have control 1.0" on its stdout, or did not flush it: run the '
            "command by hand, and look at the first line that it prints."
        )
    return "See what the application waits for while it is loaded: a database, a network, input, a lock."


def waiting_place(stacks: str) -> tuple[str, int, str] | None:
    """Return file, line and function of where the main thread was: faulthandler writes that thread last.

    Libraries are left out where something of the application's called them.
    """
    frames = _frames_of_main_thread(stacks)
    found = first_to_look_at([file for file, _, _ in frames])
    return None if found is None else frames[found]


def _frames_of_main_thread(stacks: str) -> list[tuple[str, int, str]]:
    main_thread = stacks.rpartition("\n\n")[2]
    return [(file, int(line), function) for file, line, function in _FRAME.findall(main_thread)]
