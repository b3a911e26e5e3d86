"""Large bodies: `/` answers a GET with a mebibyte, and a POST with the length of what was uploaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

MEBIBYTE = b"x" * 1024 * 1024


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = MEBIBYTE
    if environ["REQUEST_METHOD"] == "POST":
        body = str(len(environ["wsgi.input"].read())).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
