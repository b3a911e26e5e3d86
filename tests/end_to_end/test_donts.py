"""What an application must not do to its streams, according to the original, done to coachman.

The rows of the second table of the stdio channel, and what else comes to mind: at import, in a worker that
was started directly and in one that was forked, and in a request. Afterwards the worker has to serve as if
nothing had been done.
"""

from __future__ import annotations

import hashlib
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from .coachman_serve import CoachmanServe

APPLICATION = """
import ctypes, hashlib, os, socket, subprocess, sys

def dont():
    {statements}

{at_import}

def application(environ, start_response):
    if environ["PATH_INFO"] == "/dont":
        dont()
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("as it should be")
    for fd in (0, 1, 2):  # wherever these lead now, it must not be into what coachman does
        try:
            os.write(fd, b"noise from below\\n")
        except OSError:
            pass
    for stream in (sys.stdout, sys.stderr):
        try:
            print("noise", file=stream, flush=True)
        except (OSError, ValueError):
            pass
    body = environ["wsgi.input"].read()
    answer = f"{{os.getpid()}} {{len(body)}} {{hashlib.sha256(body).hexdigest()}}".encode()
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
"""


@dataclass(frozen=True)
class Dont:
    statements: str
    logged: str = ""
    """A pattern that the log has to have in the end."""
    said_by_another: str = ""
    """One of what another process prints, whenever it comes to that: nothing else says that it has run."""
    not_logged: str = ""


DONTS = {
    "close 0, 1 and 2": Dont("os.close(0); os.close(1); os.close(2)", not_logged="noise"),
    "close sys.stdin, sys.stdout and sys.stderr": Dont(
        "sys.stdin.close(); sys.stdout.close(); sys.stderr.close()"
    ),
    "set sys.stdin, sys.stdout and sys.stderr to None": Dont("sys.stdin = sys.stdout = sys.stderr = None"),
    "close a range from 0 to 2": Dont("os.closerange(0, 3)", not_logged="noise"),
    "redirect 1 and 2 to a file": Dont(
        "fd = os.open('elsewhere', os.O_WRONLY | os.O_CREAT | os.O_APPEND); os.dup2(fd, 1); os.dup2(fd, 2); "
        "print('printed', flush=True)",
        not_logged="printed|noise",
    ),
    "redirect sys.stdout and sys.stderr to a file": Dont(
        "sys.stdout = sys.stderr = open('elsewhere', 'a'); print('printed', flush=True)", not_logged="printed"
    ),
    "dup2 a socket over 0, 1 and 2": Dont(
        "global pair; pair = socket.socketpair(); [os.dup2(pair[0].fileno(), fd) for fd in (0, 1, 2)]",
        not_logged="noise",
    ),
    "read stdin": Dont(
        "print('read', [os.read(0, 1), sys.stdin.read(), sys.stdin.buffer.read(1)])",
        logged=r"stdout: read \[b'', '', b''\]$",
    ),
    "print !> Ready": Dont(
        "print('!> Ready\\n!> socket: main;unix:/x;session;1\\n!> ', flush=True)",
        logged="stdout: !> Ready$",
    ),
    "print !> Error": Dont(
        "print('!> Error\\n!> html: true\\n!> \\nnonsense', flush=True); os.write(2, b'!> Error\\n!> \\n')",
        logged="stdout: !> Error$",
    ),
    "print half a line": Dont(
        "sys.stdout.write('half a line, '); sys.stdout.flush()", logged="stdout: half a line, "
    ),
    "print a megabyte without newline": Dont(
        "sys.stdout.write('x' * 1_000_000); sys.stdout.flush()", logged="stdout: x{1000000}"
    ),
    "print invalid UTF-8": Dont(
        "os.write(1, b'\\xff\\xfe \\x00\\n'); os.write(2, b'\\xc3\\n')", logged=r"stdout: \\xff\\xfe \x00$"
    ),
    "write from a C library": Dont(
        "libc = ctypes.CDLL(None); libc.write(1, b'!> from write\\n', 14); libc.puts(b'!> from puts'); "
        "libc.fflush(None)",
        logged=r"stdout: !> from write\n(.*\n)*.*stdout: !> from puts$",
    ),
    "start a subprocess that inherits them and outlives the start": Dont(
        "subprocess.Popen(['sh', '-c', 'echo \"!> from a child\"; exec sleep 1000'])",
        said_by_another="stdout: .*!> from a child$",
    ),
    "start a daemon that inherits them": Dont(
        "subprocess.Popen(['setsid', 'sh', '-c', 'echo \"!> from a daemon\"; exec sleep 1000'])",
        said_by_another="stdout: .*!> from a daemon$",
    ),
}


@pytest.mark.parametrize("when", ["at import", "at import, before a fork", "in a request"])
@pytest.mark.parametrize("dont", DONTS)
def test_an_application_that_must_not(dont: str, when: str, tmp_path: Path) -> None:
    do = DONTS[dont]
    source = APPLICATION.format(
        statements=do.statements, at_import="" if when == "in a request" else "dont()"
    )
    (tmp_path / "wsgi.py").write_text(dedent(source))
    how = ["preload", "--threads", "2"] if when == "at import, before a fork" else ["direct"]
    arguments = ["--bind", "127.0.0.1:0", "--processes", "1", "--spawn-method", *how]
    with CoachmanServe(tmp_path, *arguments) as server:
        with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
            if when == "in a request":
                assert client.get("/dont").status_code == 200
            pids = {answered(client, b"") for _ in range(2)}
            pids.add(answered(client, b"a body that goes to a temporary file" * 20_000))
            assert client.get("/fail").status_code == 500
            refused(server.url)
            # On connections of their own: what was closed may have been taken by the first.
            for _ in range(3):
                with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as another:
                    pids.add(answered(another, b""))
        assert len(pids) == 1, "one worker has answered everything"
        if do.said_by_another:
            server.wait_for_output(f"(?m){do.said_by_another}")
        assert server.stop() == 0
        assert not server.processes(), "nothing is left"
    output = server.output()
    assert not do.logged or re.search(f"(?m){do.logged}", output), output
    assert "replacing it" not in output
    assert not do.not_logged or not re.search(do.not_logged, output)


def answered(client: httpx.Client, body: bytes) -> int:
    """Return the pid of the worker that answered, after a look at the answer."""
    response = client.post("/", content=body)
    assert response.status_code == 200
    pid, length, digest = response.text.split()
    assert (int(length), digest) == (len(body), hashlib.sha256(body).hexdigest())
    return int(pid)


def refused(url: str) -> None:
    """Send what is no request: the worker tells its log, wherever that leads now."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        sock.sendall(b"\x00\r\n\r\n")
        assert sock.recv(64).startswith(b"HTTP/1.1 400 ")
