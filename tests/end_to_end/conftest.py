"""The clients of the end-to-end tests, and the guestbook as they meet it."""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

from .coachman_serve import CoachmanServe
from .programs import installed

GUESTBOOK: Final = Path(__file__).parents[2] / "examples" / "guestbook"


@dataclass(frozen=True)
class Guestbook:
    """The example application, served by two processes with two threads each."""

    server: CoachmanServe
    database: Path
    username: str = "keeper"
    password: str = "four-in-hand"

    @property
    def url(self) -> str:
        return self.server.url


@dataclass(frozen=True)
class Upload:
    path: Path
    size: int
    sha256: str


class Curl:
    """The curl of the machine, deaf to its settings and proxies."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, *arguments: str) -> bytes:
        """Run curl and return what it wrote to stdout. Fails with its message when it fails."""
        command = [self._path, "--disable", "--noproxy", "*", "--silent", "--show-error", *arguments]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr.decode()}"
        return done.stdout


@pytest.fixture(scope="session")
def curl() -> Curl:
    return Curl(installed("curl", "curl"))


@pytest.fixture(scope="module")
def guestbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guestbook]:
    """One guestbook for a module: its tests add to it and rely on nothing but their own entries."""
    var = tmp_path_factory.mktemp("guestbook")
    environment = {
        "GUESTBOOK_VAR": str(var),
        "DJANGO_SUPERUSER_USERNAME": Guestbook.username,
        "DJANGO_SUPERUSER_PASSWORD": Guestbook.password,
    }
    options = ("--bind", "127.0.0.1:0", "--processes", "2", "--threads", "2")
    with CoachmanServe(GUESTBOOK, *options, environment=environment) as server:
        # Whatever the server does first, listen or load: a page means that the tables are there.
        httpx.get(server.url, timeout=30, trust_env=False).raise_for_status()
        yield Guestbook(server, var / "guestbook.sqlite3")


@pytest.fixture
def client(guestbook: Guestbook) -> Iterator[httpx.Client]:
    """A browser, more or less: it keeps cookies and connections, and follows no redirect unasked."""
    with httpx.Client(base_url=guestbook.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Upload:
    """A file of 50 MiB that does not compress."""
    content = random.Random(50).randbytes(50 * 1024 * 1024)
    path = tmp_path_factory.mktemp("uploads") / "large.bin"
    path.write_bytes(content)
    return Upload(path, len(content), hashlib.sha256(content).hexdigest())
