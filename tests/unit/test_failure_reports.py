"""A failure as text and as a page, from values."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from coachman.supervisor.failures.failure import FailureKind
from coachman.supervisor.failures.failure_page import failure_page
from coachman.supervisor.failures.failure_text import full_text, summary, without_markup
from coachman.supervisor.failures.printed import PrintedLine
from coachman.unix.processes import Ending

from .failures import TRACEBACK, failure, report

VOID = {"meta", "br"}
HOSTILE = "<script>alert('x')</script> & \"quotes\" \x1b[31m\x00 \udcff"


class Nesting(HTMLParser):
    """Notes every element, and that each is closed where it has to be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert all(
            name in ("class", "style", "lang", "charset", "name", "content", "http-equiv")
            for name, _ in attrs
        )
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(page: str) -> Nesting:
    nesting = Nesting()
    nesting.feed(page)
    nesting.close()
    assert not nesting.open
    return nesting


def test_the_short_text_says_what_where_and_what_to_try_first() -> None:
    lines = summary(failure(report=report(missing_module="this_one")), quote_printed=False).splitlines()
    assert lines[0] == "the application could not be loaded: ModuleNotFoundError: No module named 'this_one'"
    assert lines[1] == "  where:  /srv/app/wsgi.py, line 3"
    assert lines[2].startswith("  to try: this_one is not installed")
    assert lines[-1] == TRACEBACK.splitlines()[-1]


def test_the_short_text_has_the_journey_for_somebody_who_writes_the_wrapper() -> None:
    broken = failure(FailureKind.EXITED, ending=Ending(3))
    assert "handshake" not in summary(broken, quote_printed=False)
    told = summary(broken, quote_printed=False, with_journey=True)
    assert "the journey:\n    prepare" in told
    assert told.endswith("failed here")


def test_what_was_printed_is_quoted_for_somebody_without_the_log() -> None:
    broken = failure(FailureKind.EXITED, ending=Ending(3), printed=(PrintedLine("stderr", "last words"),))
    assert "last words" not in summary(broken, quote_printed=False)
    assert summary(broken, quote_printed=True).endswith("the last that it printed:\n    last words")


@pytest.mark.parametrize("colour", [False, True])
def test_the_full_text_has_everything_and_the_traceback_once(colour: bool) -> None:
    text = full_text(
        failure(
            report=report(), ending=Ending(1), printed=(PrintedLine("stdout", "hello"),), stacks="Thread 0x1"
        ),
        colour=colour,
    )
    assert text.count("Traceback (most recent call last)") == 1
    for expected in (
        "load application      500 ms  failed here", "stdout: hello", "exit status 1", "/usr/bin/python3",
        "SECRET_KEY=********", "Django 5.2", "/usr/lib/python3.11", "Thread 0x1",
    ):  # fmt: skip
        assert expected in text
    assert ("\033[" in text) is colour


def test_the_text_cannot_command_the_terminal() -> None:
    text = full_text(failure(reason=HOSTILE, printed=(PrintedLine("stdout", HOSTILE),)))
    assert "\x1b" not in text
    assert "\\x1b[31m" in text


def test_the_page_has_everything_and_the_traceback_once() -> None:
    page = failure_page(
        failure(
            report=report(), ending=Ending(1), printed=(PrintedLine("stdout", "hello"),), stacks="Thread 0x1"
        )
    )
    nesting = parsed(page)
    assert nesting.text.count("Traceback (most recent call last)") == 1
    for expected in ("this_one", "exit status 1", "********", "Django", "500 ms", "hello", "Thread 0x1"):
        assert expected in nesting.text


def test_the_page_escapes_everything() -> None:
    told = report(
        HOSTILE, message=HOSTILE, file=HOSTILE, traceback=HOSTILE, interpreter=HOSTILE, path=(HOSTILE,),
        environment={HOSTILE: HOSTILE}, packages=((HOSTILE, HOSTILE),), missing_module=HOSTILE,
        version=HOSTILE,
    )  # fmt: skip
    hostile = failure(
        report=told,
        reason=HOSTILE,
        stacks=HOSTILE,
        application=HOSTILE,
        printed=(PrintedLine("stderr", HOSTILE),),
    )
    page = failure_page(hostile)
    nesting = parsed(page)
    assert not {"script", "img", "link", "iframe"} & set(nesting.seen)
    assert not re.search(r"[\x00-\x08\x1b\ud800-\udfff]", page)
    assert page.encode()


def test_the_page_loads_nothing() -> None:
    page = failure_page(failure(report=report()))
    assert "default-src 'none'" in page
    assert not re.search(r"(?i)<script|\bsrc=|\bhref=|@import|url\(", page)


def test_a_message_in_html_is_shown_as_text() -> None:
    told = failure(reason="<h1>No way</h1>\n<style>x</style><p>a &lt; b<br>c</p>", html=True)
    assert without_markup(told.reason).splitlines()[0] == "No way"
    assert "<h1>" not in full_text(told)
    assert "a < b\nc" in without_markup(told.reason)
    assert "&lt;h1&gt;" not in failure_page(told)


@pytest.mark.parametrize("kind", FailureKind)
def test_every_kind_has_a_headline_a_text_and_a_page(kind: FailureKind) -> None:
    broken = failure(kind, reason="because", ending=Ending(3))
    assert broken.headline
    assert broken.headline in full_text(broken)
    assert parsed(failure_page(broken)).seen
