"""Taking a resource away from a process that runs, as the system does, and giving it back."""

from __future__ import annotations

import os
import resource
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count, islice
from pathlib import Path

import pytest

CONTROLLERS = (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup"))
"""Where control groups with a bound on processes are made: version 1, version 2."""


@contextmanager
def without_forks(pids: Iterable[int]) -> Iterator[None]:
    """Have every fork(2) of these processes fail with EAGAIN, and of those that they start afterwards.

    root is not bound by RLIMIT_NPROC, so it takes a control group there.
    """
    if os.geteuid() == 0:
        with _group_without_forks() as group:
            for pid in pids:
                (group / "cgroup.procs").write_text(str(pid))
            yield
        return
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NPROC) for pid in pids}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_NPROC, (0, hard))
    try:
        yield
    finally:
        for pid, limit in before.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NPROC, limit)


@contextmanager
def few_descriptors(pid: int, spare: int) -> Iterator[None]:
    """Leave a process so many free descriptors. The limit is for their numbers: there may be gaps."""
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = (number for number in count() if number not in taken)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (next(islice(free, spare, None)), before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@contextmanager
def no_room_for_files() -> Iterator[None]:
    """Have every write to a file fail, in this process and in those that it starts meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def _group_without_forks() -> Iterator[Path]:
    for controller in CONTROLLERS:
        group = controller / f"coachman-test-{uuid.uuid4()}"
        try:
            group.mkdir()
        except OSError:
            continue
        parent = controller / "cgroup.procs"
        try:
            if (group / "pids.max").exists():
                (group / "pids.max").write_text("0")
                try:
                    yield group
                finally:
                    for pid in (group / "cgroup.procs").read_text().split():
                        with suppress(ProcessLookupError):
                            parent.write_text(pid)
                return
        finally:
            group.rmdir()
    pytest.skip("root needs a control group with a bound on processes here, and may not make one")
