"""The supervisor at rest, with two hundred workers, under a sudden load, and asked for new code.

    .venv/bin/python bench/pool.py [idle] [many] [growth] [touch]

idle     private memory and wake-ups a second of a supervisor whose workers have nothing to do
many     200 workers that load a tiny application each: how long the state of all takes, and a rolling restart
growth   from 2 to 8 preloaded workers under requests of 100 ms: when eight of them have answered
touch    the guestbook, from a touch of its restart file to the first answer of new code, beside a bare import
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from load import BIN, ROOT, temporary_folder

from coachman.config.addresses import TcpAddress
from coachman.config.application_location import locate_application
from coachman.config.building import application_config
from coachman.config.model import ProcessCount, SpawnMethod
from coachman.supervisor.application.application import Application
from coachman.supervisor.log.log import Log
from coachman.unix.adoption import become_subreaper

MEMORY_GOAL = 30.0
"""MiB of private memory."""
WAKEUPS_GOAL = 2.0
"""A second."""
STATUS_GOAL = 0.1
"""Seconds."""
GROWTH_GOAL = 2.0
"""Seconds."""
TOUCH_GOAL = 1.5
"""Times a bare import."""
TOUCHES = 7
LOOK_SECONDS = 0.02
"""How long the client waits after an answer of old code: it is not to compete with the start."""
MANY = 200
CLIENTS = 64

APPLICATION = """
import os, time

def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(0.1)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]
"""

VERSIONED = """
_original = application

def application(environ, start_response):
    def versioned(status, headers, *more):
        return start_response(status, [*headers, ("X-Version", "{version}")], *more)
    return _original(environ, versioned)
"""


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve the application; give the supervisor and its URL."""
    with temporary_folder() as folder:
        Path(folder, "wsgi.py").write_text(APPLICATION)
        command = [str(BIN / "coachman"), "serve", folder, "--bind", "127.0.0.1:0", *options]
        log = Path(folder, "log")
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, text=True)
        try:
            yield process, wait_for(log, r"listening at (http://\S+)")
        finally:
            process.terminate()
            process.wait(30)


def wait_for(log: Path, pattern: str) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := re.search(pattern, log.read_text()):
            return found[1]
        time.sleep(0.01)
    raise SystemExit(f"no {pattern!r} in the log:\n{log.read_text()}")


def verdict(goal: str, reached: bool) -> None:
    print(f"  goal: {goal}: {'reached' if reached else 'not reached'}")


