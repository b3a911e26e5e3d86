"""`coachman check` beside the bare interpreter that imports the same application.

    .venv/bin/python bench/check.py [--rounds N]

Both are started in turn, from files that are compiled already, and what counts is the median of the rounds'
ratios: the machine may be shared. The goal is for two applications: `bench/hello.py`, and one that imports
nothing at all, which is the least that an interpreter can be asked for.
"""

from __future__ import annotations

import argparse
import compileall
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
COMMAND = Path(sys.executable).with_name("coachman")
GOAL = 2.0
"""Times the bare interpreter that the goal allows."""
BARE = "import importlib; importlib.import_module({module!r}).application"
NOTHING_IMPORTED = """\
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]
"""


def seconds(command: Sequence[str | Path], folder: Path) -> float:
    """Return how long the command takes; fail where it does."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def compare(title: str, file: Path, *, rounds: int) -> float:
    """Print the times of both, return the median of check's ratio to the bare interpreter."""
    bare: list[float] = []
    check: list[float] = []
    for number in range(rounds + 1):
        times = (
            seconds([sys.executable, "-c", BARE.format(module=file.stem)], file.parent),
            seconds([COMMAND, "check", file], file.parent),
        )
        if number:  # the first round fills the caches
            bare.append(times[0])
            check.append(times[1])
    ratio = median(c / b for b, c in zip(bare, check, strict=True))
    print(f"{title}, {rounds} rounds")
    for name, measured in (("bare interpreter", bare), ("coachman check", check)):
        print(f"  {name:18} {median(measured) * 1000:7.1f} ms (best {min(measured) * 1000:.1f} ms)")
    print(f"  ratio              {ratio:7.2f}")
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40, help="rounds (default 40)")
    rounds = parser.parse_args().rounds
    compileall.compile_dir(ROOT / "src", quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        nothing_imported = Path(folder, "nothing_imported.py")
        nothing_imported.write_text(NOTHING_IMPORTED)
        applications = {
            "bench/hello.py": ROOT / "bench" / "hello.py",
            "an application that imports nothing": nothing_imported,
        }
        ratios = {title: compare(title, file, rounds=rounds) for title, file in applications.items()}
    for title, ratio in ratios.items():
        verdict = "reached" if ratio < GOAL else f"not reached: {ratio / GOAL:.2f} times that"
        print(f"goal: coachman check of {title} under {GOAL:g} times the bare interpreter: {verdict}")


if __name__ == "__main__":
    main()
