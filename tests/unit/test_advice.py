"""What is advised, for every kind of failure and the usual errors."""

import signal
from typing import Any

import pytest

from coachman.protocol.application_report import VirtualEnvironment
from coachman.protocol.journey import Journey
from coachman.supervisor.failures.advice import advice, waiting_place
from coachman.supervisor.failures.failure import FailureKind, StartFailure, kind_of_ending
from coachman.unix.processes import Ending

from .failures import failure, report

STACKS = """\
Thread 0x00007f00aaaaa700 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 320 in wait
  File "/srv/app/worker.py", line 7 in run

Current thread 0x00007f00bbbbb740 (most recent call first):
  File "/usr/lib/python3.11/socket.py", line 836 in create_connection
  File "/srv/app/settings.py", line 12 in connect
  File "/srv/app/wsgi.py", line 3 in <module>
  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed"""


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind is not FailureKind.REFUSED])
def test_there_is_advice_for_every_kind(kind: FailureKind) -> None:
    sentence = advice(failure(kind))
    assert sentence.endswith(".")
    assert len(sentence) > 40


WITHOUT_COACHMAN = VirtualEnvironment(folder="/srv/.venv", python="/srv/.venv/bin/python")
WITH_COACHMAN = VirtualEnvironment(
    folder="/srv/.venv", python="/srv/.venv/bin/python", coachman="/srv/.venv/bin/coachman"
)

ERRORS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a package that is not installed": (
        "ModuleNotFoundError ImportError",
        {"missing_module": "yaml.nodes"},
        "`/usr/bin/python3 -m pip install PyYAML`",
    ),
    "a package of a virtual environment with coachman": (
        "ModuleNotFoundError ImportError",
        {
            "missing_module": "markdown",
            "virtual_environments": (WITH_COACHMAN,),
        },
        "virtual environment /srv/.venv, which nobody activated: start with `/srv/.venv/bin/coachman`",
    ),
    "a package of a virtual environment without it": (
        "ModuleNotFoundError ImportError",
        {
            "missing_module": "markdown",
            "virtual_environments": (WITHOUT_COACHMAN,),
        },
        "`/srv/.venv/bin/python -m pip install coachman`",
    ),
    "a module in another folder": (
        "ModuleNotFoundError ImportError",
        {"missing_module": "guestbook.settings", "found_in": "/srv"},
        "`PYTHONPATH=/srv`",
    ),
    "a file that hides a package": (
        "ModuleNotFoundError ImportError",
        {
            "missing_module": "django.core",
            "module_file": "/srv/app/django.py",
            "message": "No module named 'django.core'; 'django' is not a package",
        },
        "rename that file",
    ),
    "a startup module that does not exist": (
        "ModuleNotFoundError ImportError",
        {"missing_module": "proj", "traceback": ""},
        "There is no proj in /srv/app",
    ),
    "a name that a module does not have": (
        "ImportError Exception",
        {"missing_module": "flask", "module_file": "/x/flask.py", "message": "cannot import name 'y'"},
        "flask was loaded from /x/flask.py",
    ),
    "a circular import": (
        "ImportError Exception",
        {"message": "cannot import name 'a' from partially initialized module 'b'"},
        "import each other",
    ),
    "a missing library": (
        "ImportError Exception",
        {"message": "libpq.so.5: cannot open shared object file"},
        "a library of the system",
    ),
    "a syntax error": (
        "IndentationError SyntaxError Exception",
        {},
        "Mend line 3 of /srv/app/wsgi.py. This is Python 3.11.7",
    ),
    "a missing attribute": (
        "AttributeError Exception",
        {"message": "module 'flask' has no attribute 'ext'"},
        "The module has no such name",
    ),
    "a file that may not be read": (
        "PermissionError OSError",
        {"errno": 13, "message": "[Errno 13] Permission denied: '/etc/shadow'"},
        "`namei -l /etc/shadow`",
    ),
    "a port that may not be bound": (
        "PermissionError OSError",
        {"errno": 13, "message": "[Errno 13] Permission denied"},
        "Ports below 1024",
    ),
    "an address in use": (
        "OSError Exception",
        {"errno": 98, "message": "[Errno 98] Address already in use"},
        "The application itself listens",
    ),
    "a relative path": (
        "FileNotFoundError OSError",
        {"errno": 2, "message": "[Errno 2] No such file or directory: 'x.ini'"},
        "from the application's folder, /srv/app",
    ),
    "a full disk": ("OSError", {"errno": 28}, "A disk is full"),
    "a service that is down": (
        "ConnectionRefusedError ConnectionError OSError",
        {"errno": 111},
        "Nothing listens",
    ),
    "a service that is down, in a library's words": (
        "psycopg.OperationalError Exception",
        {"message": "connection to server failed: Connection refused"},
        "Nothing listens",
    ),
    "no Django settings": (
        "django.core.exceptions.ImproperlyConfigured Exception",
        {"message": "settings are not configured. You must define DJANGO_SETTINGS_MODULE"},
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE'",
    ),
    "no secret key": (
        "django.core.exceptions.ImproperlyConfigured Exception",
        {"message": "The SECRET_KEY setting must not be empty."},
        "a SECRET_KEY",
    ),
    "an unset variable": (
        "KeyError LookupError",
        {"message": "'DATABASE_URL'", "traceback": "os.environ['DATABASE_URL']"},
        "The environment variable DATABASE_URL is not set",
    ),
    "sys.exit": (
        "SystemExit BaseException",
        {"message": "1"},
        "ended itself while it was loaded (/srv/app/wsgi.py, line 3): what a script does",
    ),
    "sys.exit with a reason": (
        "SystemExit BaseException",
        {"message": "no settings"},
        "ended itself while it was loaded (/srv/app/wsgi.py, line 3): its message says why",
    ),
    "no memory": ("MemoryError Exception", {}, "more memory"),
    "an error nobody knows": ("shop.Broken Exception", {}, "Look at /srv/app/wsgi.py, line 3"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_the_usual_errors_are_advised_about(name: str) -> None:
    error, fields, expected = ERRORS[name]
    assert expected in advice(failure(report=report(error, **fields)))


def test_without_a_report_nothing_is_made_up() -> None:
    assert advice(failure(reason="it broke")) == ""
    assert advice(failure(report=report("coachman.errors.ApplicationError Exception"))) == ""


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (Ending(127), "a command was not found"),
        (Ending(0), "took itself for done"),
        (Ending(3), "printed nothing"),
        (Ending(None, signal.SIGSEGV), "crashed in C code"),
        (Ending(None, signal.SIGKILL), "nothing readable says who"),
        (Ending(None, signal.SIGTERM), "Somebody sent it"),
    ],
)
def test_an_ending_is_advised_about(ending: Ending, expected: str) -> None:
    assert expected in advice(failure(kind_of_ending(ending, memory_evidence=None), ending=ending))


