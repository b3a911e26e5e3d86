"""What the services of a worker cost a request: python bench/requests.py [--rounds N] [--seconds S]

Processor time of the worker for one request, by what is switched on; hello world, one worker, one thread,
32 connections. The variants take turns within every round, and the figure of each is its median: unlike the
rate, it hardly depends on what else the machine is doing.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from load import BIN, ROOT, Server, measure, running, temporary_folder

FILE = "static-file.bin"


def variants(folder: str) -> dict[str, tuple[list[str], str]]:
    """Return the options and the path of each."""
    return {
        "nothing": ([], "/"),
        "request timeout": (["--request-timeout", "30"], "/"),
        "access log, common": (["--access-log", "common"], "/"),
        "access log, combined": (["--access-log", "combined"], "/"),
        "access log, json": (["--access-log", "json"], "/"),
        "static, application": (["--static", f"/static={folder}"], "/"),
        "static, file of 8 KiB": (["--static", f"/static={folder}"], f"/static/{FILE}"),
    }


@contextmanager
def served(options: list[str]) -> Iterator[tuple[str, int]]:
    """Give the address of a server, and the pid of its worker."""
    with temporary_folder() as folder:
        log = Path(folder) / "log"
        command = ["coachman", "serve", str(ROOT / "bench" / "hello.py"), "--bind", "127.0.0.1:0"]
        more = ["--processes", "1", "--threads", "1", "--log-file", str(log), *options]
        with running(Server("coachman", [BIN / command[0], *command[1:], *more]), {}) as url:
            found = re.search(r"worker 1 \(pid (\d+)\) is ready", log.read_text())
            assert found is not None
            yield url, int(found[1])


def processor_seconds(pid: int) -> float:
    """Return the time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def microseconds_per_request(options: list[str], path: str, seconds: int) -> float:
    """Measure one variant."""
    with served(options) as (url, pid):
        measure(url + path, connections=32, seconds=1)  # the first requests cost more
        before = processor_seconds(pid)
        measured = measure(url + path, connections=32, seconds=seconds)
        assert not measured.errors, measured.errors
        return (processor_seconds(pid) - before) / (measured.requests_per_second * seconds) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--seconds", type=int, default=3, help="seconds of load in a round (default 3)")
    given = parser.parse_args()
    with temporary_folder() as folder:
        (Path(folder) / FILE).write_bytes(os.urandom(8192))
        results: dict[str, list[float]] = {name: [] for name in variants(folder)}
        for _ in range(given.rounds):
            for name, (options, path) in variants(folder).items():
                results[name].append(microseconds_per_request(options, path, given.seconds))
    base = median(results["nothing"])
    for name, found in results.items():
        print(f"{name:22} {median(found):6.1f} us a request, {median(found) - base:+6.1f}")


if __name__ == "__main__":
    main()
