"""Requests that a proxy forwards, as an ASGI application sees them."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from coachman.config.model import WorkerConfig

from .asgi_serving import Receive, Scope, Send, answer, receive_all, receive_response, served

UNTRUSTED = WorkerConfig(trusted_proxies=("10.0.0.0/8",))
PROXIED = WorkerConfig(proxy_protocol=True)


async def told(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what the scope says of the client."""
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        text = json.dumps([scope["client"], scope["scheme"], headers])
        await send({"type": "websocket.send", "text": text})
        return
    await answer(send, json.dumps([scope["client"], scope["scheme"], headers]).encode())


def seen(client: socket.socket, *fields: str) -> Any:
    request = "\r\n".join(["GET / HTTP/1.1", "Host: x", *fields, "", ""])
    client.sendall(request.encode())
    return json.loads(receive_response(client)[1])


def test_a_trusted_proxys_word_is_taken() -> None:
    with served(told) as serving:
        client = serving.connect()
        fields = ("X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: site.example")
        for _ in range(2):  # fresh, then remembered
            peer, scheme, headers = seen(client, *fields)
            assert (peer, scheme, headers["host"]) == (["192.0.2.1", 0], "https", "site.example")
        peer, scheme, headers = seen(client)
        assert (peer[0], scheme, headers["host"]) == ("127.0.0.1", "http", "x")


def test_nobody_elses_is_and_the_application_does_not_see_it() -> None:
    with served(told, UNTRUSTED) as serving:
        client = serving.connect()
        fields = ("X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "X_Forwarded_For: 192.0.2.1")
        peer, _, headers = seen(client, *fields)
        assert peer[0] == "127.0.0.1"
        assert set(headers) == {"host"}


def test_a_word_that_cannot_be_understood_is_refused() -> None:
    with served(told) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nForwarded: nonsense\r\n\r\n")
        assert receive_all(client).startswith(b"HTTP/1.1 400 ")


def test_a_url_in_the_request_line_overrules_the_host() -> None:
    with served(told) as serving:
        client = serving.connect()
        client.sendall(b"GET http://site.example/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert json.loads(receive_response(client)[1])[2]["host"] == "site.example"


def test_it_holds_for_websockets() -> None:
    with served(told) as serving:
        headers = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
        websocket = serving.connect_websocket(headers=headers)
        client, scheme, _ = json.loads(websocket.recv())
        assert (client, scheme) == (["192.0.2.1", 0], "wss")


def test_the_proxy_protocol_says_who_the_client_is() -> None:
    with served(told, PROXIED) as serving:
        client = serving.connect()
        client.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 ")
        client.sendall(b"443\r\n")
        for _ in range(2):
            assert seen(client)[0] == ["192.0.2.1", 1234]


def test_a_client_that_was_introduced_is_no_trusted_proxy() -> None:
    with served(told, PROXIED) as serving:
        client = serving.connect()
        client.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 443\r\n")
        assert seen(client, "X-Forwarded-For: 127.0.0.1")[0] == ["192.0.2.1", 1234]


@pytest.mark.parametrize("config", [PROXIED, WorkerConfig(proxy_protocol=True, trusted_proxies=())])
def test_a_connection_without_it_is_refused_where_it_is_expected(config: WorkerConfig) -> None:
    with served(told, config) as serving:
        client = serving.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert receive_all(client).startswith(b"HTTP/1.1 400 ")
