"""The WSGI environment of one request (PEP 3333; RFC 3875 for the CGI names)."""

from __future__ import annotations

import sys
from io import BytesIO
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

import httptools

from coachman.worker.wsgi.request import BadRequest, Request

Environ: TypeAlias = dict[str, Any]

_KEY_CACHE_LIMIT = 512
_keys: dict[bytes, str | None] = {b"content-length": "CONTENT_LENGTH", b"content-type": "CONTENT_TYPE"}
"""Header name, as peers spell it, to its key; None: left out. Bounded, because peers choose the names."""


def base_environ(*, server: tuple[str, str], peer: tuple[str, str], threads: int) -> Environ:
    """Return what the environments of all requests on one connection have in common.

    `server` and `peer` are a host (or "" for a unix socket's peer) and a port, as strings.
    """
    return {
        "SCRIPT_NAME": "",
        "SERVER_NAME": server[0],
        "SERVER_PORT": server[1],
        "REMOTE_ADDR": peer[0],
        "REMOTE_PORT": peer[1],
        "QUERY_STRING": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": threads > 1,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
    }


def build_environ(base: Environ, request: Request) -> Environ:
    """Return the environment for `request`: a copy of `base` with the request's own part.

    Raises `BadRequest` where the request target cannot be understood.
    """
    environ = base.copy()
    environ["REQUEST_METHOD"] = request.method.decode("latin-1")
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if request.version == "1.1" else "HTTP/1.0"
    target = request.target
    environ["RAW_URI"] = target.decode("latin-1")
    if target[:1] != b"/":
        target = _origin_form(target)
    path, separator, query = target.partition(b"?")
    if separator:
        environ["QUERY_STRING"] = query.decode("latin-1")
    if b"%" in path:
        path = unquote_to_bytes(path)
    environ["PATH_INFO"] = path.decode("latin-1")
    for name, value in request.headers:
        try:
            key = _keys[name]
        except KeyError:
            key = _key(name)
        if key is None:
            continue
        text = value.decode("latin-1").rstrip(" \t")  # llhttp leaves it
        if key in environ:
            text = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + text
        environ[key] = text
    body = request.body
    if body is None:
        environ["wsgi.input"] = BytesIO()
    else:
        environ["wsgi.input"] = body.opened_at_start()
        # The body is complete and unchunked by now; the application sees it as one of known length.
        if environ.pop("HTTP_TRANSFER_ENCODING", None) is not None:
            environ["CONTENT_LENGTH"] = str(body.size)
    return environ


def _key(name: bytes) -> str | None:
    lowered = name.lower()
    key: str | None
    if lowered in (b"content-length", b"content-type"):
        key = _keys[lowered]
    elif b"_" in name or lowered == b"proxy":
        # `X_Forwarded_For` would pass for `X-Forwarded-For`; `Proxy` would set HTTP_PROXY for libraries
        # that read it from the environment (CVE-2016-5385).
        key = None
    else:
        key = "HTTP_" + lowered.decode("latin-1").upper().replace("-", "_")
    if len(_keys) < _KEY_CACHE_LIMIT:
        _keys[name] = key
    return key


def _origin_form(target: bytes) -> bytes:
    """Reduce the absolute form of a target to path and query; `*` (OPTIONS) stands for the whole server."""
    if target == b"*":
        return b""
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise BadRequest("400 Bad Request", f"request target {target[:100]!r}") from None
    path = url.path or b"/"
    return path + b"?" + url.query if url.query else path
