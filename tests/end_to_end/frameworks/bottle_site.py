import hashlib
from pathlib import Path

from bottle import Bottle, redirect, request, response, static_file

application = Bottle()
application.catchall = False
SECRET = "for tests"


@application.get("/")
def home():
    return "hello"


@application.get("/greet/<name>")
def greet(name):
    return f"hello, {name}{request.query.mark}"


@application.post("/form")
def form():
    return {"name": request.forms.name, "colours": request.forms.getall("colour")}


@application.post("/upload")
def upload():
    file = request.files.get("file")
    content = file.file.read()
    return {"name": file.raw_filename, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


@application.get("/stream")
def stream():
    response.content_type = "text/plain"
    for number in range(1000):
        yield f"{number}\n"


@application.post("/login")
def login():
    response.set_cookie("name", request.forms.name, secret=SECRET)
    return "welcome"


@application.get("/whoami")
def whoami():
    return request.get_cookie("name", "nobody", secret=SECRET)


@application.get("/file")
def file():
    return static_file(Path(__file__).name, root=str(Path(__file__).parent))


@application.get("/elsewhere")
def elsewhere():
    redirect("/")


@application.get("/fails")
def fails():
    raise LookupError("nothing of the kind")
