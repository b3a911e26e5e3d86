"""The WSGI environment of one request (PEP 3333; RFC 3875 for the CGI names)."""

from __future__ import annotations

import sys
from io import BytesIO
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_to_bytes

from coachman.protocol.http.fields import CONTENT_LENGTH, HOST, TRANSFER_ENCODING
from coachman.protocol.http.forwarded import FORWARDED_FIELDS, ForwardedReader
from coachman.protocol.http.head import CHUNKED
from coachman.protocol.http.target import split_target
from coachman.protocol.proxy_protocol import ProxyHeader
from coachman.worker.wsgi.file_wrapper import FileWrapper
from coachman.worker.wsgi.request import Request

Environ: TypeAlias = dict[str, Any]

REQUEST_ID: Final = "HTTP_X_REQUEST_ID"
"""Where an application finds the id of a request."""


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


def proxied_environ(base: Environ, header: ProxyHeader) -> Environ:
    """Return `base` for a connection of which a trusted proxy has told by the PROXY protocol."""
    environ = base.copy()
    if header.source is not None:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = header.source
    if header.destination is not None and header.destination.address:
        environ["SERVER_NAME"], environ["SERVER_PORT"] = header.destination
    if header.tls:
        environ["wsgi.url_scheme"] = "https"
    return environ


def build_environ(base: Environ, request: Request, forwarded: ForwardedReader | None = None) -> Environ:
    """Return the environment for `request`: a copy of `base` with the request's own part.

    `forwarded` reads what a proxy says of the client; None: the peer's word on that is not taken.
    Raises `BadRequest` where a proxy's word cannot be understood.
    """
    fields = request.fields
    environ = base | fields.headers
    environ["REQUEST_METHOD"] = request.method
    environ["SERVER_PROTOCOL"] = fields.protocol
    environ["RAW_URI"] = path = request.target
    if path[0] != "/" or "?" in path:
        path, environ["QUERY_STRING"], authority = split_target(path)
        if authority is not None:
            environ[HOST] = authority  # it overrules the field (RFC 9112, 3.2.2)
    if "%" in path:
        path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    environ["PATH_INFO"] = path
    if fields.forwarded:
        _apply_forwarded(environ, forwarded)
    body = request.body
    if fields.length == CHUNKED:
        # The body is complete and unchunked by now; the application sees it as one of known length.
        del environ[TRANSFER_ENCODING]
        environ[CONTENT_LENGTH] = "0" if body is None else str(body.size)
    environ["wsgi.input"] = BytesIO() if body is None else body.opened_at_start()
    return environ


def _apply_forwarded(environ: Environ, reader: ForwardedReader | None) -> None:
    if reader is None:
        # Applications believe these fields. From a peer that nobody trusts, they are not for them to see.
        for key in FORWARDED_FIELDS:
            environ.pop(key, None)
        return
    origin = reader.read(environ)
    if origin.address is not None:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = origin.address, origin.port
    if origin.scheme is not None:
        environ["wsgi.url_scheme"] = origin.scheme
    if origin.host is not None:
        environ[HOST] = origin.host
