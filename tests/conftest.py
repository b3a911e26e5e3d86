"""What every test runs under: nothing may be left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

from .end_to_end.gate import Gate

ENDING_TIME: Final = 1.0
"""Seconds that a thread has at the end of a test to end by itself: nothing more is asked of it to do."""

# How long an example takes says something about the machine and its other users, not about the code.
settings.register_profile("coachman", deadline=None)
settings.load_profile("coachman")


# Tests write an application anew within a second: bytecode that is kept of the one before is taken for that
# of the next one, where that is of the same size.
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


# A shell that puts a job in the background has it ignore SIGINT, and what it starts as well: the tests of
# Ctrl-C would have nobody to interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def open_descriptors() -> dict[int, str]:
    """Return every open descriptor of this process with what it refers to."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the descriptor of this very listing
            continue
    return found


def child_processes() -> set[int]:
    """Return the pids of this process's children, zombies included."""
    children: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            children.update(int(pid) for pid in (task / "children").read_text().split())
        except FileNotFoundError:  # a thread that has just ended
            continue
    return children


@pytest.fixture(autouse=True, scope="session")
def runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep control sockets out of the folder of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("runtime")
    folder.chmod(0o700)
    os.environ["COACHMAN_RUNTIME_FOLDER"] = str(folder)
    yield folder
    del os.environ["COACHMAN_RUNTIME_FOLDER"]


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fail a test that leaks a descriptor, a child process or a thread.

    A thread that is done and only has to be given the processor once more is not a leak.
    """
    descriptors, children, threads = open_descriptors(), child_processes(), set(threading.enumerate())
    yield
    leaked_threads = [t for t in threading.enumerate() if t not in threads]
    deadline = time.monotonic() + ENDING_TIME
    for thread in leaked_threads:
        thread.join(max(deadline - time.monotonic(), 0))
    leaked_threads = [t for t in leaked_threads if t.is_alive()]
    leaked_children = child_processes() - children
    leaked_descriptors = {
        fd: target for fd, target in open_descriptors().items() if descriptors.get(fd) != target
    }
    problems = []
    if leaked_threads:
        problems.append(f"threads: {[t.name for t in leaked_threads]}")
    if leaked_children:
        problems.append(f"child processes: {sorted(leaked_children)}")
    if leaked_descriptors:
        problems.append(f"descriptors: {leaked_descriptors}")
    if problems:
        pytest.fail("left behind: " + "; ".join(problems))


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Where tiny applications wait until the test lets them pass."""
    with Gate(tmp_path) as gate:
        yield gate
