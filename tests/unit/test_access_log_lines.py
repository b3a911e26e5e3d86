"""The lines of the access log, also where a client would rather write them itself."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from coachman.protocol.access_log import FORMATTERS, Access
from coachman.protocol.request_ids import RequestIds

NOW = 1_700_000_000_250_000_000
ACCESS = Access(
    peer="192.0.2.1",
    method="GET",
    target="/a?b=c",
    protocol="HTTP/1.1",
    status=200,
    size=2326,
    duration_ns=1_234_567,
    ended_ns=5_000_000_000,
    referer="http://example.org/",
    user_agent="curl/8",
    request_id="abc-1",
)
LATIN = st.text(st.characters(max_codepoint=255), max_size=40)


def line(name: str, access: Access = ACCESS) -> str:
    data = FORMATTERS[name](4711)([access], NOW - access.ended_ns)
    assert data.endswith(b"\n")
    return data[:-1].decode("utf-8")


def test_the_common_format_is_followed_by_what_is_ours() -> None:
    assert line("common") == (
        '192.0.2.1 - - [14/Nov/2023:22:13:20 +0000] "GET /a?b=c HTTP/1.1" 200 2326 0.001234 4711 abc-1'
    )


def test_the_combined_format_has_referer_and_user_agent() -> None:
    assert line("combined") == (
        '192.0.2.1 - - [14/Nov/2023:22:13:20 +0000] "GET /a?b=c HTTP/1.1" 200 2326 '
        '"http://example.org/" "curl/8" 0.001234 4711 abc-1'
    )


def test_json_has_everything_by_name() -> None:
    assert json.loads(line("json")) == {
        "time": "2023-11-14T22:13:20.250000Z",
        "peer": "192.0.2.1",
        "method": "GET",
        "target": "/a?b=c",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 2326,
        "duration": 0.001234,
        "referer": "http://example.org/",
        "user_agent": "curl/8",
        "request_id": "abc-1",
        "pid": 4711,
    }


def test_what_is_missing_is_a_dash_or_null() -> None:
    bare = replace(ACCESS, peer="", status=0, size=0, referer="", user_agent="", request_id="")
    assert line("combined", bare) == (
        '- - - [14/Nov/2023:22:13:20 +0000] "GET /a?b=c HTTP/1.1" - - "-" "-" 0.001234 4711 -'
    )
    assert json.loads(line("json", bare))["status"] is None


def test_the_time_goes_on() -> None:
    format_lines = FORMATTERS["common"](1)
    later = replace(ACCESS, ended_ns=ACCESS.ended_ns + 1_000_000_000)
    lines = format_lines([ACCESS, later, ACCESS], NOW - ACCESS.ended_ns).splitlines()
    assert [line.split()[3][-8:] for line in lines] == [b"22:13:20", b"22:13:21", b"22:13:20"]


def test_quotes_and_other_bytes_are_escaped() -> None:
    evil = replace(ACCESS, target='/"\\\n\x1b[2J\xe4', user_agent='" "\r\nx')
    text = line("combined", evil)
    assert '"GET /\\"\\\\\\x0a\\x1b[2J\\xe4 HTTP/1.1"' in text
    assert '"\\" \\"\\x0d\\x0ax"' in text


@pytest.mark.parametrize("name", ["common", "combined"])
def test_what_has_to_be_escaped_in_one_line_leaves_the_others_as_they_are(name: str) -> None:
    evil = replace(ACCESS, target='/"')
    lines = FORMATTERS[name](4711)([ACCESS, evil, ACCESS], NOW - ACCESS.ended_ns).decode().splitlines()
    assert lines == [line(name), line(name, evil), line(name)]
    assert '"GET /\\" HTTP/1.1"' in lines[1]


def test_json_shows_utf8_as_text_and_other_bytes_as_such() -> None:
    agent = "Käse".encode().decode("latin-1") + "\xff\x9b\x07\x9f"
    shown = line("json", replace(ACCESS, user_agent=agent))
    assert json.loads(shown)["user_agent"] == "Käse\\xff\\x9b\x07\\x9f"


@given(LATIN, LATIN, LATIN)
def test_no_client_can_write_a_line_of_its_own(target: str, agent: str, method: str) -> None:
    access = replace(ACCESS, target=target, user_agent=agent, method=method)
    quoted = r'"(?:[ !#-\[\]-~]|\\["\\]|\\x[0-9a-f]{2})*"'
    assert re.fullmatch(
        rf'192\.0\.2\.1 - - \[[^]]*\] {quoted} 200 2326 "[^"]*" {quoted} 0\.001234 4711 abc-1',
        line("combined", access),
    )
    text = line("json", access)
    assert text.isprintable()
    assert json.loads(text)["status"] == 200


@pytest.mark.parametrize(
    "given", [None, "", "a" * 129, "a b", 'x"y', "x\ny", "\xe4", "a;b", "$(id)", "'", "<b>", "a,b"]
)
def test_an_id_that_could_do_harm_is_not_taken(given: str | None) -> None:
    assert RequestIds("p").of_request(given) == "p-1"


@pytest.mark.parametrize("given", ["a", "7f3a-91", "1-67891233-abcdef012345678912345678", "A" * 128, "a/b=="])
def test_a_sound_id_is_taken(given: str) -> None:
    assert RequestIds("p").of_request(given) == given


def test_ids_are_never_used_twice() -> None:
    ids = RequestIds("p")
    assert len({ids.of_request(None) for _ in range(1000)}) == 1000
