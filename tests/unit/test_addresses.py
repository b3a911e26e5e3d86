import pytest

from coachman.protocol.addresses import TcpEndpoint, UnixEndpoint, parse_endpoint


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        ("unix:/run/x/s.1", UnixEndpoint("/run/x/s.1")),
        ("unix:/a b:c", UnixEndpoint("/a b:c")),
        ("tcp://127.0.0.1:8000", TcpEndpoint("127.0.0.1", 8000)),
        ("tcp://localhost:1", TcpEndpoint("localhost", 1)),
        ("tcp://[::1]:65535", TcpEndpoint("::1", 65535)),
    ],
)
def test_an_address_says_where_to_connect_to(address: str, endpoint: object) -> None:
    assert parse_endpoint(address) == endpoint


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("", "neither"),
        ("udp://127.0.0.1:1", "neither"),
        ("/run/x", "neither"),
        ("unix:", "not an absolute path"),
        ("unix:run/x", "not an absolute path"),
        ("unix:/", "empty part"),
        ("unix:/run//x", "empty part"),
        ("unix:/run/./x", "empty part"),
        ("unix:/run/../x", "empty part"),
        ("unix:/run/x/", "empty part"),
        ("tcp://", "no port"),
        ("tcp://127.0.0.1", "no port"),
        ("tcp://127.0.0.1:", "no port"),
        ("tcp://127.0.0.1:0", "no port"),
        ("tcp://127.0.0.1:65536", "no port"),
        ("tcp://127.0.0.1:-1", "no port"),
        ("tcp://127.0.0.1:\u0661", "no port"),
        ("tcp://:80", "no host"),
        ("tcp://[]:80", "no host"),
        ("tcp://::1:80", "brackets"),
    ],
)
def test_a_malformed_address_is_refused_with_what_is_wrong(address: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_endpoint(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.255.254", "::1", "localhost", "LOCALHOST"])
def test_loopback_is_what_this_machine_alone_can_reach(host: str) -> None:
    assert TcpEndpoint(host, 1).on_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "128.0.0.1", "192.168.0.1", "localhost.example", "127.1"])
def test_any_other_host_is_not_loopback(host: str) -> None:
    assert not TcpEndpoint(host, 1).on_loopback
