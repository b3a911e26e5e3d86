"""The decisions about an answer, without a file."""

from __future__ import annotations

import pytest

from coachman.protocol.static.encodings import acceptable
from coachman.protocol.static.ranges import Span
from coachman.protocol.static.response import (
    FileFacts,
    StaticResponse,
    deciding_fields,
    deciding_headers,
    respond,
)
from coachman.protocol.static.types import may_be_compressed, media_type

NOW = 1_700_000_000.0
FACTS = FileFacts(size=1000, mtime_ns=1_600_000_000_123_456_789, inode=42)


def answer(
    method: str = "GET", path: bytes = b"app.js", facts: FileFacts = FACTS, **headers: str
) -> StaticResponse:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return respond(method, path, facts, fields, now=NOW, boundary="BOUNDARY")


def headers_of(response: StaticResponse) -> dict[str, str]:
    names = [name for name, _ in response.headers]
    assert len(names) == len(set(names))
    return dict(response.headers)


def test_a_get_sends_the_whole_file() -> None:
    response = answer()
    assert response.status == "200 OK"
    assert response.parts == (Span(0, 1000),)
    assert headers_of(response) == {
        "Accept-Ranges": "bytes",
        "Content-Length": "1000",
        "Content-Type": "text/javascript; charset=utf-8",
        "ETag": '"16345785e00a4d15-3e8-2a"'.replace("16345785e00a4d15", f"{FACTS.mtime_ns:x}"),
        "Last-Modified": "Sun, 13 Sep 2020 12:26:40 GMT",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }


def test_head_has_the_headers_of_get_and_no_body() -> None:
    assert answer("HEAD") == answer()._replace(parts=())
    assert answer("HEAD", range="bytes=0-1") == answer("HEAD")  # ranges are for GET alone


def test_an_empty_file_has_no_part() -> None:
    response = answer(facts=FACTS._replace(size=0))
    assert headers_of(response)["Content-Length"] == "0"
    assert response.parts == ()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
def test_other_methods_are_told_what_is_allowed(method: str) -> None:
    response = answer(method)
    assert response.status == "405 Method Not Allowed"
    assert headers_of(response)["Allow"] == "GET, HEAD"


def test_not_modified_repeats_what_a_cache_keeps_and_nothing_else() -> None:
    whole = headers_of(answer())
    response = answer(if_none_match=whole["ETag"])
    assert response.status == "304 Not Modified"
    assert response.parts == ()
    assert headers_of(response) == {name: whole[name] for name in ("ETag", "Last-Modified", "Vary")}


def test_a_failed_precondition_sends_none_of_the_file() -> None:
    for method in ("GET", "HEAD"):
        response = answer(method, if_match='"other"')
        assert response.status == "412 Precondition Failed"
        assert not any(isinstance(part, Span) for part in response.parts)


def test_one_range_is_sent_as_it_is() -> None:
    response = answer(range="bytes=10-19")
    assert response.status == "206 Partial Content"
    assert response.parts == (Span(10, 20),)
    assert headers_of(response)["Content-Range"] == "bytes 10-19/1000"
    assert headers_of(response)["Content-Length"] == "10"
    assert headers_of(response)["Content-Type"] == "text/javascript; charset=utf-8"


def test_several_ranges_are_sent_in_parts() -> None:
    response = answer(range="bytes=0-1,-2")
    file = bytes(range(250)) * 4
    body = b"".join(
        file[part.start : part.stop] if isinstance(part, Span) else part for part in response.parts
    )
    assert headers_of(response)["Content-Type"] == "multipart/byteranges; boundary=BOUNDARY"
    assert "Content-Range" not in headers_of(response)
    assert headers_of(response)["Content-Length"] == str(len(body))
    kind = b"Content-Type: text/javascript; charset=utf-8\r\n"
    assert body == (
        b"\r\n--BOUNDARY\r\n" + kind + b"Content-Range: bytes 0-1/1000\r\n\r\n\x00\x01"
        b"\r\n--BOUNDARY\r\n" + kind + b"Content-Range: bytes 998-999/1000\r\n\r\n\xf8\xf9"
        b"\r\n--BOUNDARY--\r\n"
    )


def test_a_range_beyond_the_end_is_answered_with_the_size() -> None:
    response = answer(range="bytes=1000-")
    assert response.status == "416 Range Not Satisfiable"
    assert headers_of(response)["Content-Range"] == "bytes */1000"


def test_a_range_of_another_version_becomes_the_whole_file() -> None:
    assert answer(range="bytes=0-1", if_range='"other"').status == "200 OK"
    assert answer(range="bytes=0-1", if_range=headers_of(answer())["ETag"]).status == "206 Partial Content"


