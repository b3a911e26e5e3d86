import struct
from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coachman.protocol.http.refusal import BadRequest
from coachman.protocol.proxy_protocol import Endpoint, ProxyHeader, read_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def block(command: int, family: int, content: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(content)) + content


def tcp4(extensions: bytes = b"") -> bytes:
    ends = ip_address("203.0.113.1").packed + ip_address("10.0.0.1").packed + struct.pack("!HH", 4711, 443)
    return block(0x21, 0x11, ends + extensions)


def tls(client: int) -> bytes:
    return b"\x04\x00\x02ab" + struct.pack("!BHBI", 0x20, 5, client, 0)


CLIENT, SERVER = Endpoint("203.0.113.1", "4711"), Endpoint("10.0.0.1", "443")
IPV6 = ip_address("2001:db8::1").packed + ip_address("::1").packed + struct.pack("!HH", 1, 2)

HEADERS = [
    (b"PROXY TCP4 203.0.113.1 10.0.0.1 4711 443\r\n", CLIENT, SERVER, False),
    (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", Endpoint("2001:db8::1", "1"), Endpoint("::1", "2"), False),
    (b"PROXY UNKNOWN\r\n", None, None, False),
    (b"PROXY UNKNOWN whatever it says 1 2\r\n", None, None, False),
    (tcp4(), CLIENT, SERVER, False),
    (tcp4(tls(client=1)), CLIENT, SERVER, True),
    (tcp4(tls(client=0)), CLIENT, SERVER, False),
    (block(0x21, 0x21, IPV6), Endpoint("2001:db8::1", "1"), Endpoint("::1", "2"), False),
    (block(0x21, 0x31, b"\0" * 216), Endpoint("", ""), Endpoint("", ""), False),
    (block(0x20, 0x00, b""), None, None, False),
    (block(0x20, 0x11, b"\0" * 12), None, None, False),
    (block(0x21, 0x00, b"anything"), None, None, False),
]


@pytest.mark.parametrize(("data", "source", "destination", "secure"), HEADERS)
def test_both_versions_tell_of_the_client(
    data: bytes, source: Endpoint | None, destination: Endpoint | None, secure: bool
) -> None:
    assert read_proxy_header(data + b"GET ") == ProxyHeader(len(data), source, destination, secure)
    assert all(read_proxy_header(data[:size]) is None for size in range(len(data)))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"proxy TCP4",
        b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
        b"PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
        b"PROXY TCP4 1.1.1.300 2.2.2.2 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 1.1.1.1 ::1 1 2\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
        b"PROXY UNKNOWN " + b"x" * 107,
        SIGNATURE + b"\x11\x11\0\0",
        SIGNATURE + b"\x22\x11\0\0",
        SIGNATURE + b"\x21\x11\xff\xff",
        block(0x21, 0x11, b"short"),
        block(0x21, 0x12, b"\0" * 12),
        block(0x21, 0x31, b"\0" * 100),
        tcp4(b"\x20\x00"),
        tcp4(b"\x20\x00\x05"),
        tcp4(b"\x20\x00\x05\x01\0\0\0"),
        tcp4(b"\x04\x00\x03ab"),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        read_proxy_header(data)


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11\0"]),
)
def test_any_bytes_are_read_or_refused(data: bytes, beginning: bytes) -> None:
    try:
        header = read_proxy_header(beginning + data)
    except BadRequest:
        return
    assert header is None or header.size <= len(beginning + data)


@given(
    st.lists(st.sampled_from([b"\0", b"\x01", b"\x04", b"\x05", b"\x20", b"\xff"]), max_size=12).map(b"".join)
)
def test_any_extensions_are_read_or_refused(extensions: bytes) -> None:
    with suppress(BadRequest):
        assert read_proxy_header(tcp4(extensions)).source == CLIENT  # type: ignore[union-attr]  # it is complete
