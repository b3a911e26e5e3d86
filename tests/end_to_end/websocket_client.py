"""A WebSocket client that leaves nothing behind once it is closed."""

from __future__ import annotations

from typing import Final

from websockets.sync.client import ClientConnection, connect

TIMEOUT: Final = 30.0


def open_websocket(server_url: str, path: str = "/") -> ClientConnection:
    """Return an open WebSocket at a path of the server; a context manager.

    Without keepalive pings: websockets does not wait for the thread that sends them when it closes.
    """
    url = server_url.replace("http", "ws", 1) + path
    return connect(url, proxy=None, ping_interval=None, open_timeout=TIMEOUT)