def test_a_variant_says_its_coding_and_has_its_own_tag() -> None:
    plain, packed = headers_of(answer()), headers_of(answer(facts=FACTS._replace(coding="br")))
    assert packed["Content-Encoding"] == "br"
    assert "Content-Encoding" not in plain
    assert packed["ETag"] != plain["ETag"]
    assert packed["Content-Type"] == plain["Content-Type"]


def test_what_cannot_be_compressed_does_not_vary() -> None:
    assert "Vary" not in headers_of(answer(path=b"photo.jpg"))


def test_a_file_from_the_future_was_modified_now() -> None:
    response = answer(facts=FACTS._replace(mtime_ns=int((NOW + 1000) * 1e9)))
    assert headers_of(response)["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"


def test_how_long_to_cache_is_said_where_it_is_set() -> None:
    response = respond("GET", b"x", FACTS, {}, now=NOW, boundary="", cache_control="public, max-age=60")
    assert headers_of(response)["Cache-Control"] == "public, max-age=60"


@pytest.mark.parametrize(
    ("headers", "status", "cached"),
    [
        ({"range": "bytes=0-9"}, "206", True),
        ({"if-modified-since": "Tue, 14 Nov 2023 22:13:20 GMT"}, "304", True),
        ({"if-match": '"other"'}, "412", False),
        ({"range": "bytes=1000-"}, "416", False),
    ],
)
def test_a_cache_is_not_to_keep_an_answer_without_the_file(
    headers: dict[str, str], status: str, cached: bool
) -> None:
    response = respond("GET", b"x", FACTS, headers, now=NOW, boundary="", cache_control="public, max-age=60")
    assert response.status.startswith(status)
    assert ("Cache-Control" in headers_of(response)) is cached
    assert "ETag" in headers_of(response)


def test_only_headers_that_decide_are_picked_out() -> None:
    headers = [
        (b"host", b"x"),
        (b"range", b"bytes=0-1"),
        (b"if-none-match", b'"a"'),
        (b"if-none-match", b'"b"'),
    ]
    found = {"range": "bytes=0-1", "if-none-match": '"a", "b"'}
    assert deciding_headers(headers) == found
    fields = {"HTTP_HOST": "x", "HTTP_RANGE": "bytes=0-1", "HTTP_IF_NONE_MATCH": '"a", "b"'}
    assert deciding_fields(fields) == found


@pytest.mark.parametrize(
    ("header", "codings"),
    [
        ("", []),
        ("identity", []),
        ("gzip", ["gzip"]),
        ("x-gzip", ["gzip"]),
        ("gzip, deflate, br, zstd", ["br", "zstd", "gzip"]),
        ("GZIP;q=1.0, br;q=0.5", ["gzip", "br"]),
        ("br;q=0, gzip", ["gzip"]),
        ("*", ["br", "zstd", "gzip"]),
        ("*;q=0, gzip", ["gzip"]),
        ("br;q=0, *", ["zstd", "gzip"]),
        ("gzip;q=0.5, identity", []),
        ("gzip;q=0.5, identity;q=0.5", ["gzip"]),
        ("gzip;q=nan", []),
        ("gzip;q=-1, br;q=7, zstd;q=", []),
        (";;,,=;q", []),
    ],
)
def test_codings_are_tried_as_the_client_wants_them(header: str, codings: list[str]) -> None:
    assert [coding.name for coding in acceptable(header)] == codings


@pytest.mark.parametrize(
    ("path", "content_type", "compressible"),
    [
        (b"index.html", "text/html; charset=utf-8", True),
        (b"a.dir/app.MJS", "text/javascript; charset=utf-8", True),
        (b"style.css", "text/css; charset=utf-8", True),
        (b"data.json", "application/json", True),
        (b"logo.svg", "image/svg+xml", True),
        (b"photo.png", "image/png", False),
        (b"font.woff2", "font/woff2", False),
        (b"code.wasm", "application/wasm", True),
        (b"backup.tar.gz", "application/gzip", False),
        (b"backup.tgz", "application/gzip", False),
        (b"LICENSE", "application/octet-stream", True),
        (b"x.unheard-of", "application/octet-stream", True),
        (b"\xff.txt", "text/plain; charset=utf-8", True),
        (b"gz", "application/octet-stream", True),
    ],
)
def test_types_go_by_the_name(path: bytes, content_type: str, compressible: bool) -> None:
    assert media_type(path) == content_type
    assert may_be_compressed(content_type) is compressible
