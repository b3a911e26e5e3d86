from pathlib import PurePosixPath

import pytest

from coachman.errors import LocalProtocolError, MessageCut, RemoteProtocolError
from coachman.protocol.messages import Decoder, Element, encode_array, encode_scalar_header


@pytest.mark.parametrize(
    ("elements", "wire"),
    [
        (("hello", "world"), "000c68656c6c6f00776f726c6400"),
        (("",), "000100"),
        (("", ""), "00020000"),
    ],
)
def test_an_array_message_has_the_documented_bytes(elements: tuple[str, ...], wire: str) -> None:
    assert encode_array(elements).hex() == wire


def test_a_scalar_message_has_the_documented_bytes() -> None:
    assert encode_scalar_header(0).hex() == "00000000"
    assert encode_scalar_header(258).hex() == "00000102"


@pytest.mark.parametrize(
    ("element", "text"),
    [
        ("é", "é"),
        (b"\xff\xfe", "\udcff\udcfe"),
        (bytearray(b"ab"), "ab"),
        (memoryview(b"ab"), "ab"),
        (1234, "1234"),
        (-0.5, "-0.5"),
        (PurePosixPath("/srv/app"), "/srv/app"),
        (None, ""),
    ],
)
def test_element_types_become_text(element: Element, text: str) -> None:
    assert decode(encode_array(("name", element))) == ["name", text]


def test_text_is_utf8_and_any_byte_string_survives() -> None:
    every_byte_but_nul = bytes(range(1, 256))
    message = decode(encode_array((every_byte_but_nul,)))
    assert message is not None
    assert message[0].encode("utf-8", "surrogateescape") == every_byte_but_nul


def test_length_counts_bytes_not_characters() -> None:
    assert encode_array(("é",)) == b"\x00\x03\xc3\xa9\x00"


def test_body_over_65535_bytes_is_an_error() -> None:
    assert len(encode_array(("x" * 65_534,))) == 2 + 65_535
    with pytest.raises(LocalProtocolError, match="65536 bytes"):
        encode_array(("x" * 65_535,))


@pytest.mark.parametrize("element", ["a\0b", b"\0"])
def test_nul_inside_an_element_is_an_error(element: Element) -> None:
    with pytest.raises(LocalProtocolError, match="NUL"):
        encode_array(("name", element))


def test_a_message_without_a_name_is_an_error() -> None:
    with pytest.raises(LocalProtocolError, match="at least one element"):
        encode_array(())


@pytest.mark.parametrize("element", [["list"], object(), "\ud800"])
def test_what_cannot_be_an_element_is_an_error(element: Element) -> None:
    with pytest.raises(LocalProtocolError):
        encode_array(("name", element))


def test_a_scalar_of_4_gib_is_an_error() -> None:
    with pytest.raises(LocalProtocolError, match="at most 4294967295"):
        encode_scalar_header(2**32)


def test_end_of_stream_inside_a_message_says_how_much_is_missing() -> None:
    decoder = Decoder()
    decoder.feed(encode_array(("hello", "world"))[:-4])
    assert decoder.array() is None
    with pytest.raises(MessageCut, match="10 bytes came, 4 are missing") as caught:
        decoder.end()
    assert (caught.value.received, caught.value.missing) == (10, 4)


@pytest.mark.parametrize("wire", [b"\0\0", b"\0\1a", b"\0\3a\0b"])
def test_a_body_that_is_empty_or_does_not_end_in_nul_is_an_error(wire: bytes) -> None:
    decoder = Decoder()
    decoder.feed(wire)
    with pytest.raises(RemoteProtocolError):
        decoder.array()


def test_a_scalar_over_max_size_is_an_error_before_its_body_is_read() -> None:
    decoder = Decoder()
    decoder.feed(encode_scalar_header(5))
    with pytest.raises(RemoteProtocolError, match="5 bytes; at most 4"):
        decoder.scalar(4)


def test_questions_of_another_kind_may_follow_an_incomplete_item() -> None:
    decoder = Decoder()
    for byte in b"\0\0\0\2ab" + encode_array(("next",)):
        decoder.feed(bytes([byte]))
    assert decoder.scalar() == b"ab"
    assert decoder.array() == ["next"]
    assert decoder.array() is None
    decoder.end()


def decode(wire: bytes) -> list[str] | None:
    decoder = Decoder()
    decoder.feed(wire)
    return decoder.array()
