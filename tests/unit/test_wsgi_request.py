import pytest
from hypothesis import given
from hypothesis import strategies as st

from coachman.worker.wsgi.body import MEMORY_LIMIT
from coachman.worker.wsgi.environ import base_environ, build_environ
from coachman.worker.wsgi.request import DEFAULT_HEAD_BOUNDS, BadRequest, Request, RequestParser
from coachman.worker.wsgi.scratch_files import ScratchFiles

HEADER_LIMIT = DEFAULT_HEAD_BOUNDS.header_size

BASE = base_environ(server=("127.0.0.1", "8000"), peer=("127.0.0.1", "4711"), threads=1)


def parse(data: bytes) -> list[Request]:
    parser = RequestParser(ScratchFiles())
    parser.feed(data)
    return list(parser.complete)


def parse_one(data: bytes) -> Request:
    (request,) = parse(data)
    return request


def test_a_request_comes_out_complete() -> None:
    request = parse_one(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n")
    assert (request.method, request.target, request.fields.version) == ("GET", "/a?b=c", "1.1")
    assert request.fields.headers == {"HTTP_HOST": "x", "HTTP_ACCEPT": "*/*"}
    assert request.fields.keep_alive
    assert request.body is None


def test_the_line_of_a_request_is_what_the_peer_sent() -> None:
    assert parse_one(b"GET /\xe4?b=%20c HTTP/1.0\r\n\r\n").line == b"GET /\xe4?b=%20c"


@given(st.data())
def test_any_split_gives_the_same_requests(data: st.DataObject) -> None:
    stream = (
        b"POST /one HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n"
        b"POST /two HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nde"
        b"GET /three HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    parser = RequestParser(ScratchFiles())
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        parser.feed(stream[:size])
        stream = stream[size:]
    assert parser.between_requests
    assert [r.target for r in parser.complete] == ["/one", "/two", "/three"]
    assert [r.body.opened_at_start().read() for r in parser.complete if r.body] == [b"abc", b"de"]
    assert all(r.fields.headers["HTTP_HOST"] == "x" for r in parser.complete)


def test_a_trailer_is_no_header() -> None:
    request = parse_one(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: x\r\n\r\n"
    )
    assert set(request.fields.headers) == {"HTTP_HOST", "HTTP_TRANSFER_ENCODING"}


def test_a_large_body_moves_to_a_file_and_stays_whole() -> None:
    content = bytes(range(256)) * 2048
    assert len(content) > MEMORY_LIMIT
    files = ScratchFiles()
    parser = RequestParser(files)
    parser.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
    request = parser.complete.popleft()
    assert request.body is not None
    file = request.body.opened_at_start()
    assert file.fileno() >= 0
    assert file.read() == content
    request.close()
    assert file.closed
    files.close()


def test_an_upgrade_that_is_declined_leaves_the_next_request_alone() -> None:
    first, second = parse(
        b"GET /one HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
        b"GET /two HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert (first.target, second.target) == ("/one", "/two")
    assert first.fields.keep_alive


def test_the_body_behind_a_declined_upgrade_is_no_request() -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    request = parse_one(
        b"POST /one HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
        b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled
    )
    assert request.target == "/one"
    assert request.body is not None
    assert request.body.opened_at_start().read() == smuggled


def test_what_follows_a_last_request_is_ignored() -> None:
    request = parse_one(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert not request.fields.keep_alive


def test_a_long_pipeline_is_not_taken_for_long_headers() -> None:
    requests = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3000
    parser = RequestParser(ScratchFiles())
    parser.feed(requests[:HEADER_LIMIT])  # ends within a head
    assert not parser.between_requests
    parser.feed(requests[HEADER_LIMIT : HEADER_LIMIT + 1])
    parser.feed(requests[HEADER_LIMIT + 1 :])
    assert len(parser.complete) == 3000


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1\r\nHost: x\r\n", True),
        (b"HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", False),
        (b"HTTP/1.0\r\n", False),
        (b"HTTP/1.0\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.0\r\nConnection: TE, Keep-Alive\r\n", True),
        (b"HTTP/1.0\r\nConnection: keep-alive, close\r\n", False),
        (b"HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, CLOSE \r\n", False),
        (b"HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nconnection: close\r\n", False),
        (b"HTTP/1.1\r\nHost: x\r\nConnection: closed\r\n", True),
        (b"HTTP/1.1\r\nHost: x\r\nConnection:\r\n", True),
        (b"HTTP/1.2\r\nHost: x\r\n", True),
    ],
)
def test_whether_a_connection_is_kept_is_the_peers_wish(head: bytes, kept: bool) -> None:
    assert parse_one(b"GET / " + head + b"\r\n").fields.keep_alive is kept


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00", "400"),
        (b"GET / HTTP/2.0\r\n\r\n", "505"),
        (b"GET /\r\n\r\n", "505"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "501"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n", "417"),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * HEADER_LIMIT, "431"),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_status(data: bytes, status: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        parse(data)
    assert refusal.value.status.startswith(status)


@pytest.mark.parametrize(
    ("head", "waits"),
    [
        (b"HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n", True),
        (b"HTTP/1.1\r\nHost: x\r\nexpect: 100-Continue\r\n", True),
        (b"HTTP/1.0\r\nExpect: 100-continue\r\n", False),
        (b"HTTP/1.1\r\nHost: x\r\n", False),
    ],
)
def test_a_peer_waits_for_continue_only_if_it_said_so(head: bytes, waits: bool) -> None:
    parser = RequestParser(ScratchFiles())
    parser.feed(b"POST / " + head + b"Content-Length: 1\r\n\r\n")
    assert parser.awaits_continue is waits
    parser.feed(b"x")
    assert not parser.awaits_continue


def test_the_environment_has_what_pep_3333_demands() -> None:
    environ = build_environ(
        BASE,
        parse_one(
            b"POST /a%20b/%C3%A4?x=%20 HTTP/1.1\r\nHost: h:1\r\nContent-Type: text/plain  \r\n"
            b"Content-Length: 3\r\nCookie: a=1\r\nX-List: 1\r\ncookie: b=2\r\nX-List: 2\r\n\r\nabc"
        ),
    )
    expected = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/\u00c3\u00a4",  # UTF-8 read as Latin-1, as PEP 3333 has it
        "QUERY_STRING": "x=%20",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "h:1",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_X_LIST": "1,2",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": False,
    }
    assert {key: environ[key] for key in expected} == expected
    assert environ["wsgi.input"].read() == b"abc"


def test_one_request_does_not_see_the_environment_of_another() -> None:
    first = build_environ(BASE, parse_one(b"GET / HTTP/1.1\r\nHost: x\r\nX-Secret: 1\r\n\r\n"))
    first["left"] = "behind"
    second = build_environ(BASE, parse_one(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert not {"HTTP_X_SECRET", "left"} & set(second)


def test_a_chunked_body_looks_like_one_of_known_length() -> None:
    environ = build_environ(
        BASE,
        parse_one(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    )
    assert environ["CONTENT_LENGTH"] == "3"
    assert "HTTP_TRANSFER_ENCODING" not in environ


@pytest.mark.parametrize("header", [b"X_Forwarded_For: 1", b"Proxy: http://elsewhere"])
def test_a_header_that_would_pass_for_another_is_left_out(header: bytes) -> None:
    environ = build_environ(BASE, parse_one(b"GET / HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n"))
    assert not [key for key in environ if key.startswith("HTTP_") and key != "HTTP_HOST"]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://h/x?y", "/x", "y"),
        (b"http://h", "/", ""),
        (b"*", "", ""),
        (b"/?", "/", ""),
        (b"//x", "//x", ""),
    ],
)
def test_every_form_of_target_has_a_path(target: bytes, path: str, query: str) -> None:
    environ = build_environ(BASE, parse_one(b"OPTIONS " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)