def wakeups(pid: int) -> int:
    """Return how often the threads of a process have gone to sleep so far."""
    found = [task.joinpath("status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.M)[0]) for text in found)


def private_mebibytes(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(map(int, re.findall(r"^Private_\w+:\s+(\d+)", text, re.M))) / 1024


def idle(seconds: int = 10) -> None:
    cases = {
        "a fixed pool": ["--processes", "2"],
        "a pool with every limit": [
            *("--processes", "2-8", "--max-queue", "100", "--max-requests", "10000"),
            *("--max-worker-memory", "1G", "--max-worker-age", "3600", "--request-timeout", "60"),
        ],
    }
    for name, options in cases.items():
        with serving(*options) as (process, _):
            time.sleep(3)  # what the start leaves to be done is done
            before = wakeups(process.pid)
            time.sleep(seconds)
            rate = (wakeups(process.pid) - before) / seconds
            memory = private_mebibytes(process.pid)
        print(f"idle, {name}: {memory:.1f} MiB private, {rate:.1f} wake-ups a second")
        verdict(f"under {MEMORY_GOAL:g} MiB", memory < MEMORY_GOAL)
        verdict(f"at most {WAKEUPS_GOAL:g} a second", rate <= WAKEUPS_GOAL)


async def many() -> None:
    become_subreaper()
    with temporary_folder() as folder:
        Path(folder, "wsgi.py").write_text(APPLICATION)
        config = application_config(
            locate_application(folder, Path.cwd()),
            {
                "processes": ProcessCount(MANY, MANY),
                "spawn-method": SpawnMethod.DIRECT,
                "surge": 8,
                "bind": (TcpAddress("127.0.0.1", 0),),
            },
        )
        log = Log(Path(folder, "log"))
        application = Application(config, log)
        try:
            began = time.monotonic()
            await application.start()
            await application.begin_restart("the bench").finished
            print(f"many: {MANY} workers, started and restarted in {time.monotonic() - began:.0f} s")
            times, ready = [], 0
            for _ in range(5):
                began = time.monotonic()
                ready = application.status().ready
                times.append(time.monotonic() - began)
            print(f"  {ready} are ready; their state takes {median(times) * 1000:.0f} ms")
            verdict(f"within {STATUS_GOAL * 1000:g} ms", ready == MANY and median(times) <= STATUS_GOAL)
            began = time.monotonic()
            outcome = await application.restart("the bench")
            print(f"  a rolling restart: {outcome.outcome}, after {time.monotonic() - began:.0f} s")
        finally:
            await application.stop()
            application.close()
            log.close()
        left = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        verdict("the restart ends, and nothing is left", outcome.outcome == "done" and not left)


async def growth() -> None:
    with serving("--processes", "2-8") as (_, url):
        host, port = url.removeprefix("http://").split(":")
        answered: dict[str, float] = {}
        began = time.monotonic()

        async def client() -> None:
            # A connection for each request: those that are kept would stay with the first workers.
            while len(answered) < 8 and time.monotonic() - began < 10:
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(b"GET /slow HTTP/1.0\r\nHost: x\r\n\r\n")
                pid = (await reader.read()).rpartition(b"\r\n")[2].decode()
                answered.setdefault(pid, time.monotonic() - began)
                writer.close()

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
    times = " ".join(f"{seconds:.2f}" for seconds in sorted(answered.values()))
    print(f"growth: {CLIENTS} clients; each worker's first answer after, in seconds: {times}")
    verdict(f"8 within {GROWTH_GOAL:g} s", len(answered) == 8 and max(answered.values()) <= GROWTH_GOAL)


def touch() -> None:
    with temporary_folder() as folder:
        site = Path(folder, "guestbook")
        shutil.copytree(ROOT / "examples" / "guestbook", site, ignore=shutil.ignore_patterns("var"))
        environment = {**os.environ, "GUESTBOOK_VAR": f"{folder}/var"}
        startup = site / "passenger_wsgi.py"
        original = startup.read_text()
        restart_file = site / "tmp" / "restart.txt"
        restart_file.parent.mkdir()
        log = Path(folder, "log")
        command = [str(BIN / "coachman"), "serve", str(site), "--bind", "127.0.0.1:0", "--processes", "1"]
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
        try:
            url = wait_for(log, r"listening at (http://\S+)")
            imports, restarts = [], []
            for version in range(TOUCHES):
                imports.append(seconds_of_import(site, environment))
                startup.write_text(original + VERSIONED.format(version=version))
                began = time.monotonic()
                restart_file.touch()
                while urllib.request.urlopen(url).headers["X-Version"] != str(version):
                    time.sleep(LOOK_SECONDS)
                restarts.append(time.monotonic() - began)
                wait_for(log, f"the restart is done: generation ({version + 2})")
        finally:
            process.terminate()
            process.wait(30)
    ratio = median(restart / bare for restart, bare in zip(restarts, imports, strict=True))
    print(
        f"touch: {median(restarts):.2f} s to the first answer of new code, {median(imports):.2f} s for a "
        f"bare import; ratio {ratio:.2f}"
    )
    verdict(f"under {TOUCH_GOAL:g}", ratio < TOUCH_GOAL)


def seconds_of_import(folder: Path, environment: dict[str, str]) -> float:
    began = time.monotonic()
    command = [sys.executable, "-c", "import passenger_wsgi"]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="idle, many, growth, touch (default: all)")
    parts = parser.parse_args().parts or ["idle", "many", "growth", "touch"]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if "idle" in parts:
        idle()
    if "many" in parts:
        asyncio.run(many())
    if "growth" in parts:
        asyncio.run(growth())
    if "touch" in parts:
        touch()


if __name__ == "__main__":
    main()
