import hashlib

from flask import Flask, Response, jsonify, redirect, request, send_file, session

application = Flask(__name__)
application.secret_key = "for tests"


@application.get("/")
def home():
    return "hello"


@application.get("/greet/<name>")
def greet(name):
    return f"hello, {name}{request.args['mark']}"


@application.post("/form")
def form():
    return jsonify(name=request.form["name"], colours=request.form.getlist("colour"))


@application.post("/upload")
def upload():
    file = request.files["file"]
    content = file.read()
    return jsonify(name=file.filename, size=len(content), sha256=hashlib.sha256(content).hexdigest())


@application.get("/stream")
def stream():
    return Response((f"{number}\n" for number in range(1000)), mimetype="text/plain")


@application.post("/login")
def login():
    session["name"] = request.form["name"]
    return "welcome"


@application.get("/whoami")
def whoami():
    return session.get("name", "nobody")


@application.get("/file")
def file():
    return send_file(__file__)


@application.get("/elsewhere")
def elsewhere():
    return redirect("/")


@application.get("/fails")
def fails():
    raise LookupError("nothing of the kind")
