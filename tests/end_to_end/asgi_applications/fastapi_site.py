"""A small FastAPI application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from pydantic import BaseModel


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
    print("started")
    yield {"greeting": "hello from the lifespan"}
    print("shut down")


application = FastAPI(lifespan=lifespan)


class Item(BaseModel):
    name: str
    price: float


@application.get("/")
async def index(request: Request) -> dict[str, str]:
    greeting: str = request.state.greeting
    return {"greeting": greeting}


@application.get("/in-a-thread")
def in_a_thread() -> dict[str, bool]:
    return {"ok": True}


@application.post("/items")
async def create(item: Item) -> dict[str, Any]:
    return {"created": item.name}


@application.get("/events")
async def events() -> StreamingResponse:
    async def produce() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0)

    return StreamingResponse(produce(), media_type="text/event-stream")


@application.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        print("websocket closed")
