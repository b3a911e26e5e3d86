"""The lines of a request's head as regular expressions, and words for what does not match them.

The expressions are the grammar of RFC 9112 without its leniencies: every line ends in CR LF, and neither
stands anywhere else; nothing is between the name of a field and its colon; a field is one line. What several
programs in a row could read in several ways (request smuggling) matches nowhere. All repetitions are
possessive, so matching takes linear time whatever a peer sends.

Text is Latin-1: one character is one byte.
"""

from __future__ import annotations

import re

from coachman.protocol.http.refusal import BadRequest, malformed, quoted

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"  # RFC 9110, 5.6.2
# Bytes over 0x7F do not belong into a URI, but are sent; "#" would begin a fragment, which is not sent.
_TARGET = r"[\x21\x22\x24-\x7e\x80-\xff]"
_VALUE = r"[\t\x20-\x7e\x80-\xff]"

REQUEST_LINE = re.compile(rf"({_TOKEN}++) ({_TARGET}++) HTTP/1\.([0-9])\r\n".encode())
"""Method, target and the minor version."""

FIELD_LINE = re.compile(rf"^({_TOKEN}++):[ \t]*+({_VALUE}*+)(?<![ \t])\r\n", re.MULTILINE)
"""Name and value of a field with no space behind the value: nearly every one.

`findall` skips what does not match, so the number of matches is to be compared with that of the line feeds.
"""

_SPACED_FIELD_LINE = re.compile(rf"({_TOKEN}++):({_VALUE}*+)\r\n")
_BEGUN_REQUEST_LINE = re.compile(rf"(?:{_TOKEN}++(?: (?:{_TARGET}++(?: [HTP/0-9.]{{0,8}}+)?+)?+)?+)?+\r?+")
_OTHER_VERSION = re.compile(rf"{_TOKEN}++ {_TARGET}++ HTTP/[0-9]\.[0-9]\r\n")
_VERSION_0_9 = re.compile(rf"GET /{_TARGET}*+\r\n")


def stripped_fields(lines: str) -> list[tuple[str, str]]:
    """Return names and values of field lines, of which some may have spaces behind the value.

    Raises `BadRequest`.
    """
    fields = []
    for line in lines.split("\n")[:-1]:
        match = _SPACED_FIELD_LINE.fullmatch(line + "\n")
        if match is None:
            raise malformed(_fault_of_field_line(line), line)
        fields.append((match[1], match[2].strip(" \t")))
    return fields


def check_begun_request_line(line: str) -> None:
    """Raise `BadRequest` where `line`, which has not ended yet, cannot become a request line."""
    if not _BEGUN_REQUEST_LINE.fullmatch(line):
        raise malformed("this is no request line", line)


def refused_request_line(line: str) -> BadRequest:
    """Return the refusal of a line, its end included, that `REQUEST_LINE` does not match."""
    if _OTHER_VERSION.match(line) or _VERSION_0_9.match(line):
        return BadRequest("505 HTTP Version Not Supported", f"neither HTTP/1.1 nor 1.0: {quoted(line)}")
    if not line.endswith("\r\n"):
        return malformed("a line feed alone ends the request line", line)
    return malformed("this is no request line", line)


def _fault_of_field_line(line: str) -> str:
    """Say what is wrong with a line, its line feed left out."""
    if not line.endswith("\r"):
        return "a line feed alone ends a header field"
    line = line[:-1]
    name, colon, value = line.partition(":")
    if line[:1] in (" ", "\t"):
        return "a header field is folded, or begins with a space"
    if not colon:
        return "a header field has no colon"
    if name[-1:] in (" ", "\t"):
        return "there is a space before a colon"
    if "\r" in value:
        return "there is a carriage return in a header field"
    if re.fullmatch(f"{_TOKEN}+", name):
        return "there is a control character in a header field"
    return "this is no name of a header field"