def test_sigkill_means_memory_only_where_there_is_evidence() -> None:
    killed, terminated = Ending(None, signal.SIGKILL), Ending(None, signal.SIGTERM)
    assert kind_of_ending(killed, memory_evidence=None) is FailureKind.KILLED
    assert kind_of_ending(killed, memory_evidence="oom_kill 1") is FailureKind.KILLED_FOR_MEMORY
    assert kind_of_ending(terminated, memory_evidence="oom_kill 1") is FailureKind.KILLED


def test_the_place_where_the_main_thread_waits_is_the_applications_own() -> None:
    assert waiting_place(STACKS) == ("/srv/app/settings.py", 12, "connect")
    sentence = advice(failure(FailureKind.TIMED_OUT, stacks=STACKS))
    assert "in connect, /srv/app/settings.py, line 12" in sentence
    assert waiting_place("") is None


def test_an_application_that_serves_by_itself_is_told_that_it_need_not() -> None:
    stacks = """\
Current thread 0x00007f00bbbbb740 (most recent call first):
  File "/usr/lib/python3.11/selectors.py", line 415 in select
  File "/usr/lib/python3.11/socketserver.py", line 233 in serve_forever
  File "/srv/venv/lib/python3.11/site-packages/flask/app.py", line 662 in run
  File "/srv/app/wsgi.py", line 3 in <module>"""
    sentence = advice(failure(FailureKind.TIMED_OUT, stacks=stacks))
    assert sentence.startswith("The application itself serves requests, from /srv/app/wsgi.py, line 3.")


def test_a_wrapper_that_never_spoke_is_advised_about() -> None:
    silent = StartFailure(FailureKind.TIMED_OUT, 1, "", journey=Journey.begin(0.0))
    assert "I have control" not in advice(silent)
    started = failure(FailureKind.TIMED_OUT)
    assert "while it is loaded" in advice(started)
