"""What a peer is told that sends something which is not served."""

from __future__ import annotations


class BadRequest(Exception):
    """The peer sent what HTTP/1.1 does not allow, or more than is taken. The connection ends with `status`.

    The message is for the log: it says what was wrong, and quotes what a peer sent only as a repr.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        """Code and phrase, such as "400 Bad Request"."""


def malformed(reason: str, culprit: str | None = None) -> BadRequest:
    """Return the refusal of what breaks the grammar or the rules of HTTP: `culprit`, where there is one."""
    return BadRequest("400 Bad Request", reason if culprit is None else f"{reason}: {quoted(culprit)}")


def quoted(text: str, limit: int = 60) -> str:
    """Return what of `text` belongs into a log line: printable, and not longer than a line can bear."""
    return ascii(text if len(text) <= limit else text[:limit] + "...")
