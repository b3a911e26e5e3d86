"""Which file answers a request, on a real folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from coachman.protocol.static.paths import make_mount
from coachman.protocol.static.ranges import Span
from coachman.worker.static.files import StaticAnswer, StaticFiles

Ask = Callable[..., "Got | None"]


class Got:
    """An answer with the bytes that it sends."""

    def __init__(self, answer: StaticAnswer) -> None:
        self.status = int(answer.response.status[:3])
        self.headers = {name.lower(): value for name, value in answer.response.headers}
        self.body = b"".join(
            os.pread(answer.fd, part.size, part.start) if isinstance(part, Span) else part
            for part in answer.response.parts
        )
        answer.close()


@pytest.fixture
def public(tmp_path: Path) -> Path:
    folder = tmp_path / "public"
    (folder / "docs").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "app.js").write_text("plain")
    (folder / "docs" / "index.html").write_text("<p>docs")
    (folder / ".env").write_text("secret")
    (folder / "index.html").mkdir()  # a folder of that name is no page
    return folder


@pytest.fixture
def ask(public: Path) -> Ask:
    files = StaticFiles([make_mount("/assets", os.fsencode(public))], max_age=60)

    def ask(path: str, method: str = "GET", **headers: str) -> Got | None:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = files.answer(method, b"/assets" + path.encode(), given)
        return None if answer is None else Got(answer)

    return ask


def test_a_file_is_sent(ask: Ask) -> None:
    got = ask("/app.js")
    assert got is not None
    assert (got.status, got.body) == (200, b"plain")
    assert got.headers["cache-control"] == "public, max-age=60"


@pytest.mark.parametrize("path", ["/missing", "/.env", "/app.js/", "/app.js/x", "/empty", "/empty/", "", "/",
                                  "/../public/app.js", "/" + "x" * 300, "/%00", "/index.html"])  # fmt: skip
def test_what_is_no_file_is_for_the_application(ask: Ask, path: str) -> None:
    assert ask(path) is None


def test_a_folder_shows_its_index_below_its_slash(ask: Ask) -> None:
    page, redirect = ask("/docs/"), ask("/docs?a=b")
    assert page is not None
    assert (page.status, page.body) == (200, b"<p>docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert redirect is not None
    assert (redirect.status, redirect.headers["location"]) == (301, "/assets/docs/?a=b")
    assert ask("/docs", "POST") is None


def test_a_post_to_a_file_is_refused_and_to_none_is_for_the_application(ask: Ask) -> None:
    got = ask("/app.js", "POST")
    assert got is not None
    assert got.status == 405
    assert ask("/missing", "POST") is None


def test_special_files_are_not_served(ask: Ask, public: Path) -> None:
    os.mkfifo(public / "fifo")
    assert ask("/fifo") is None


def test_the_variant_that_the_client_prefers_is_sent(ask: Ask, public: Path) -> None:
    (public / "app.js.gz").write_text("gz")
    (public / "app.js.br").write_text("br")
    for accepted, body, coding in (
        ("gzip, br", b"br", "br"),
        ("gzip", b"gz", "gzip"),
        ("zstd", b"plain", None),
        ("identity", b"plain", None),
    ):
        got = ask("/app.js", accept_encoding=accepted)
        assert got is not None
        assert (got.body, got.headers.get("content-encoding")) == (body, coding)
        assert got.headers["content-type"] == "text/javascript; charset=utf-8"
        assert got.headers["vary"] == "Accept-Encoding"
    plain = ask("/app.js")
    assert plain is not None
    assert plain.body == b"plain"


def test_a_variant_of_an_earlier_version_is_not_sent(ask: Ask, public: Path) -> None:
    (public / "app.js.gz").write_text("old")
    now = (public / "app.js").stat().st_mtime
    os.utime(public / "app.js.gz", (now - 3600, now - 3600))
    got = ask("/app.js", accept_encoding="gzip")
    assert got is not None
    assert got.body == b"plain"


def test_a_variant_that_is_no_file_is_passed_over(ask: Ask, public: Path) -> None:
    (public / "app.js.br").mkdir()
    (public / "app.js.gz").symlink_to("/etc/passwd")
    got = ask("/app.js", accept_encoding="br, gzip")
    assert got is not None
    assert got.body == b"plain"


def test_a_range_is_one_of_the_variant(ask: Ask, public: Path) -> None:
    (public / "app.js.gz").write_text("0123456789")
    got = ask("/app.js", accept_encoding="gzip", range="bytes=2-3")
    assert got is not None
    assert (got.status, got.body, got.headers["content-range"]) == (206, b"23", "bytes 2-3/10")


def test_symbolic_links_are_followed_where_that_is_set(public: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (public / "link.js").symlink_to("app.js")
    (public / "out").symlink_to("../secret")
    mounts = [make_mount("/", os.fsencode(public))]
    strict, following = StaticFiles(mounts), StaticFiles(mounts, follow_symlinks=True)
    assert strict.answer("GET", b"/link.js", {}) is None
    answer = following.answer("GET", b"/link.js", {})
    assert answer is not None
    assert Got(answer).body == b"plain"
    assert strict.answer("GET", b"/out", {}) is None
    assert following.answer("GET", b"/out", {}) is None


def test_a_folder_that_was_built_anew_is_served_at_once(ask: Ask, public: Path) -> None:
    public.rename(public.with_name("old"))
    assert ask("/app.js") is None
    public.mkdir()
    (public / "app.js").write_text("next")
    got = ask("/app.js")
    assert got is not None
    assert got.body == b"next"


@pytest.mark.parametrize(("number", "status"), [(13, 403), (24, 503), (5, 503)])
def test_a_file_that_cannot_be_read_is_not_taken_for_a_missing_one(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, status: int
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("coachman.worker.static.files.open_beneath", fail)
    got = ask("/app.js")
    assert got is not None
    assert got.status == status
    logged = capsys.readouterr().err
    assert "app.js" in logged
    assert os.strerror(number) in logged
