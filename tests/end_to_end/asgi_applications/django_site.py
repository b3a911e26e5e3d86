"""A small Django project in one file, with a WebSocket beside it: Django's own handler has none."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="for a test",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
django.setup()


async def index(_: HttpRequest) -> HttpResponse:
    return JsonResponse({"greeting": "hello without a lifespan"})


async def in_a_thread(_: HttpRequest) -> HttpResponse:
    return JsonResponse({"ok": await sync_to_async(bool)(1)})


def create(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"created": json.loads(request.body)["name"]})


async def events(_: HttpRequest) -> StreamingHttpResponse:
    async def produce() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0)

    return StreamingHttpResponse(produce(), content_type="text/event-stream")


urlpatterns = [
    path("", index),
    path("in-a-thread", in_a_thread),
    path("items", create),
    path("events", events),
]

http = get_asgi_application()


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        await http(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
    print("websocket closed")
