"""The media type of a file, by its name, and the same on every machine."""

from __future__ import annotations

import mimetypes
from typing import Final

# Python's own table, without what the machine has in /etc/mime.types: that differs from one to the next.
_types: Final = mimetypes.MimeTypes()

# What Python 3.11 does not know, or calls by an older name.
_AMENDED: Final = {
    ".avif": "image/avif",
    ".cjs": "text/javascript",
    ".geojson": "application/geo+json",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".jsonld": "application/ld+json",
    ".jxl": "image/jxl",
    ".m4a": "audio/mp4",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".rss": "application/rss+xml",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xhtml": "application/xhtml+xml",
    ".xml": "application/xml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
# A compressed file is served as what it is, not as what is in it: a browser would unpack the latter.
_COMPRESSED: Final = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": "application/octet-stream",
    "compress": "application/octet-stream",
}
_OTHER: Final = "application/octet-stream"
# No smaller when compressed once more. Their answers carry no `Vary`, and no variants are looked for.
_DENSE_KINDS: Final = ("video/", "audio/", "font/woff", "image/")
_DENSE: Final = frozenset(
    (*_COMPRESSED.values(), "application/zip", "application/zstd", "application/x-7z-compressed")
) - {_OTHER}
_NOT_DENSE: Final = frozenset(("image/svg+xml", "image/x-icon", "image/bmp", "image/x-ms-bmp", "audio/x-wav"))


def media_type(path: bytes) -> str:
    """Return the value of `Content-Type` for a file of this name."""
    name = path.rpartition(b"/")[2].decode("utf-8", "replace")
    _, dot, extension = name.lower().rpartition(".")
    known = _AMENDED.get(dot + extension)
    if known is None:
        guessed, coding = _types.guess_type("file:///x." + extension if dot else "x")
        known = _COMPRESSED.get(coding, _OTHER) if coding else guessed or _OTHER
    return known + "; charset=utf-8" if known.startswith("text/") else known


def may_be_compressed(content_type: str) -> bool:
    """Return whether files of this type may have precompressed variants."""
    if content_type in _NOT_DENSE:
        return True
    return not content_type.startswith(_DENSE_KINDS) and content_type not in _DENSE
