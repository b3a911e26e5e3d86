"""A further worker of the guestbook, forked by the preloader and started directly: time and private memory.

    .venv/bin/python bench/spawn.py [--rounds N]

Each round starts the guestbook with each spawn method, tells its worker to drain, and takes the time that its
successor needs to be ready from the log; then it sends 100 requests and reads the successor's private memory.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from load import BIN, ROOT, STOP_TIMEOUT, temporary_folder

GUESTBOOK = ROOT / "examples" / "guestbook"
REQUESTS = 100
GOAL_TIMES_FASTER = 15.0
GOAL_MILLISECONDS = 30.0
GOAL_MEMORY = 0.40

READY = r"worker \d+ \(pid (\d+)\) is ready after ([\d.]+) (ms|s)"


@dataclass(frozen=True)
class Successor:
    """A further worker: how long its start took, and what it has for itself after `REQUESTS` requests."""

    milliseconds: float
    private_kib: int


@contextmanager
def serving(method: str, var: str) -> Iterator[Iterator[str]]:
    """Serve the guestbook with one worker; give the lines of the log."""
    options = ["--bind", "127.0.0.1:0", "--processes", "1", "--spawn-method", method]
    process = subprocess.Popen(
        [BIN / "coachman", "serve", GUESTBOOK, *options],
        env={**os.environ, "GUESTBOOK_VAR": var},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield iter(process.stdout)
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT)
        process.stdout.close()


def await_line(lines: Iterator[str], pattern: str) -> re.Match[str]:
    """Return the first match in the lines to come."""
    for line in lines:
        if match := re.search(pattern, line):
            return match
    raise SystemExit(f"coachman ended without {pattern!r}")


def private_memory(pid: int) -> int:
    """Return the KiB that a process shares with no other."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"Private_(?:Clean|Dirty):\s+(\d+) kB", rollup))


def start_a_further_worker(method: str, var: str) -> Successor:
    with serving(method, var) as lines:
        pid = int(await_line(lines, READY)[1])
        url = await_line(lines, r"listening at (http://\S+)")[1]
        os.kill(pid, signal.SIGTERM)
        ready = await_line(lines, READY)
        for _ in range(REQUESTS):
            urllib.request.urlopen(url, timeout=60).read()
        milliseconds = float(ready[2]) * (1000 if ready[3] == "s" else 1)
        return Successor(milliseconds, private_memory(int(ready[1])))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    rounds = parser.parse_args().rounds
    forked, direct = [], []
    with temporary_folder() as var:
        for _ in range(rounds):
            forked.append(start_a_further_worker("preload", var))
            direct.append(start_a_further_worker("direct", var))
    print(f"a further worker of the guestbook, {rounds} rounds, medians")
    for name, measured in (("preload", forked), ("direct", direct)):
        milliseconds = median(one.milliseconds for one in measured)
        kib = median(one.private_kib for one in measured)
        print(f"  {name:8} ready after {milliseconds:6.1f} ms, {kib / 1024:5.1f} MiB private memory")
    faster = median(d.milliseconds / f.milliseconds for f, d in zip(forked, direct, strict=True))
    memory = median(f.private_kib / d.private_kib for f, d in zip(forked, direct, strict=True))
    slowest = median(one.milliseconds for one in forked)
    print(f"  times faster     {faster:6.1f}   goal: at least {GOAL_TIMES_FASTER:g}")
    print(f"  milliseconds     {slowest:6.1f}   goal: under {GOAL_MILLISECONDS:g}, on an idle machine")
    print(f"  private memory   {memory:6.2f}   goal: at most {GOAL_MEMORY:g} of a directly started worker's")


if __name__ == "__main__":
    main()
