"""A signal that the kernel sends for what was read long ago: writing to a pipe wakes its reader first."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..end_to_end.applications import HELLO, ONE_PROCESS, write_application
from ..end_to_end.coachman_check import check
from ..end_to_end.coachman_serve import CoachmanServe

LATE = """
import gc
from coachman.worker.wrapper import Wrapper

(wrapper,) = [thing for thing in gc.get_objects() if isinstance(thing, Wrapper)]
with open(f"/proc/self/fd/{wrapper.stdin}", "wb") as supervisors_end:
    supervisors_end.write(b"late")
print("still there", flush=True)
"""


@pytest.mark.parametrize("method", ["preload", "direct"])
def test_a_start_does_not_end_by_what_was_written_to_stdin(tmp_path: Path, method: str) -> None:
    write_application(tmp_path, LATE, HELLO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, "--spawn-method", method) as server:
        server.wait_for_output("listening at")
        assert server.stop() == 0
        assert "SIGKILL" not in server.outcome()[1]


def test_a_trial_does_not_end_by_what_was_written_to_stdin(tmp_path: Path) -> None:
    write_application(tmp_path, LATE, HELLO)
    done = check(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "still there" in done.stdout
