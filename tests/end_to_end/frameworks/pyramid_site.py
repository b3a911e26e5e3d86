import hashlib

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.response import FileResponse, Response
from pyramid.session import SignedCookieSessionFactory


def home(request):
    return Response("hello")


def greet(request):
    return Response(f"hello, {request.matchdict['name']}{request.GET['mark']}", charset="utf-8")


def form(request):
    return Response(json_body={"name": request.POST["name"], "colours": request.POST.getall("colour")})


def upload(request):
    file = request.POST["file"]
    content = file.file.read()
    digest = hashlib.sha256(content).hexdigest()
    return Response(json_body={"name": file.filename, "size": len(content), "sha256": digest})


def stream(request):
    return Response(app_iter=(f"{number}\n".encode() for number in range(1000)), content_type="text/plain")


def login(request):
    request.session["name"] = request.POST["name"]
    return Response("welcome")


def whoami(request):
    return Response(request.session.get("name", "nobody"))


def file(request):
    return FileResponse(__file__, request)


def elsewhere(request):
    return HTTPFound("/")


def fails(request):
    raise LookupError("nothing of the kind")


with Configurator() as config:
    config.set_session_factory(SignedCookieSessionFactory("for tests"))
    for view in (form, upload, stream, login, whoami, file, elsewhere, fails):
        config.add_route(view.__name__, f"/{view.__name__}")
        config.add_view(view, route_name=view.__name__)
    config.add_route("home", "/")
    config.add_view(home, route_name="home")
    config.add_route("greet", "/greet/{name}")
    config.add_view(greet, route_name="greet")
    application = config.make_wsgi_app()
