"""The answer to a request for a file that exists (RFC 9110): status, headers, and which of its bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from coachman.protocol.static.conditions import Validators, Verdict, entity_tag, evaluate, range_applies
from coachman.protocol.static.ranges import Span, parse_range
from coachman.protocol.static.types import may_be_compressed, media_type

Headers: TypeAlias = list[tuple[str, str]]

ALLOWED: Final = "GET, HEAD"
_DECIDING: Final = (
    "accept-encoding",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
)
_AS_BYTES: Final = {name.encode(): name for name in _DECIDING}
_IN_CGI: Final = {"HTTP_" + name.upper().replace("-", "_"): name for name in _DECIDING}


class FileFacts(NamedTuple):
    """What there is to know about the file that is to be sent: the variant, where one was chosen."""

    size: int
    mtime_ns: int
    inode: int
    coding: str = ""
    """The content coding that the file is in; "" for none."""


class StaticResponse(NamedTuple):
    """What to send: the head, and the parts of the body in their order."""

    status: str
    headers: Headers
    parts: tuple[bytes | Span, ...] = ()
    """Bytes as they are, spans from the file; () also where the body may not be sent, as with HEAD."""


def deciding_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Pick out the headers that decide about the answer from those of an ASGI scope; join repeated ones."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = _AS_BYTES.get(name)
        if key is not None:
            text = value.decode("latin-1")
            found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def deciding_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Pick out the headers that decide about the answer, from fields under their names in CGI."""
    return {_IN_CGI[name]: fields[name] for name in _IN_CGI.keys() & fields.keys()}


def respond(
    method: str,
    path: bytes,
    facts: FileFacts,
    headers: dict[str, str],
    *,
    now: float,
    boundary: str,
    cache_control: str = "",
) -> StaticResponse:
    """Decide the answer to `method` for the file at `path`.

    `headers` are those of `deciding_headers` or `deciding_fields`; `now` is in seconds since the epoch;
    `boundary` must not occur in the file, and separates the parts where several ranges are asked for.
    """
    if method not in ("GET", "HEAD"):
        return plain_response("405 Method Not Allowed", [("Allow", ALLOWED)])
    etag = entity_tag(size=facts.size, mtime_ns=facts.mtime_ns, inode=facts.inode, coding=facts.coding)
    validators = Validators(etag, min(facts.mtime_ns // 1_000_000_000, int(now)))
    content_type = media_type(path)
    current: Headers = [("ETag", etag), ("Last-Modified", validators.last_modified)]
    if may_be_compressed(content_type):
        current.append(("Vary", "Accept-Encoding"))
    # What a cache keeps is the same with 200, 206 and 304 (section 15.4.5). An answer that has none of the
    # file must not be kept: by a max-age, a cache would give it to those who ask for the file (RFC 9111, 3).
    common = [*current, ("Cache-Control", cache_control)] if cache_control else current
    match evaluate(headers, validators):
        case Verdict.FAILED:
            return plain_response("412 Precondition Failed", current, with_body=method == "GET")
        case Verdict.NOT_MODIFIED:
            return StaticResponse("304 Not Modified", common)
        case Verdict.PROCEED:
            pass
    described = [*common, ("X-Content-Type-Options", "nosniff"), ("Accept-Ranges", "bytes")]
    if facts.coding:
        described.append(("Content-Encoding", facts.coding))
    if method == "GET" and "range" in headers and range_applies(headers.get("if-range"), validators, now):
        spans = parse_range(headers["range"], facts.size)
        if spans is not None:
            return _partial(spans, facts.size, content_type, current, described, boundary)
    whole = Span(0, facts.size)
    described += [("Content-Type", content_type), ("Content-Length", str(facts.size))]
    return StaticResponse("200 OK", described, (whole,) if method == "GET" and whole.size else ())


def redirect_to(location: str, *, with_body: bool) -> StaticResponse:
    """Send the client to the address of a folder, which ends with a slash."""
    return plain_response("301 Moved Permanently", [("Location", location)], with_body=with_body)


def plain_response(status: str, headers: Headers, *, with_body: bool = True) -> StaticResponse:
    """Return an answer whose body is its status, for a person to read. `with_body`: False for HEAD."""
    body = f"{status}\n".encode()
    described = [*headers, ("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    return StaticResponse(status, described, (body,) if with_body else ())


def _partial(
    spans: list[Span], size: int, content_type: str, current: Headers, described: Headers, boundary: str
) -> StaticResponse:
    if not spans:
        return plain_response("416 Range Not Satisfiable", [*current, ("Content-Range", f"bytes */{size}")])
    status = "206 Partial Content"
    if len(spans) == 1:
        (span,) = spans
        described += [
            ("Content-Type", content_type),
            ("Content-Range", _content_range(span, size)),
            ("Content-Length", str(span.size)),
        ]
        return StaticResponse(status, described, (span,))
    parts: list[bytes | Span] = []
    for span in spans:
        head = (
            f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\n"
            f"Content-Range: {_content_range(span, size)}\r\n\r\n"
        )
        parts += [head.encode(), span]
    parts.append(f"\r\n--{boundary}--\r\n".encode())
    length = sum(part.size if isinstance(part, Span) else len(part) for part in parts)
    described += [
        ("Content-Type", f"multipart/byteranges; boundary={boundary}"),
        ("Content-Length", str(length)),
    ]
    return StaticResponse(status, described, tuple(parts))


def _content_range(span: Span, size: int) -> str:
    return f"bytes {span.start}-{span.stop - 1}/{size}"
