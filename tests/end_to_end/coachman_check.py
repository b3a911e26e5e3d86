"""`coachman check` as its users run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

COMMAND: Final = Path(sys.executable).with_name("coachman")


def check(
    *arguments: str | Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run it to its end and return what it printed."""
    return subprocess.run(
        [COMMAND, "check", *arguments],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        check=False,
    )


def check_json(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the report as an object, its exit status compared with what it says."""
    done = check("--json", *arguments, environment=environment)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["ready"] else 1)
    assert done.stderr == ""
    assert isinstance(found, dict)
    return found
