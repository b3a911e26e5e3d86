import hashlib
from pathlib import Path

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="for tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    LOGGING={
        "version": 1,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "loggers": {"django.request": {"handlers": ["console"], "level": "ERROR"}},
    },
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
    ],
)
django.setup()


def home(request):
    return HttpResponse("hello", content_type="text/plain")


def greet(request, name):
    return HttpResponse(f"hello, {name}{request.GET['mark']}", content_type="text/plain")


def form(request):
    return JsonResponse({"name": request.POST["name"], "colours": request.POST.getlist("colour")})


def upload(request):
    file = request.FILES["file"]
    content = file.read()
    digest = hashlib.sha256(content).hexdigest()
    return JsonResponse({"name": file.name, "size": len(content), "sha256": digest})


def stream(request):
    return StreamingHttpResponse((f"{number}\n" for number in range(1000)), content_type="text/plain")


def login(request):
    request.session["name"] = request.POST["name"]
    return HttpResponse("welcome")


def whoami(request):
    return HttpResponse(request.session.get("name", "nobody"), content_type="text/plain")


def file(request):
    return FileResponse(Path(__file__).open("rb"))


def elsewhere(request):
    return HttpResponseRedirect("/")


def fails(request):
    raise LookupError("nothing of the kind")


urlpatterns = [
    path("", home),
    path("greet/<str:name>", greet),
    path("form", form),
    path("upload", upload),
    path("stream", stream),
    path("login", login),
    path("whoami", whoami),
    path("file", file),
    path("elsewhere", elsewhere),
    path("fails", fails),
]
application = get_wsgi_application()
