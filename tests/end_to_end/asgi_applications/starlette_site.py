"""A small Starlette application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
    print("started")
    yield {"greeting": "hello from the lifespan"}
    print("shut down")


async def index(request: Request) -> Response:
    return JSONResponse({"greeting": request.state.greeting})


async def in_a_thread(_: Request) -> Response:
    return JSONResponse({"ok": await run_in_threadpool(bool, 1)})


async def create(request: Request) -> Response:
    item = await request.json()
    return JSONResponse({"created": item["name"]})


async def events(_: Request) -> Response:
    async def produce() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0)

    return StreamingResponse(produce(), media_type="text/event-stream")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        print("websocket closed")


application = Starlette(
    routes=[
        Route("/", index),
        Route("/in-a-thread", in_a_thread),
        Route("/items", create, methods=["POST"]),
        Route("/events", events),
        WebSocketRoute("/ws", echo),
    ],
    lifespan=lifespan,
)
