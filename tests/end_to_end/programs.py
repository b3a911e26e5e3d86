"""Programs of the machine that some tests need beside Python and make."""

from __future__ import annotations

import os
import shutil

import pytest


def installed(package: str, *names: str) -> str:
    """Return the path of the first of these programs that is installed.

    Without one the test is skipped with what to install, or fails where the environment has CI=true: there a
    test that does not run is one that nobody misses.
    """
    for name in names:
        if (path := shutil.which(name)) is not None:
            return path
    missing = f"{names[0]} is not installed; on Debian and Ubuntu: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)
