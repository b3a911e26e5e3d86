import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coachman.protocol.log_format import (
    STREAMS,
    Attribution,
    Format,
    JsonFormat,
    RawFormat,
    Source,
    TextFormat,
)

SOURCE = Source(4711, "site", 3)
STDOUT = SOURCE.attributions["stdout"]
A_MOMENT = 1_700_000_000_000_001_999
"""2023-11-14, 22:13:20 and one microsecond, UTC."""

lines_without_newline = st.lists(st.binary().map(lambda line: line.replace(b"\n", b" ")), min_size=1)


def block_of(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def joined(log_format: Format, attribution: Attribution, block: bytes) -> bytes:
    """Return the block as the log has it, once what is said of it was looked at."""
    formatted = log_format.lines(attribution, block, A_MOMENT)
    assert formatted.lines == block.count(b"\n")
    return b"".join(formatted.pieces)


def objects(data: bytes) -> list[dict[str, Any]]:
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data[:-1].split(b"\n")]


def messages(*lines: bytes) -> list[Any]:
    return [entry["message"] for entry in objects(joined(JsonFormat(1), STDOUT, block_of(list(lines))))]


@given(lines_without_newline, st.sampled_from(STREAMS))
def test_text_names_process_and_stream_before_every_line(lines: list[bytes], stream: str) -> None:
    data = joined(TextFormat(1), SOURCE.attributions[stream], block_of(lines))
    prefix = f"App 4711 {stream}: ".encode()
    assert data == block_of([prefix + line for line in lines])


def test_text_names_the_supervisor_before_every_line_of_a_note() -> None:
    assert TextFormat(7).note("one\ntwo \udcff", A_MOMENT) == b"Supervisor 7: one\nSupervisor 7: two \xff\n"


@given(lines_without_newline)
def test_raw_is_what_was_printed(lines: list[bytes]) -> None:
    assert joined(RawFormat(1), STDOUT, block_of(lines)) == block_of(lines)


def test_a_note_may_hold_any_text() -> None:
    assert TextFormat(7).note("\ud800", A_MOMENT) == b"Supervisor 7: \\ud800\n"
    assert objects(JsonFormat(7).note("\ud800", A_MOMENT))[0]["message"] == "\\ud800"


def test_raw_has_no_place_for_notes() -> None:
    assert not RawFormat.has_notes
    assert RawFormat(7).note("a note", A_MOMENT) == b""


@given(lines_without_newline)
def test_json_is_one_object_a_line_whatever_bytes_were_printed(lines: list[bytes]) -> None:
    found = objects(joined(JsonFormat(1), STDOUT, block_of(lines)))
    assert len(found) == len(lines)
    for entry, line in zip(found, lines, strict=True):
        if isinstance(entry["message"], str):
            assert entry["message"] == line.decode("utf-8", "backslashreplace")
        else:
            assert entry["message"] == json.loads(line)


@given(st.lists(st.text().filter(lambda text: "\n" not in text), min_size=1))
def test_json_keeps_every_text(texts: list[str]) -> None:
    found = messages(*(text.encode("utf-8", "replace") for text in texts))
    plain = [message if isinstance(message, str) else json.dumps(message) for message in found]
    assert plain == [
        text.encode("utf-8", "replace").decode() if isinstance(message, str) else json.dumps(json.loads(text))
        for text, message in zip(texts, found, strict=True)
    ]


def test_json_says_when_who_and_where() -> None:
    (entry,) = objects(joined(JsonFormat(1), STDOUT, b"hello\n"))
    assert list(entry.items()) == [
        ("time", "2023-11-14T22:13:20.000001Z"),
        ("pid", 4711),
        ("application", "site"),
        ("generation", 3),
        ("stream", "stdout"),
        ("message", "hello"),
    ]


def test_json_makes_one_object_with_the_same_members_of_a_note() -> None:
    (entry,) = objects(JsonFormat(7).note("one\ntwo \udcff", A_MOMENT))
    assert entry == {
        "time": "2023-11-14T22:13:20.000001Z",
        "pid": 7,
        "application": None,
        "generation": None,
        "stream": "supervisor",
        "message": "one\ntwo \\xff",
    }


def test_json_nests_a_line_that_is_an_object() -> None:
    line = b'{"level": "info", "n": 1.50, "inner": {"text": "caf\xc3\xa9 \\" \\u20ac"}}'
    data = joined(JsonFormat(1), STDOUT, b"before\n" + line + b" \r\nbehind\n")
    assert [entry["message"] for entry in objects(data)] == ["before", json.loads(line), "behind"]
    assert b'"message":' + line + b"}\n" in data, "it is copied, not written anew: 1.50 stays 1.50"


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"{}}",
        b"{not json}",
        b'{"a": NaN}',
        b'{"a": 01}',
        b'{"a": "tab\t"}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"a": 1',
        b"[1, 2]",
        b"12",
        b"null",
        b'"text"',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda line: repr(line[:20]),
)
def test_json_takes_what_is_no_sound_object_for_text(line: bytes) -> None:
    assert messages(line, b"next") == [line.decode("utf-8", "backslashreplace"), "next"]


def test_an_application_may_have_any_name() -> None:
    attribution = Source(1, 'a "b" \udcff\n', None).attributions["stdout"]
    (entry,) = objects(joined(JsonFormat(1), attribution, b"hello\n"))
    assert entry["application"] == 'a "b" \\xff\n'
    assert entry["generation"] is None
