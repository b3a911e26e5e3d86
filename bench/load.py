"""Servers on one core, wrk on another: what the benchmarks of the serving side have in common."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SERVER_CORE, LOAD_CORE = 0, 1
START_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0


@dataclass(frozen=True)
class Server:
    """How a server is started: `command` prints its URL, behind "listening at" or "running on"."""

    name: str
    command: Sequence[str | Path]
    folder: Path = ROOT


@dataclass(frozen=True)
class Measurement:
    """What wrk reports of one run."""

    requests_per_second: float
    p99_milliseconds: float
    errors: str
    """wrk's lines about failed requests; "" where all were answered with 2xx or 3xx."""


@contextmanager
def running(server: Server, environment: Mapping[str, str]) -> Iterator[str]:
    """Run `server` on its core; give its URL once a request has been answered."""
    process = subprocess.Popen(
        ["taskset", "-c", str(SERVER_CORE), *server.command],
        cwd=server.folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if match := re.search(r"(?:istening at:?|running on|ccessible via:) (http://[\w.:]+)", line):
                break
        else:
            raise SystemExit(f"{server.name} did not start: {' '.join(map(str, server.command))}")
        await_answer(match.group(1))
        yield match.group(1)
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()


def await_answer(url: str) -> None:
    """Return once a request is answered: some servers say that they listen before they do."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            urllib.request.urlopen(url, timeout=START_TIMEOUT).read()
            return
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def measure(url: str, *, connections: int, seconds: int, script: Path | None = None) -> Measurement:
    """Put load on `url` from the other core for so many seconds; `script` is one of wrk's, in Lua."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is not installed; on Debian and Ubuntu: apt-get install wrk")
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
    if script is not None:
        command[1:1] = ["-s", str(script)]
    done = subprocess.run(
        ["taskset", "-c", str(LOAD_CORE), *command],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    assert rate is not None, done.stdout
    assert p99 is not None, done.stdout
    unit = {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99.group(2)]
    errors = re.findall(r"(?:Non-2xx|Socket errors).*", done.stdout)
    return Measurement(float(rate.group(1)), float(p99.group(1)) * unit, "; ".join(errors))


@contextmanager
def temporary_folder() -> Iterator[str]:
    """Give a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="coachman-bench-") as folder:
        yield folder
