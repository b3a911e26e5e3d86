import pytest

from coachman.protocol.stdio import (
    AdvertisedSocket,
    Line,
    classify,
    decode_field,
    decode_text,
    encode_field,
    encode_text,
)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"I have control 1.0", Line.CONTROL),
        (b"Ready", Line.READY),
        (b"Error", Line.ERROR),
        (b"", Line.END),
        (b"socket: main;tcp://127.0.0.1:1;http;0", Line.FIELD),
        (b"key: ", Line.FIELD),
        (b"key:value", None),
        (b"I have control 2.0", None),
        (b"ready", None),
    ],
)
def test_every_line_has_one_meaning_or_none(line: bytes, kind: Line | None) -> None:
    assert classify(line) is kind


def test_a_field_survives_the_way_there_and_back() -> None:
    line = encode_field("app_root", "/srv/a: b/\udcff")
    assert line == b"app_root: /srv/a: b/\xff\n"
    assert decode_field(line.removesuffix(b"\n")) == ("app_root", "/srv/a: b/\udcff")


@pytest.mark.parametrize(("key", "value"), [("a\nb", "c"), ("a", "b\nc"), ("a: b", "c")])
def test_a_field_that_would_break_the_lines_is_refused(key: str, value: str) -> None:
    with pytest.raises(ValueError, match="cannot carry"):
        encode_field(key, value)


def test_a_line_without_separator_is_no_field() -> None:
    with pytest.raises(ValueError, match="key:value"):
        decode_field(b"key:value")


def test_any_bytes_survive_decoding() -> None:
    every = bytes(range(256))
    assert encode_text(decode_text(every)) == every


def test_a_socket_is_written_as_it_is_read() -> None:
    value = "main;unix:/run/x/s.1;session;1"
    assert AdvertisedSocket.parse(value) == AdvertisedSocket("main", "unix:/run/x/s.1", "session", 1)
    assert str(AdvertisedSocket.parse(value)) == value


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("main;unix:/s;session", "four fields"),
        ("main;unix:/s;session;1;2", "four fields"),
        ("main;unix:/s;session;-1", "whole number"),
        ("main;unix:/s;session;", "whole number"),
        ("main;unix:/s;session;\u00b2", "whole number"),
        ("main;unix:relative;session;1", "absolute"),
        ("main;udp://127.0.0.1:1;session;1", "neither"),
    ],
)
def test_a_malformed_socket_is_refused_and_quoted(value: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refusal:
        AdvertisedSocket.parse(value)
    assert repr(value) in str(refusal.value)
