"""The fields of a head, under the names of CGI (RFC 3875, 4.1.18).

These names are what a WSGI application is given, and one spelling of each is what the server itself needs as
well. The work a field costs is a look into two dictionaries: the spellings that peers use are remembered.
"""

from __future__ import annotations

from typing import Final

from coachman.protocol.http.refusal import malformed

HOST: Final = "HTTP_HOST"
CONTENT_LENGTH: Final = "CONTENT_LENGTH"
TRANSFER_ENCODING: Final = "HTTP_TRANSFER_ENCODING"
CONNECTION: Final = "HTTP_CONNECTION"
EXPECT: Final = "HTTP_EXPECT"
COOKIE: Final = "HTTP_COOKIE"

_ONCE = {HOST: "Host", CONTENT_LENGTH: "Content-Length", TRANSFER_ENCODING: "Transfer-Encoding"}
"""Fields of which a second one is refused, with the names that people know."""

_CACHE_LIMIT = 512
_keys: dict[str, str | None] = {}
"""Names as peers spell them; None: a field that is left out. Bounded, because peers choose the names."""


def gather(fields: list[tuple[str, str]]) -> dict[str, str]:
    """Return the values of `fields`, those of fields with one name joined.

    Raises `BadRequest` where a field is given twice that must not be.
    """
    keys = _keys
    try:
        gathered = {keys[name]: value for name, value in fields}
    except KeyError:
        pass
    else:
        if len(gathered) == len(fields) and None not in gathered:
            return gathered  # type: ignore[return-value]  # None was looked for
    return _gather_one_by_one(fields)


def _gather_one_by_one(fields: list[tuple[str, str]]) -> dict[str, str]:
    gathered: dict[str, str] = {}
    for name, value in fields:
        key = _key(name)
        if key is None:
            continue
        if key in gathered:
            if key in _ONCE:
                raise malformed(f"there is more than one {_ONCE[key]} field")
            value = gathered[key] + ("; " if key == COOKIE else ",") + value
        gathered[key] = value
    return gathered


def _key(name: str) -> str | None:
    key: str | None
    upper = name.upper().replace("-", "_")
    if "_" in name or upper == "PROXY":
        # `X_Forwarded_For` would pass for `X-Forwarded-For`; `Proxy` would set HTTP_PROXY for libraries
        # that read it from the environment (CVE-2016-5385).
        key = None
    elif upper in (CONTENT_LENGTH, "CONTENT_TYPE"):
        key = upper
    else:
        key = "HTTP_" + upper
    if len(_keys) < _CACHE_LIMIT and len(name) < 64:
        _keys[name] = key
    return key
