"""Text that any encoding can carry, and that any terminal can show."""

from __future__ import annotations

TYPE_CHECKING = False  # every application process imports this, and typing takes long
if TYPE_CHECKING:
    from typing import Final

# All but tabs and newlines.
_CONTROLS: Final = (*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0))
_ESCAPES: Final = {code: f"\\x{code:02x}" for code in _CONTROLS}


def safe(text: str) -> str:
    """Return text that cannot command the terminal: control characters are written as escapes."""
    return text.translate(_ESCAPES)


def sendable(text: str) -> str:
    """Return `text` with escapes for what UTF-8 cannot encode: bytes that were none, and lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
