"""The words of the control socket, by which a person asks things of a running supervisor.

The client sends array messages, the supervisor answers each with scalar messages of JSON: an `Answer`, whose
`result` is what the table says. An empty APP means all applications. A client may ask again on the same
connection.

=====================  ================================  ==============================================
request                result                            meaning
=====================  ================================  ==============================================
``status``             `SupervisorStatus`                the state of everything
``restart APP``        `RestartsResult`                  begin rolling restarts
``restarted APP``      `RestartsResult`                  as before; answered when all have their outcome
``scale APP CHANGE``   object: name to new count         CHANGE is "4", "2-8", "+1" or "-1"
``dump APP PID``       object: pid to text               the stacks of worker PID, or of all if it is empty
``stop WAY``           null                              WAY is "gracefully" or "now"
``reopen``             null                              reopen the log file
``logs APP``           `LogLines`                        the recent lines of the log
``follow APP``         `LogLines`, again and again       the same, and all that follow, until the client goes
=====================  ================================  ==============================================

The supervisor speaks first only to refuse: an `Answer` with an `error`, then the end.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from coachman.protocol.status import RestartStatus
from coachman.protocol.text import sendable

STATUS: Final = "status"
RESTART: Final = "restart"
RESTARTED: Final = "restarted"
SCALE: Final = "scale"
DUMP: Final = "dump"
STOP: Final = "stop"
REOPEN: Final = "reopen"
LOGS: Final = "logs"
FOLLOW: Final = "follow"

ARGUMENTS: Final = {
    STATUS: 0,
    RESTART: 1,
    RESTARTED: 1,
    SCALE: 2,
    DUMP: 2,
    STOP: 1,
    REOPEN: 0,
    LOGS: 1,
    FOLLOW: 1,
}
"""How many arguments each request has."""

GRACEFULLY: Final = "gracefully"
NOW: Final = "now"

LONGEST_ANSWER: Final = 64 * 1024 * 1024
"""Bytes; nothing that a supervisor has to say comes near."""


LONGEST_TEXT: Final = 256 * 1024
"""Characters of the log in one answer: short lines become many times as long by what is put before them."""


class RestartsResult(msgspec.Struct, frozen=True):
    """What became of rolling restarts, by application."""

    restarts: dict[str, RestartStatus]

    @property
    def all_done(self) -> bool:
        """Whether each has ended with the new generation in service."""
        return all(restart.outcome == "done" for restart in self.restarts.values())

    @property
    def any_failed(self) -> bool:
        """Whether one has failed: at once, where the configuration cannot be used."""
        return any(restart.outcome == "failed" for restart in self.restarts.values())


class LogLines(msgspec.Struct, frozen=True):
    """Lines of the log."""

    text: str
    """Whole lines, as the log has them."""
    skipped: int = 0
    """Lines between the last ones and these that could not be kept for a client that reads too slowly."""

    @classmethod
    def last_of(cls, text: str, skipped: int = 0) -> LogLines:
        """Return the last of `text` that one answer has room for, in whole lines; the others are skipped."""
        if len(text) <= LONGEST_TEXT:
            return cls(text, skipped)
        begin = text.find("\n", len(text) - LONGEST_TEXT - 1) + 1
        return cls(text[begin:], skipped + text.count("\n", 0, begin))


class Answer(msgspec.Struct, frozen=True):
    """What the supervisor says to a request."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    """Why there is no result; "": there is one."""


def answer(result: object = None) -> bytes:
    """Return the message with this result."""
    try:
        encoded = msgspec.json.encode(result)
    except UnicodeEncodeError:  # a name, of a folder say, that is no UTF-8
        encoded = msgspec.json.encode(_sendable(msgspec.to_builtins(result)))
    return msgspec.json.encode(Answer(result=msgspec.Raw(encoded)))


def refusal(error: str) -> bytes:
    """Return the message that says why there is no result."""
    return msgspec.json.encode(Answer(error=sendable(error)))


def _sendable(value: Any) -> Any:
    match value:
        case str():
            return sendable(value)
        case list() | tuple():
            return [_sendable(item) for item in value]
        case dict():
            return {_sendable(key): _sendable(item) for key, item in value.items()}
        case _:
            return value


def complaint_about(message: list[str]) -> str:
    """Return what is wrong with a request; "" where it is one of the table's."""
    name, *arguments = message
    if name not in ARGUMENTS:
        return f"there is no request {name[:40]!r}; there are {', '.join(ARGUMENTS)}"
    if len(arguments) != ARGUMENTS[name]:
        return f"the request {name!r} has {ARGUMENTS[name]} arguments, not {len(arguments)}"
    return ""
