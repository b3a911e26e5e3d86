"""Starting a server when something is missing: an error, and nothing left behind."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from coachman import AbstractServer, ServerError, message_handler
from coachman.server import forking


class Echo(AbstractServer):
    @message_handler("echo")
    def handle_echo(self, *args: str) -> None:
        self.send_to_client("echo", *args)


@pytest.fixture
def descriptor_limit() -> Iterator[int]:
    """Return a limit that leaves not one descriptor free; the test may raise it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    yield free
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_with_few_descriptors_left_it_starts_or_says_why(descriptor_limit: int, method: str) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    outcomes = []
    for left in range(12):
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptor_limit + left, hard))
        server = Echo()
        try:
            server.start(method)  # type: ignore[arg-type]  # one of both
        except OSError as error:
            outcomes.append(error.strerror)
            continue
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        try:
            assert server.call("echo") == ["echo"]
            outcomes.append("started")
        except ServerError as error:  # the child had too few
            outcomes.append(str(error.ending))
        server.stop() if server.started else None
    assert outcomes[0] == "Too many open files"
    assert outcomes[-1] == "started"


def test_without_memory_nothing_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(forking, "LastWords", fail)
    with pytest.raises(OSError, match="memory"):
        Echo().start()


def test_without_an_interpreter_nothing_is_spawned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(FileNotFoundError):
        Echo().start("spawn")


def test_a_parent_that_ignores_sigchld_does_not_learn_how_it_ended() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        server = Echo()
        server.start()
        assert server.call("echo") == ["echo"]
        assert "unknown" in str(server.stop())
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_importing_the_library_does_not_import_asyncio() -> None:
    program = "import sys, coachman; print('asyncio' in sys.modules, coachman.AsyncMessageChannel.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False AsyncMessageChannel\n"
