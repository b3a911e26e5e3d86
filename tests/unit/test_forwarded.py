from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coachman.config.model import WorkerConfig
from coachman.protocol.http.forwarded import ForwardedReader, Origin
from coachman.protocol.http.refusal import BadRequest
from coachman.protocol.http.trusted_peers import UNIX_SOCKET, TrustedPeers

FIELDS = {
    "for": "HTTP_X_FORWARDED_FOR",
    "proto": "HTTP_X_FORWARDED_PROTO",
    "host": "HTTP_X_FORWARDED_HOST",
    "forwarded": "HTTP_FORWARDED",
}


def read(*trusted: str, **fields: str) -> Origin:
    reader = ForwardedReader(TrustedPeers(trusted or ("127.0.0.0/8", "10.0.0.0/8", "unix")))
    headers = {FIELDS[name.rstrip("_")]: value for name, value in fields.items()}
    origin = reader.read(headers)
    assert reader.read(headers) is origin, "it is remembered"
    return origin


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        (UNIX_SOCKET, True),
        ("10.0.0.1", False),
        ("2001:db8::1", False),
    ],
)
def test_loopback_and_unix_sockets_are_trusted_by_default(peer: str, trusted: bool) -> None:
    peers = TrustedPeers(WorkerConfig().trusted_proxies)
    assert [peers.trusts(peer), peers.trusts(peer)] == [trusted, trusted]


def test_everybody_or_nobody_may_be_trusted() -> None:
    assert TrustedPeers(["*"]).trusts("203.0.113.1")
    assert not TrustedPeers([]).trusts("127.0.0.1")
    assert not TrustedPeers(["127.0.0.1"]).trusts(UNIX_SOCKET)


@pytest.mark.parametrize(
    ("chain", "address", "port"),
    [
        ("203.0.113.1", "203.0.113.1", ""),
        ("203.0.113.1, 10.0.0.7", "203.0.113.1", ""),
        ("6.6.6.6, 203.0.113.1", "203.0.113.1", ""),
        ("6.6.6.6,203.0.113.1,10.0.0.7,\t127.0.0.1", "203.0.113.1", ""),
        ("nonsense, 203.0.113.1", "203.0.113.1", ""),
        ("10.0.0.8, 10.0.0.7", "10.0.0.8", ""),
        ("203.0.113.1:4711", "203.0.113.1", "4711"),
        ("2001:db8::1", "2001:db8::1", ""),
        ("[2001:DB8::1]:80", "2001:db8::1", "80"),
        ("unknown", "", ""),
        ("6.6.6.6, _hidden", "", ""),
    ],
)
def test_the_client_is_the_rightmost_that_is_not_trusted(chain: str, address: str, port: str) -> None:
    assert read(for_=chain)[:2] == (address, port)


@pytest.mark.parametrize(
    "chain",
    [
        "",
        "nonsense",
        "203.0.113.1,",
        "203.0.113.300",
        "1.2.3.4:99999x",
        "6.6.6.6, nonsense, 10.0.0.1",
        "[::1",
    ],
)
def test_what_is_no_address_is_refused_where_it_matters(chain: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        read(for_=chain)
    assert refusal.value.status.startswith("400 ")


@pytest.mark.parametrize(
    ("chain", "proto", "scheme"),
    [
        ("1.1.1.1", "https", "https"),
        ("1.1.1.1", "HTTPS", "https"),
        ("1.1.1.1", "wss", "https"),
        ("1.1.1.1", "gopher", None),
        ("1.1.1.1, 10.0.0.1", "https, http", "https"),
        ("6.6.6.6, 1.1.1.1", "https, http", "http"),
        ("1.1.1.1, 10.0.0.1", "https", "https"),
        ("6.6.6.6, 7.7.7.7, 1.1.1.1", "https, http", "http"),
    ],
)
def test_the_scheme_is_that_of_the_clients_connection(chain: str, proto: str, scheme: str | None) -> None:
    assert read(for_=chain, proto=proto).scheme == scheme


def test_the_host_is_what_the_client_asked_for() -> None:
    assert read(host="example.org").host == "example.org"
    assert read(for_="1.1.1.1, 10.0.0.1", host="example.org, inner:8000").host == "example.org"
    assert read(for_="1.1.1.1", host="evil.example, example.org").host == "example.org"
    with pytest.raises(BadRequest):
        read(host="example.org/path")


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("for=203.0.113.1", Origin("203.0.113.1")),
        ("For=203.0.113.1;Proto=https;by=10.0.0.1", Origin("203.0.113.1", "", "https")),
        ('for="[2001:db8::1]:4711";host="a.example:80"', Origin("2001:db8::1", "4711", None, "a.example:80")),
        ("for=6.6.6.6;proto=https, for=203.0.113.1;proto=http", Origin("203.0.113.1", "", "http")),
        (
            "for=203.0.113.1;proto=https;host=a , for=10.0.0.1;proto=http;host=b",
            Origin("203.0.113.1", "", "https", "a"),
        ),
        ("for=203.0.113.1;proto=https;", Origin("203.0.113.1", "", "https")),
        ("for=203.0.113.1;; proto=https ; , for=10.0.0.1;", Origin("203.0.113.1", "", "https")),
        ("for=unknown", Origin("")),
        ('for="_h\\idden"', Origin("")),
        ("proto=https", Origin(None)),
        ("for=6.6.6.6, proto=https", Origin(None)),
    ],
)
def test_forwarded_is_read_in_the_same_way(value: str, origin: Origin) -> None:
    assert read(forwarded=value) == origin


@pytest.mark.parametrize(
    "value",
    [
        "",
        "for",
        "for=",
        "for=1.1.1.1;for=2.2.2.2",
        "for=1.1.1.1,",
        'for="1.1.1.1',
        "for=1.1.1.1 proto=https",
        "for=1.1.1.1;;for=2.2.2.2",
        "for=1.1.1.1;,",
        "for=1.1.1.1;x",
        'for="1.1.1.1"proto=https',
    ],
)
def test_what_is_no_forwarded_field_is_refused(value: str) -> None:
    with pytest.raises(BadRequest):
        read(forwarded=value)


def test_two_opinions_on_the_client_are_refused() -> None:
    assert read(for_="1.1.1.1", forwarded="for=1.1.1.1;proto=https").scheme == "https"
    with pytest.raises(BadRequest, match="different clients"):
        read(for_="1.1.1.1", forwarded="for=127.0.0.1")


@given(st.text(st.sampled_from('for=proto;host,":[]1.2_\\ \t'), max_size=30), st.sampled_from(sorted(FIELDS)))
def test_any_other_text_is_read_or_refused(value: str, field: str) -> None:
    with suppress(BadRequest):
        read(**{field + "_" * (field == "for"): value})
