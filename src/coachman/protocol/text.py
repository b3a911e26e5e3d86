"""Text that any encoding can carry."""

from __future__ import annotations


def sendable(text: str) -> str:
    """Return `text` with escapes for what UTF-8 cannot encode: bytes that were none, and lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
