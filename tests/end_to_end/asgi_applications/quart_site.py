"""A small Quart application."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, Response, request, websocket
from quart.utils import run_sync

application = Quart(__name__)
greeting: dict[str, str] = {}


@application.before_serving
async def startup() -> None:
    print("started")
    greeting["greeting"] = "hello from the lifespan"


@application.after_serving
async def shutdown() -> None:
    print("shut down")


@application.get("/")
async def index() -> dict[str, str]:
    return greeting


@application.get("/in-a-thread")
async def in_a_thread() -> dict[str, bool]:
    return {"ok": await run_sync(lambda: True)()}


@application.post("/items")
async def create() -> dict[str, Any]:
    item = await request.get_json()
    return {"created": item["name"]}


@application.get("/events")
async def events() -> Response:
    async def produce() -> AsyncIterator[bytes]:
        for number in range(3):
            yield f"data: {number}\n\n".encode()
            await asyncio.sleep(0)

    return Response(produce(), content_type="text/event-stream")


@application.websocket("/ws")
async def echo() -> None:
    try:
        while True:
            await websocket.send(await websocket.receive())
    except asyncio.CancelledError:
        print("websocket closed")
        raise
