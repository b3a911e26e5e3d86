"""What an application is told of its client when a proxy is in between."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

import pytest

from coachman.config.model import WorkerConfig
from coachman.worker.wsgi.engine import Engine

from .served import receive_all, receive_response, served

TRUSTING = WorkerConfig()
DISTRUSTING = WorkerConfig(trusted_proxies=("10.0.0.0/8",))
HEADER = b"PROXY TCP4 203.0.113.1 198.51.100.7 4711 443\r\n"
GET = b"GET / HTTP/1.1\r\nHost: inner\r\n%b\r\n"


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [json.dumps({key: value for key, value in environ.items() if isinstance(value, str)}).encode()]


def told(config: WorkerConfig, fields: bytes, *, introduction: bytes = b"") -> dict[str, str]:
    with served(application, 1, config) as connect:
        client = connect()
        client.sendall(introduction + GET % fields)
        environ: dict[str, str] = json.loads(receive_response(client)[1])
        return environ


FIELDS = b"X-Forwarded-For: 203.0.113.1:4711\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: example.org\r\n"


@pytest.mark.parametrize(
    "fields", [FIELDS, b'Forwarded: for="203.0.113.1:4711";proto=https;host=example.org\r\n']
)
def test_a_trusted_peers_word_is_taken(fields: bytes) -> None:
    environ = told(TRUSTING, fields)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("203.0.113.1", "4711")
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("https", "example.org")


@pytest.mark.parametrize("fields", [FIELDS, b"Forwarded: for=203.0.113.1;proto=https\r\n"])
def test_another_peers_word_is_not_even_shown(fields: bytes) -> None:
    environ = told(DISTRUSTING, fields + b"X-Other: 1\r\n")
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert (environ["wsgi.url_scheme"], environ["HTTP_HOST"]) == ("http", "inner")
    assert not [key for key in environ if "FORWARDED" in key]
    assert environ["HTTP_X_OTHER"] == "1"


def test_a_head_that_is_refused_has_no_body_and_is_counted_once(threads: int) -> None:
    def requests() -> int:
        return sum(engine.tally.totals()[0] for engine in engines)

    engines: list[Engine] = []
    with served(application, threads, on_engine=engines.append) as connect:
        client = connect()
        client.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: nonsense\r\n\r\n")
        answer = receive_all(client)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\n")
    assert requests() == 1


def test_what_cannot_be_understood_is_refused(threads: int) -> None:
    with served(application, threads, TRUSTING) as connect:
        client = connect()
        client.sendall(GET % b"X-Forwarded-For: nonsense\r\n")
        assert receive_all(client).startswith(b"HTTP/1.1 400 ")


PROXIED = WorkerConfig(proxy_protocol=True)


def test_a_load_balancer_introduces_its_client() -> None:
    environ = told(PROXIED, b"", introduction=HEADER)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("203.0.113.1", "4711")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("198.51.100.7", "443")


@pytest.mark.parametrize(("tls", "scheme"), [(0, "http"), (1, "https")])
def test_the_second_version_tells_of_tls(tls: int, scheme: str) -> None:
    ends = ip_address("203.0.113.1").packed + ip_address("198.51.100.7").packed
    content = ends + struct.pack("!HHBHBI", 4711, 443, 0x20, 5, tls, 0)
    header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(content)) + content
    assert told(PROXIED, b"", introduction=header)["wsgi.url_scheme"] == scheme


def test_a_client_that_was_introduced_is_no_trusted_proxy() -> None:
    environ = told(PROXIED, b"X-Forwarded-For: 127.0.0.1\r\n", introduction=HEADER)
    assert environ["REMOTE_ADDR"] == "203.0.113.1"
    assert "HTTP_X_FORWARDED_FOR" not in environ


def test_a_health_check_of_the_load_balancer_has_its_own_address() -> None:
    assert told(PROXIED, b"", introduction=b"PROXY UNKNOWN\r\n")["REMOTE_ADDR"] == "127.0.0.1"


def test_an_introduction_may_come_byte_by_byte_and_counts_for_all_requests(threads: int) -> None:
    with served(application, threads, PROXIED) as connect:
        client = connect()
        for byte in HEADER + GET % b"":
            client.sendall(bytes([byte]))
        for _ in range(2):
            assert json.loads(receive_response(client)[1])["REMOTE_ADDR"] == "203.0.113.1"
            client.sendall(GET % b"")
        receive_response(client)


@pytest.mark.parametrize(
    ("config", "sent"),
    [
        (PROXIED, GET % b""),
        (PROXIED, b"PROXY nonsense\r\n" + GET % b""),
        (WorkerConfig(proxy_protocol=True, trusted_proxies=()), HEADER + GET % b""),
        (TRUSTING, HEADER + GET % b""),
    ],
)
def test_who_is_not_introduced_as_expected_is_refused(
    threads: int, config: WorkerConfig, sent: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(application, threads, config) as connect:
        client = connect()
        client.sendall(sent)
        assert receive_all(client).startswith(b"HTTP/1.1 400 ")
    assert "refused a request from 127.0.0.1: 400 Bad Request: " in capsys.readouterr().err
