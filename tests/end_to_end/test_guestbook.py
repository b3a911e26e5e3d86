"""The guestbook under `coachman serve`, used as a person and as a program use it."""

from __future__ import annotations

import csv
import gzip
import html
import io
import json
import re
import sqlite3
from pathlib import Path

import httpx

from .conftest import Curl, Guestbook, Upload


def names_on(page: httpx.Response) -> list[str]:
    return [html.unescape(name) for name in re.findall(r"<h2>(.*?)</h2>", page.text)]


def link(page: httpx.Response, relation: str) -> str | None:
    found = re.search(rf'<a rel="{relation}" href="([^"]+)"', page.text)
    return found and found[1]


def token_in(page: httpx.Response) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def stylesheet_of(page: httpx.Response) -> str:
    found = re.search(r'<link rel="stylesheet" href="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def add_entries(database: Path, count: int) -> None:
    """Write entries past the server, older than all others so that they stay out of the first pages."""
    connection = sqlite3.connect(database, timeout=20)
    try:
        with connection:
            connection.executemany(
                "INSERT INTO entries_entry (name, message, created, attachment, attachment_sha256)"
                " VALUES (?, ?, '2001-01-01 00:00:00', '', '')",
                ((f"Bulk {number}", "A line of the bulk. " * 5) for number in range(count)),
            )
    finally:
        connection.close()


def test_the_entries_can_be_paged_through(client: httpx.Client) -> None:
    first = client.get("/")
    assert first.status_code == 200
    assert link(first, "prev") is None
    second = client.get(link(first, "next") or "")
    assert link(second, "prev") == "?page=1"
    assert len(names_on(first)) == len(names_on(second)) == 10
    assert not set(names_on(first)) & set(names_on(second))

    last = max(int(number) for number in re.findall(r'href="\?page=(\d+)"', first.text))
    final = client.get("/", params={"page": last})
    assert link(final, "next") is None
    assert client.get("/", params={"page": last + 1}).status_code == 404


def test_a_posted_entry_is_the_first_on_the_page(client: httpx.Client) -> None:
    fields = {"name": "Jack & Jill <both>", "message": "Up the hill.\n\nZum Gipfel: schön!"}
    form = client.get("/write")
    answer = client.post("/write", data={**fields, "csrfmiddlewaretoken": token_in(form)})
    assert answer.status_code == 302

    page = client.get(answer.headers["location"])
    assert names_on(page)[0] == fields["name"]
    assert "<p>Zum Gipfel: schön!</p>" in page.text
    assert "Your entry is in the book." in page.text
    assert "Your entry is in the book." not in client.get("/").text


def test_an_attachment_comes_back_as_it_was_sent(client: httpx.Client, large_file: Upload) -> None:
    fields = {"name": "A carrier", "message": "Heavy.", "csrfmiddlewaretoken": token_in(client.get("/write"))}
    with large_file.path.open("rb") as file:
        answer = client.post("/write", data=fields, files={"attachment": ("Gepäck 1.bin", file)})
    assert answer.status_code == 302

    page = client.get("/")
    assert large_file.sha256 in page.text
    address = re.search(r'href="(/entries/\d+/attachment)"', page.text)
    assert address
    attachment = client.get(address[1])
    assert attachment.headers["content-length"] == str(large_file.size)
    assert attachment.headers["content-disposition"].startswith("attachment;")
    assert attachment.content == large_file.path.read_bytes()


def test_a_wrong_entry_comes_back_with_its_errors(client: httpx.Client) -> None:
    fields = {"name": "x" * 81, "message": " ", "csrfmiddlewaretoken": token_in(client.get("/write"))}
    answer = client.post("/write", data=fields)
    assert answer.status_code == 200
    assert "at most 80 characters (it has 81)" in answer.text
    assert "Please write something." in answer.text
    assert "x" * 81 in answer.text


def test_an_entry_without_a_token_is_refused(client: httpx.Client) -> None:
    answer = client.post("/write", data={"name": "Mallory", "message": "Gotcha"})
    assert answer.status_code == 403
    assert "Mallory" not in names_on(client.get("/"))


def test_an_upload_is_answered_with_its_hash(client: httpx.Client, large_file: Upload) -> None:
    with large_file.path.open("rb") as file:
        page = client.post("/upload", files={"file": file})
    assert page.status_code == 200
    assert large_file.sha256 in page.text
    assert f"({large_file.size} bytes)" in page.text


def test_curl_uploads_and_gets_json(guestbook: Guestbook, curl: Curl, large_file: Upload) -> None:
    # Above 1 MB curl asks with "Expect: 100-continue" first.
    answer = curl(
        "--header",
        "Accept: application/json",
        "--form",
        f"file=@{large_file.path}",
        f"{guestbook.url}/upload",
    )
    assert json.loads(answer) == {
        "name": large_file.path.name, "size": large_file.size, "sha256": large_file.sha256,
    }  # fmt: skip


def test_the_download_is_streamed_and_complete(
    guestbook: Guestbook, client: httpx.Client, curl: Curl
) -> None:
    add_entries(guestbook.database, 5000)
    with client.stream("GET", "/entries.csv") as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in answer.headers
        body = b"".join(answer.iter_raw())
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert sum(row["name"].startswith("Bulk") for row in rows) >= 5000
    assert "The house" in {row["name"] for row in rows}

    framed = curl("--raw", f"{guestbook.url}/entries.csv")
    assert len(re.findall(rb"^[0-9a-fA-F]+\r\n", framed, re.MULTILINE)) > 10, "it came in one chunk"
    assert framed.endswith(b"\r\n0\r\n\r\n")

    # HTTP/1.0 knows no chunks: there the end of the connection is the end of the file.
    headers, _, plain = curl("--http1.0", "--include", f"{guestbook.url}/entries.csv").partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in headers.lower()
    assert plain == body


def test_an_administrator_logs_in_and_finds_the_entries(guestbook: Guestbook, client: httpx.Client) -> None:
    turned_away = client.get("/admin/entries/entry/")
    assert turned_away.status_code == 302
    form = client.get(turned_away.headers["location"])
    answer = client.post(
        turned_away.headers["location"],
        data={
            "username": guestbook.username,
            "password": guestbook.password,
            "csrfmiddlewaretoken": token_in(form),
        },
    )
    assert answer.headers["location"] == "/admin/entries/entry/"
    entries = client.get(answer.headers["location"])
    assert entries.status_code == 200
    assert "Select entry to change" in entries.text


def test_a_wrong_address_gets_a_friendly_page(client: httpx.Client) -> None:
    answer = client.get("/no/such/page")
    assert answer.status_code == 404
    assert "There is no such page in the book" in answer.text
    assert "<code>/no/such/page</code>" in answer.text


def test_static_files_are_compressed_and_kept_for_ever(client: httpx.Client) -> None:
    address = stylesheet_of(client.get("/"))
    with client.stream("GET", address) as packed:
        assert packed.headers["content-encoding"] == "gzip"
        assert "immutable" in packed.headers["cache-control"]
        style = gzip.decompress(b"".join(packed.iter_raw()))
    plain = client.get(address, headers={"Accept-Encoding": "identity"})
    assert plain.content == style
    assert plain.headers["content-type"].startswith("text/css")

    head = client.head(address, headers={"Accept-Encoding": "identity"})
    assert (head.headers["content-length"], head.content) == (str(len(style)), b"")
    again = client.get(address, headers={"If-None-Match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_admin_finds_its_style(client: httpx.Client) -> None:
    style = client.get(stylesheet_of(client.get("/admin/login/")))
    assert style.status_code == 200
    assert style.headers["content-type"].startswith("text/css")
