"""Text that any encoding can carry, and that any terminal can show."""

from __future__ import annotations

import re
from typing import Final

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def safe(text: str) -> str:
    """Return text that cannot command the terminal: control characters are written as escapes."""
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def sendable(text: str) -> str:
    """Return `text` with escapes for what UTF-8 cannot encode: bytes that were none, and lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
