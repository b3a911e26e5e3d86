"""Applications that cannot be started: the cause is named once, the exit status is 1, nothing is left."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from .applications import HELLO, ONE_PROCESS, write_application
from .coachman_serve import CoachmanServe
from .gate import WAIT_AT_GATE, Gate

BY_ITS_OWN_CODE = {
    "an import that fails": (
        "import no_such_module",
        "ModuleNotFoundError: No module named 'no_such_module'",
        "import no_such_module",
    ),
    "a syntax error": (
        "def application(environ, start_response:\n    pass",
        "SyntaxError: '(' was never closed",
        "def application(environ, start_response:",
    ),
    "an exception": (
        "def prepare():\n    raise RuntimeError('no database: caf\\xe9 \\udcff')\n\nprepare()",
        "RuntimeError: no database: café \\udcff",
        "raise RuntimeError(",
    ),
    "an exception of several lines": (
        "raise ValueError('first\\nsecond')",
        "ValueError: first\nsecond",
        "raise ValueError(",
    ),
    "an exception with a cause": (
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('setting') from error",
        "KeyError: 'setting'",
        "raise KeyError('setting') from error",
    ),
    "sys.exit": ("import sys\nsys.exit('not today')", "SystemExit: not today", "sys.exit('not today')"),
    "sys.exit(0)": ("import sys\nsys.exit(0)", "SystemExit: 0", "sys.exit(0)"),
    "a keyboard interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt", "raise KeyboardInterrupt"),
    "recursion without end": (
        "def again():\n    again()\n\nagain()",
        "RecursionError: maximum recursion depth exceeded",
        "Previous line repeated",
    ),
}


def failed_start(folder: Path, *sources: str, processes: int = 1) -> str:
    """Try to serve the sources and return what was printed."""
    write_application(folder, *sources)
    arguments = ("--bind", "127.0.0.1:0", "--processes", str(processes))
    with CoachmanServe(folder, *arguments) as server:
        status, output = server.outcome()
    assert status == 1, output
    assert "listening" not in output
    assert "is ready" not in output
    return output


def message_in(output: str) -> str:
    """Return what coachman has to say about the failure: the last that it says."""
    return output[output.index("coachman: ") :]


@pytest.mark.parametrize("kind", BY_ITS_OWN_CODE)
def test_a_failure_while_loading_is_named_and_traced_once(tmp_path: Path, kind: str) -> None:
    source, cause, traced = BY_ITS_OWN_CODE[kind]
    output = failed_start(tmp_path, source)
    assert message_in(output).startswith(f"coachman: the application could not be loaded: {cause}")
    assert output.count(traced) == 1
    assert output.count(f'File "{tmp_path}/wsgi.py"') >= 1
    tracebacks = {"a syntax error": 0, "an exception with a cause": 2}.get(kind, 1)
    assert output.count("Traceback (most recent call last)") == tracebacks
    assert not re.search(r'File ".*/coachman/', output), "coachman's own frames are of no use here"
    assert "importlib" not in output


def test_a_failure_deeper_in_the_application_shows_the_way_there(tmp_path: Path) -> None:
    write_application(tmp_path, "raise OSError('no disk')", name="settings.py")
    output = failed_start(tmp_path, "import settings")
    assert output.index(f'File "{tmp_path}/wsgi.py", line 1') < output.index(f'File "{tmp_path}/settings.py"')
    assert output.rstrip().endswith("OSError: no disk")
    assert output.count("Traceback") == 1


def test_a_module_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with CoachmanServe("no_such_module:app", *ONE_PROCESS, folder=tmp_path) as server:
        status, output = server.outcome()
    assert status == 1
    assert message_in(output).startswith(
        "coachman: the application could not be loaded: "
        "ModuleNotFoundError: No module named 'no_such_module'\n"
    )
    assert "coachman/" not in output


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("", "{file} has no 'application'"),
        (
            "def app(environ, start_response): ...",
            "{file} has no 'application'; it has 'app': serve {file}:app",
        ),
        ("application = 'hello'", "'application' in {file} is not callable: it is of the type str"),
    ],
)
def test_a_missing_application_is_explained_without_a_traceback(
    tmp_path: Path, source: str, complaint: str
) -> None:
    output = failed_start(tmp_path, source)
    file = tmp_path / "wsgi.py"
    assert message_in(output).startswith(
        f"coachman: the application could not be loaded: {complaint.format(file=file)}"
    )
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("source", "ending"),
    [
        ("import os\nos._exit(3)", "exit status 3"),
        ("import os\nos._exit(0)", "exit status 0"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import ctypes\nctypes.string_at(0)", r"SIGSEGV( \(core dumped\))?"),
        ("import os\nos.abort()", r"SIGABRT( \(core dumped\))?"),
    ],
)
def test_a_process_that_ends_while_loading_is_named_with_its_ending(
    tmp_path: Path, source: str, ending: str
) -> None:
    no_core = "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))"
    output = failed_start(tmp_path, no_core, "print('last words')", source)
    found = re.search(r"App (\d+) stdout: last words", output)
    assert found, "what it printed is in the log"
    assert re.search(
        rf"(?m)^coachman: the application process {found[1]} ended with {ending} before it was ready$", output
    )


def test_with_a_log_file_the_last_lines_are_quoted(tmp_path: Path) -> None:
    write_application(tmp_path, "import os\nprint('last words')\nos._exit(3)")
    with CoachmanServe(tmp_path, *ONE_PROCESS, "--log-file", tmp_path / "log") as server:
        status, output = server.outcome()
    assert status == 1
    assert "before it was ready\n  to try: " in message_in(output)
    assert message_in(output).endswith("the last that it printed:\n    last words\n")


def test_a_broken_application_is_reported_once_for_all_processes(tmp_path: Path) -> None:
    output = failed_start(tmp_path, "raise RuntimeError('broken')", processes=3)
    assert output.count("raise RuntimeError") == 1


def test_what_a_broken_application_started_ends_with_it(tmp_path: Path) -> None:
    # The child inherits the streams; where it lived on, outcome() would not see their end.
    failed_start(
        tmp_path,
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "raise RuntimeError('broken')",
    )


def test_a_thread_that_goes_on_does_not_hold_up_the_report(tmp_path: Path) -> None:
    with Gate(tmp_path) as gate:
        write_application(
            tmp_path,
            WAIT_AT_GATE,
            "import threading\nthreading.Thread(target=wait_at_gate).start()\nraise RuntimeError('broken')",
        )
        with CoachmanServe(tmp_path, *ONE_PROCESS, environment=gate.environment) as server:
            status, output = server.outcome()
    assert status == 1
    assert "RuntimeError: broken" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_application_that_never_finishes_loading_can_be_interrupted(
    tmp_path: Path, number: signal.Signals
) -> None:
    with Gate(tmp_path) as gate:
        write_application(tmp_path, WAIT_AT_GATE, "wait_at_gate()", HELLO)
        with CoachmanServe(tmp_path, *ONE_PROCESS, environment=gate.environment) as server:
            gate.wait_for_arrival()
            server.send_signal(number)
            status, output = server.outcome()
    assert status == 0, output
    assert "Traceback" not in output
    assert output.endswith(": stopped\n")


def test_an_application_that_loads_in_c_code_can_be_interrupted(tmp_path: Path) -> None:
    # A regular expression that takes for ever holds the interpreter: no thread of the worker runs.
    write_application(
        tmp_path, "import re\nprint('now', flush=True)\nre.match('(a+)+$', 'a' * 60 + 'b')", HELLO
    )
    with CoachmanServe(tmp_path, *ONE_PROCESS) as server:
        server.wait_for_output("stdout: now")
        server.send_signal(signal.SIGINT)
        assert server.outcome()[0] == 0
