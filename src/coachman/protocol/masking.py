"""What of an environment may be shown to somebody: the values of names that look secret are not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MASK: Final = "********"
LONGEST_VALUE: Final = 4096
"""Characters of a value that are kept."""

# Parts of names, between underscores or at their ends. KEY and PASS only so: KEYBOARD and COMPASS are no
# secrets. The longer ones anywhere, because names like PGPASSWORD and AUTHTOKEN exist.
_SECRET_PART: Final = re.compile(
    r"(?:^|[_\-.])(?:API)?(?:KEYS?|PASS|PW|PWD|PIN|AUTH|DSN|CREDS?|SALT|COOKIE|SESSION|SIGNATURE|JWT|PAT|WEBHOOK)\d*(?:$|[_\-.])"
    r"|SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|PRIVATE|APIKEY|ACCESSKEY"
)
# PWD and OLDPWD are the shell's folders; these only name a place or a program.
_HARMLESS: Final = frozenset({"PWD", "OLDPWD", "SSH_AUTH_SOCK", "XDG_SESSION_TYPE", "XDG_SESSION_ID"})
# Up to the last @, because passwords with a slash in them are not always written as they should be. Of the
# scheme only its end: to look for its beginning takes quadratic time in a long value.
_USERINFO: Final = re.compile(r"(?i)([a-z0-9+.\-]://)\S*@")
_IN_QUERY: Final = re.compile(
    r"(?i)([?&;](?:[\w\-]*(?:key|token|secret|passw\w*|pass|auth|signature))=)[^&;\s#]+"
)
# "password=x" and its kin inside a longer value, as in a database's "host=... password='...'", or in JSON.
_IN_TEXT: Final = re.compile(
    r"(?i)(password|passwd|pwd|secret|token|api_?key)([\"']?\s*[=:]\s*)"
    r"""(?:'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+"|[^\s;,&]+)"""
)
_PRIVATE_KEY: Final = re.compile(r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*")
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[\w\-.~+/]+=*")


def looks_secret(name: str) -> bool:
    """Return whether a variable of this name has to be kept to oneself."""
    upper = name.upper()
    return upper not in _HARMLESS and _SECRET_PART.search(upper) is not None


def masked_value(value: str) -> str:
    """Return `value` without what looks secret in it: user and password of an address, and such."""
    value = _USERINFO.sub(rf"\1{MASK}@", value)
    value = _IN_QUERY.sub(rf"\1{MASK}", value)
    value = _IN_TEXT.sub(rf"\1\2{MASK}", value)
    value = _PRIVATE_KEY.sub(rf"\1 {MASK}", value)
    return _BEARER.sub(rf"\1 {MASK}", value)


def masked(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a copy to show, sorted by name: without secrets, no value longer than `LONGEST_VALUE`."""
    shown: dict[str, str] = {}
    for name in sorted(environment):
        value = environment[name]
        if not value:
            shown[name] = value
        elif looks_secret(name):
            shown[name] = MASK
        else:
            value = masked_value(value)
            shown[name] = value if len(value) <= LONGEST_VALUE else value[:LONGEST_VALUE] + "..."
    return shown
