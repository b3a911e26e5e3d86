import hashlib
from pathlib import Path

import falcon


class Home:
    def on_get(self, request, response):
        response.text = "hello"


class Greet:
    def on_get(self, request, response, name):
        response.text = f"hello, {name}{request.get_param('mark')}"


class Form:
    def on_post(self, request, response):
        form = request.get_media()
        response.media = {"name": form["name"], "colours": form["colour"]}


class Upload:
    def on_post(self, request, response):
        for part in request.get_media():
            content = part.stream.read()
            response.media = {
                "name": part.filename,
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }


class Stream:
    def on_get(self, request, response):
        response.content_type = "text/plain"
        response.stream = (f"{number}\n".encode() for number in range(1000))


class Login:
    def on_post(self, request, response):
        response.set_cookie("name", request.get_media()["name"], secure=False)
        response.text = "welcome"


class WhoAmI:
    def on_get(self, request, response):
        response.text = request.cookies.get("name", "nobody")


class File:
    def on_get(self, request, response):
        response.content_type = "text/plain"
        response.stream = Path(__file__).open("rb")  # noqa: SIM115 - falcon closes it


class Elsewhere:
    def on_get(self, request, response):
        raise falcon.HTTPFound("/")


class Fails:
    def on_get(self, request, response):
        raise LookupError("nothing of the kind")


def raise_on(request, response, error, params):
    raise error


application = falcon.App()
application.add_error_handler(LookupError, raise_on)
for route, resource in {
    "/": Home(),
    "/greet/{name}": Greet(),
    "/form": Form(),
    "/upload": Upload(),
    "/stream": Stream(),
    "/login": Login(),
    "/whoami": WhoAmI(),
    "/file": File(),
    "/elsewhere": Elsewhere(),
    "/fails": Fails(),
}.items():
    application.add_route(route, resource)
