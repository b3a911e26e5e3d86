"""Static files with real clients: curl, and one that sends whatever it likes."""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .applications import write_application
from .coachman_serve import CoachmanServe
from .conftest import Curl
from .raw_client import Answer, RawClient

WSGI = """
def application(environ, start_response):
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"the application: " + environ["PATH_INFO"].encode("latin-1")]
"""
LARGE = random.Random(1).randbytes(20 * 1024 * 1024)
SECRET = "the secret"


@dataclass(frozen=True)
class Site:
    server: CoachmanServe
    public: Path

    def ask(self, target: str, **headers: str) -> Answer:
        """Send the target as it is."""
        with RawClient(self.server.url) as client:
            fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
            client.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n".encode("latin-1"))
            return client.answer()


@pytest.fixture(scope="module", params=[1, 2], ids=["1 thread", "2 threads"])
def site(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    write_application(folder, WSGI)
    (folder / "secret").write_text(SECRET)
    public = folder / "public"
    (public / "docs").mkdir(parents=True)
    (public / "large.bin").write_bytes(LARGE)
    (public / "hello.txt").write_text("0123456789")
    (public / "app.js").write_text("let x = 1;" * 1000)
    (public / "app.js.gz").write_bytes(gzip.compress(b"let x = 1;" * 1000))
    (public / "docs" / "index.html").write_text("<h1>Docs</h1>")
    (public / ".env").write_text(SECRET)
    (public / "link").symlink_to("../secret")
    (public / "root").symlink_to("/")
    (public / "inside").symlink_to("hello.txt")
    os.mkfifo(public / "fifo")
    options = ("--processes", "1", "--threads", str(request.param), "--bind", "127.0.0.1:0")
    with CoachmanServe(".", *options, "--static", "/assets=public", folder=folder) as server:
        yield Site(server, public)


def test_curl_fetches_and_resumes_a_large_file(site: Site, curl: Curl, tmp_path: Path) -> None:
    target, url = tmp_path / "large.bin", f"{site.server.url}/assets/large.bin"
    curl("--output", str(target), url)
    assert target.read_bytes() == LARGE
    os.truncate(target, 5_000_001)
    curl("--continue-at", "-", "--output", str(target), url)
    assert target.read_bytes() == LARGE


@pytest.mark.parametrize(
    ("ranges", "body"), [("0-3", b"0123"), ("-3", b"789"), ("5-", b"56789"), ("8-100", b"89")]
)
def test_curl_gets_the_range_it_asks_for(site: Site, curl: Curl, ranges: str, body: bytes) -> None:
    assert curl("--range", ranges, f"{site.server.url}/assets/hello.txt") == body


def test_curl_gets_several_ranges_in_parts(site: Site, curl: Curl) -> None:
    answer = curl("--include", "--range", "0-1,8-9", f"{site.server.url}/assets/hello.txt").decode()
    assert "multipart/byteranges; boundary=" in answer
    assert "Content-Range: bytes 0-1/10\r\n\r\n01\r\n" in answer
    assert "Content-Range: bytes 8-9/10\r\n\r\n89\r\n" in answer


def test_curl_asks_again_and_is_told_that_nothing_changed(site: Site, curl: Curl, tmp_path: Path) -> None:
    url, etag, copy = f"{site.server.url}/assets/hello.txt", tmp_path / "etag", tmp_path / "copy"
    curl("--etag-save", str(etag), "--output", str(copy), url)
    report = ("--output", str(tmp_path / "second"), "--write-out", "%{http_code} %{size_download}")
    assert curl("--etag-compare", str(etag), *report, url) == b"304 0"
    assert curl("--time-cond", str(copy), *report, url) in (b"304 0", b"200 10")
    assert curl("--header", 'If-Match: "other"', *report, url).startswith(b"412 ")
    assert curl("--range", "100-", *report, url).startswith(b"416 ")
    assert curl("--request", "DELETE", *report, url).startswith(b"405 ")
    assert curl("--head", *report, url) == b"200 0"


def test_curl_gets_the_compressed_variant_and_unpacks_it(site: Site, curl: Curl) -> None:
    url = f"{site.server.url}/assets/app.js"
    assert curl("--compressed", url) == curl(url) == b"let x = 1;" * 1000
    size = int(curl("--compressed", "--output", os.devnull, "--write-out", "%{size_download}", url))
    assert size < 1000


def test_curl_follows_a_folder_to_its_page(site: Site, curl: Curl) -> None:
    assert curl("--location", f"{site.server.url}/assets/docs") == b"<h1>Docs</h1>"


def test_the_application_gets_what_is_no_file(site: Site, curl: Curl) -> None:
    assert curl(f"{site.server.url}/assets/missing") == b"the application: /assets/missing"
    assert curl(f"{site.server.url}/other") == b"the application: /other"


@pytest.mark.parametrize(
    "target",
    [
        "/assets/../secret",
        "/assets/%2e%2e/secret",
        "/assets/%2e%2e%2fsecret",
        "/assets/..%2fsecret",
        "/assets/docs/../../secret",
        "/assets/..\\secret",
        "/assets/%5c..%5csecret",
        "/assets//etc/passwd",
        "/assets/%2fetc/passwd",
        "/assets///../secret",
        "/assets/link",
        "/assets/root/etc/passwd",
        "/assets/inside",
        "/assets/.env",
        "/assets/%2eenv",
        "/assets/fifo",
        "/assets/hello.txt%00.html",
        "/assets/hello.txt/",
        "/assets/" + "a/" * 2000,
        "/assets/\xff",
        "/assets/%ff%fe",
        "/assets/%",
        "/assets/%zz",
        "/assetssecret",
        "//assets/hello.txt",
    ],
)
def test_no_spelling_leads_out_of_the_folder(site: Site, target: str) -> None:
    answer = site.ask(target)
    assert SECRET.encode() not in answer.body
    assert b"root:" not in answer.body
    assert answer.status in (404, 400)


def test_many_clients_that_read_slowly_hold_nobody_up(site: Site) -> None:
    clients = [RawClient(site.server.url) for _ in range(30)]
    try:
        for client in clients:
            client.get("/assets/large.bin")
            assert client.sock.recv(1) == b"H"
        assert site.ask("/assets/hello.txt").body == b"0123456789"
        assert site.ask("/x").body == b"the application: /x"
    finally:
        for client in clients:
            client.sock.close()


def test_a_file_that_is_replaced_is_never_mixed(site: Site) -> None:
    """Who reads on gets the old file to its end; who asks then gets the next one."""
    path = site.public / "changing.bin"
    path.write_bytes(b"a" * 3_000_000)
    with RawClient(site.server.url) as slow:
        slow.get("/assets/changing.bin")
        assert slow.sock.recv(1, 2) == b"H"  # MSG_PEEK: it has begun
        (site.public / "next").write_bytes(b"b" * 3_000_000)
        os.replace(site.public / "next", path)
        assert site.ask("/assets/changing.bin").body == b"b" * 3_000_000
        assert slow.answer().body == b"a" * 3_000_000


def test_links_are_followed_where_that_is_set_and_only_inside(tmp_path: Path) -> None:
    write_application(tmp_path, WSGI)
    (tmp_path / "secret").write_text(SECRET)
    public = tmp_path / "public"
    public.mkdir()
    (public / "hello.txt").write_text("hello")
    (public / "inside").symlink_to("hello.txt")
    (public / "outside").symlink_to("../secret")
    options = ("--processes", "1", "--bind", "127.0.0.1:0", "--static-follow-symlinks")
    more = ("--static", "/=public", "--static-max-age", "1h")
    with CoachmanServe(".", *options, *more, folder=tmp_path) as server:
        site = Site(server, public)
        answer = site.ask("/inside")
        assert (answer.status, answer.body) == (200, b"hello")
        assert answer.headers["cache-control"] == "public, max-age=3600"
        assert site.ask("/outside").body == b"the application: /outside"
        assert site.ask("/").body == b"the application: /"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write_application(tmp_path, WSGI)
    with CoachmanServe(".", "--static", "/assets=missing", folder=tmp_path) as server:
        status, output = server.outcome()
    assert status != 0
    assert "there is no folder" in output
