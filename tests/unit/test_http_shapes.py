"""Shapes of requests, each with the status it is refused with: what RFC 9112 forbids, and what is near it."""

from __future__ import annotations

import pytest

from coachman.worker.wsgi.request import BadRequest, Request, RequestParser
from coachman.worker.wsgi.scratch_files import ScratchFiles

HOST = b"Host: x\r\n"


def get(fields: bytes = HOST, line: bytes = b"GET / HTTP/1.1\r\n") -> bytes:
    return line + fields + b"\r\n"


def post(framing: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n" + body


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body)


REFUSED = {
    # Framing that two readers may read in two ways (RFC 9112, 6).
    "both lengths": (post(b"Content-Length: 3\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"), 400),
    "both lengths, the other way round": (post(b"Transfer-Encoding: chunked\r\nContent-Length: 3"), 400),
    "two lengths": (post(b"Content-Length: 3\r\nContent-Length: 4"), 400),
    "two equal lengths": (post(b"Content-Length: 3\r\nContent-Length: 3", b"abc"), 400),
    "two lengths in different spellings": (post(b"Content-Length: 3\r\ncontent-length: 3", b"abc"), 400),
    "a list of lengths": (post(b"Content-Length: 3, 3", b"abc"), 400),
    "a positive length": (post(b"Content-Length: +3", b"abc"), 400),
    "a negative length": (post(b"Content-Length: -3", b"abc"), 400),
    "a length with a space in it": (post(b"Content-Length: 1 3", b"abc"), 400),
    "a length in hexadecimal": (post(b"Content-Length: 0x3", b"abc"), 400),
    "a length with an underscore": (post(b"Content-Length: 1_0"), 400),
    "a length with a fraction": (post(b"Content-Length: 3.0", b"abc"), 400),
    "a length in other digits": (post("Content-Length: \u00b3".encode("latin-1"), b"abc"), 400),
    "an empty length": (post(b"Content-Length:"), 400),
    "a length beyond all bounds": (post(b"Content-Length: 99999999999999999999"), 413),
    "an unknown coding": (post(b"Transfer-Encoding: gzip"), 400),
    "a list of codings": (post(b"Transfer-Encoding: gzip, chunked"), 400),
    "chunked twice": (post(b"Transfer-Encoding: chunked, chunked"), 400),
    "two codings": (post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 400),
    "identity": (post(b"Transfer-Encoding: identity"), 400),
    "chunked and identity": (post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"), 400),
    "chunked in quotes": (post(b'Transfer-Encoding: "chunked"'), 400),
    "chunked with a parameter": (post(b"Transfer-Encoding: chunked;q=1"), 400),
    "chunked behind a vertical tab": (post(b"Transfer-Encoding: \x0bchunked"), 400),
    "chunked before a form feed": (post(b"Transfer-Encoding: chunked\x0c"), 400),
    "chunked with a comma": (post(b"Transfer-Encoding: chunked,"), 400),
    "xchunked": (post(b"Transfer-Encoding: xchunked"), 400),
    "an empty coding": (post(b"Transfer-Encoding:"), 400),
    "chunked in 1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    # Lines (RFC 9112, 2.2 and 5).
    "line feeds alone": (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    "a line feed alone behind the request line": (b"GET / HTTP/1.1\nHost: x\r\n\r\n", 400),
    "a line feed alone behind a field": (get(b"Host: x\nA: b\r\n"), 400),
    "a line feed alone at the end": (b"GET / HTTP/1.1\r\nHost: x\r\n\n", 400),
    "a line feed alone before a smuggled field": (
        get(b"Host: x\r\nA: b\nTransfer-Encoding: chunked\r\n"),
        400,
    ),
    "a carriage return in a value": (get(b"Host: x\r\nA: b\rc\r\n"), 400),
    "a carriage return before a smuggled field": (get(b"Host: x\r\nA: b\rContent-Length: 3\r\n"), 400),
    "two carriage returns": (get(b"Host: x\r\nA: b\r\r\n"), 400),
    "a carriage return in the request line": (b"GET /\rx HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a space before the colon": (get(b"Host: x\r\nContent-Length : 3\r\n"), 400),
    "a tab before the colon": (get(b"Host: x\r\nContent-Length\t: 3\r\n"), 400),
    "a folded field": (get(b"Host: x\r\nA: b\r\n c\r\n"), 400),
    "a field folded with a tab": (get(b"Host: x\r\nA: b\r\n\tc\r\n"), 400),
    "a fold that hides a coding": (get(b"Host: x\r\nTransfer-Encoding:\r\n chunked\r\n"), 400),
    "a space before the first field": (get(b" Host: x\r\n"), 400),
    "a NUL in a value": (get(b"Host: x\r\nA: b\x00c\r\n"), 400),
    "a NUL in a name": (get(b"Host: x\r\nA\x00: b\r\n"), 400),
    "a NUL in the target": (get(line=b"GET /\x00 HTTP/1.1\r\n"), 400),
    "a control byte in a value": (get(b"Host: x\r\nA: \x01\r\n"), 400),
    "an escape in a value": (get(b"Host: x\r\nA: \x1b[2J\r\n"), 400),
    "DEL in a value": (get(b"Host: x\r\nA: \x7f\r\n"), 400),
    "a control byte in the target": (get(line=b"GET /\x01 HTTP/1.1\r\n"), 400),
    "DEL in the target": (get(line=b"GET /\x7f HTTP/1.1\r\n"), 400),
    "a name with a space": (get(b"Host: x\r\nA B: c\r\n"), 400),
    "a name with a parenthesis": (get(b"Host: x\r\nA(: c\r\n"), 400),
    "a name with a byte over 127": (get(b"Host: x\r\n\xc4: c\r\n"), 400),
    "no name": (get(b"Host: x\r\n: c\r\n"), 400),
    "no colon": (get(b"Host: x\r\nno colon\r\n"), 400),
    # The request line (RFC 9112, 3).
    "two spaces behind the method": (get(line=b"GET  / HTTP/1.1\r\n"), 400),
    "two spaces behind the target": (get(line=b"GET /  HTTP/1.1\r\n"), 400),
    "a tab in the request line": (get(line=b"GET\t/ HTTP/1.1\r\n"), 400),
    "a space at the beginning": (get(line=b" GET / HTTP/1.1\r\n"), 400),
    "a space at the end of the line": (get(line=b"GET / HTTP/1.1 \r\n"), 400),
    "a space in the target": (get(line=b"GET /a b HTTP/1.1\r\n"), 400),
    "a fragment": (get(line=b"GET /#x HTTP/1.1\r\n"), 400),
    "no target": (get(line=b"GET HTTP/1.1\r\n"), 400),
    "no method": (get(line=b"/ HTTP/1.1\r\n"), 400),
    "a method that is no token": (get(line=b"G@T / HTTP/1.1\r\n"), 400),
    "a version in small letters": (get(line=b"GET / http/1.1\r\n"), 400),
    "a version with more digits": (get(line=b"GET / HTTP/1.10\r\n"), 400),
    "another protocol": (get(line=b"GET / RTSP/1.1\r\n"), 400),
    "HTTP/2": (get(line=b"GET / HTTP/2.0\r\n"), 505),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/0.9": (b"GET /\r\n", 505),
    "a version of the future": (get(line=b"GET / HTTP/3.7\r\n"), 505),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "zeros": (b"\x00" * 1000, 400),
    "words": (b"hello\r\n\r\n", 400),
    # Targets (RFC 9112, 3.2).
    "* without OPTIONS": (get(line=b"GET * HTTP/1.1\r\n"), 400),
    "CONNECT": (get(line=b"CONNECT x:443 HTTP/1.1\r\n"), 501),
    "an authority without CONNECT": (get(line=b"GET x:443 HTTP/1.1\r\n"), 400),
    "a path without a slash": (get(line=b"GET index.html HTTP/1.1\r\n"), 400),
    "another scheme": (get(line=b"GET ftp://x/ HTTP/1.1\r\n"), 400),
    "a URL without a host": (get(line=b"GET http:///x HTTP/1.1\r\n"), 400),
    "a URL with a port and no host": (get(line=b"GET http://:80/x HTTP/1.1\r\n"), 400),
    "a URL with a user": (get(line=b"GET http://user@x/ HTTP/1.1\r\n"), 400),
    # Host (RFC 9112, 3.2).
    "no host": (get(b"A: b\r\n"), 400),
    "no host beside a URL": (get(b"", b"GET http://x/ HTTP/1.1\r\n"), 400),
    "two hosts": (get(b"Host: x\r\nHost: x\r\n"), 400),
    "two hosts in 1.0": (get(b"Host: x\r\nHost: x\r\n", b"GET / HTTP/1.0\r\n"), 400),
    "a host with a path": (get(b"Host: x/y\r\n"), 400),
    "a host with a user": (get(b"Host: a@x\r\n"), 400),
    "a host with a space": (get(b"Host: x y\r\n"), 400),
    "a host with a word for a port": (get(b"Host: x:http\r\n"), 400),
    "a host with two ports": (get(b"Host: x:1:2\r\n"), 400),
    "an IPv6 host without brackets": (get(b"Host: ::1\r\n"), 400),
    "a host in quotes": (get(b'Host: "x"\r\n'), 400),
    "a host with a broken escape": (get(b"Host: x%4\r\n"), 400),
    "an expectation that nobody can meet": (post(b"Expect: a miracle\r\nContent-Length: 1"), 417),
    # Chunks (RFC 9112, 7.1).
    "no size": (chunked(b"\r\nabc\r\n0\r\n\r\n"), 400),
    "a size that is a word": (chunked(b"no size\r\n"), 400),
    "a signed size": (chunked(b"+3\r\nabc\r\n0\r\n\r\n"), 400),
    "a size with a prefix": (chunked(b"0x3\r\nabc\r\n0\r\n\r\n"), 400),
    "a size with an underscore": (chunked(b"1_0\r\n"), 400),
    "a space before a size": (chunked(b" 3\r\nabc\r\n0\r\n\r\n"), 400),
    "a space behind a size": (chunked(b"3 \r\nabc\r\n0\r\n\r\n"), 400),
    "a size of 16 digits": (chunked(b"ffffffffffffffff\r\nabc"), 400),
    "a size that would overflow": (chunked(b"10000000000000003\r\nabc\r\n0\r\n\r\n"), 400),
    "a line feed alone behind a size": (chunked(b"3\nabc\r\n0\r\n\r\n"), 400),
    "a line feed alone behind a chunk": (chunked(b"3\r\nabc\n0\r\n\r\n"), 400),
    "a line feed alone in an extension": (chunked(b"3;a\nb\r\nabc\r\n0\r\n\r\n"), 400),
    "a carriage return in an extension": (chunked(b"3;a\rb\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk longer than its size": (chunked(b"3\r\nabcd\r\n0\r\n\r\n"), 400),
    "a chunk without its end": (chunked(b"3\r\nabc0\r\n\r\n"), 400),
    "an endless extension": (chunked(b"3;" + b"x" * 20_000), 400),
    "many extensions": (chunked((b"1;" + b"x" * 100 + b"\r\na\r\n") * 200), 400),
    "an endless trailer": (chunked(b"0\r\nA: " + b"x" * 20_000), 431),
    "many trailers": (chunked(b"0\r\n" + b"A: b\r\n" * 5000), 431),
    "a folded trailer": (chunked(b"0\r\nA: b\r\n c\r\n\r\n"), 400),
    "a trailer without a colon": (chunked(b"0\r\nGET /smuggled HTTP/1.1\r\n\r\n"), 400),
    # Bounds.
    "a long request line": (get(line=b"GET /" + b"x" * 8200 + b" HTTP/1.1\r\n"), 414),
    "a request line without end": (b"GET /" + b"x" * 8200, 414),
    "a method without end": (b"G" * 8200, 414),
    "a long field": (get(b"Host: x\r\nA: " + b"x" * 65536 + b"\r\n"), 431),
    "a field without end": (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 65536, 431),
    "many fields": (get(HOST + b"A: b\r\n" * 100), 431),
}

SERVED = {
    "a plain request": get(),
    "an empty line before the request": b"\r\n" + get(),
    "a length": post(b"Content-Length: 3", b"abc"),
    "spaces around a length": post(b"Content-Length: \t 3 \t", b"abc"),
    "leading zeros": post(b"Content-Length: 003", b"abc"),
    "no body": post(b"Content-Length: 0"),
    "chunks": chunked(b"3\r\nabc\r\n0\r\n\r\n"),
    "chunks in capitals": post(b"TRANSFER-ENCODING: CHUNKED", b"3\r\nabc\r\n0\r\n\r\n"),
    "an extension": chunked(b'3;a="b c"; d\r\nabc\r\n0;e\r\n\r\n'),
    "a size of zeros": chunked(b"000000000003\r\nabc\r\n000\r\n\r\n"),
    "a trailer": chunked(b"3\r\nabc\r\n0\r\nContent-Length: 7\r\nHost: y\r\n\r\n"),
    "a URL": get(line=b"GET http://y:80/a?b HTTP/1.1\r\n"),
    "a URL of the other scheme": get(line=b"GET HTTPS://y HTTP/1.1\r\n"),
    "OPTIONS of the server": get(line=b"OPTIONS * HTTP/1.1\r\n"),
    "a method of one's own": get(line=b"M-SEARCH / HTTP/1.1\r\n"),
    "a later minor version": get(line=b"GET / HTTP/1.9\r\n"),
    "no host in 1.0": get(b"", b"GET / HTTP/1.0\r\n"),
    "an empty host": get(b"Host:\r\n"),
    "an IPv6 host": get(b"Host: [::1]:8000\r\n"),
    "an underscore in a host": get(b"Host: my_site.example\r\n"),
    "bytes over 127 in a value": get(HOST + b"A: \xc3\xa4\r\n"),
    "bytes over 127 in the target": get(line=b"GET /\xc3\xa4 HTTP/1.1\r\n"),
    "what should be escaped in the target": get(line=b'GET /{"|\\^`} HTTP/1.1\r\n'),
    "an empty value": get(HOST + b"A:\r\nB: \r\nC:\t\r\n"),
    "the largest number of fields": get(HOST + b"A: b\r\n" * 99),
}


def served(data: bytes, *, size: int | None = None) -> list[Request]:
    """Return the requests in `data`, given to the parser in pieces of `size` bytes."""
    parser = RequestParser(ScratchFiles())
    size = size or len(data)
    try:
        for start in range(0, len(data), size):
            parser.feed(data[start : start + size])
    except BadRequest:
        assert not parser.complete, "nothing of it was taken for a request"
        raise
    finally:
        requests = list(parser.complete)
        parser.close()
    assert parser.between_requests
    return requests


@pytest.mark.parametrize("size", [None, 1, 7], ids=["whole", "byte by byte", "in sevens"])
@pytest.mark.parametrize("shape", REFUSED)
def test_what_is_forbidden_is_refused_however_it_comes(shape: str, size: int | None) -> None:
    data, status = REFUSED[shape]
    with pytest.raises(BadRequest) as refusal:
        served(data, size=size)
    assert refusal.value.status.startswith(f"{status} ")
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("size", [None, 1, 7], ids=["whole", "byte by byte", "in sevens"])
@pytest.mark.parametrize("shape", SERVED)
def test_what_is_allowed_is_one_request_however_it_comes(shape: str, size: int | None) -> None:
    assert len(served(SERVED[shape], size=size)) == 1


@pytest.mark.parametrize("shape", sorted(set(SERVED) - {"no host in 1.0"}))
def test_what_is_allowed_leaves_the_next_request_whole(shape: str) -> None:
    _, second = served(SERVED[shape] + get(line=b"GET /next HTTP/1.1\r\n"))
    assert (second.method, second.target, second.body) == ("GET", "/next", None)
