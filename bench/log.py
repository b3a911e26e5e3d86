"""Log lines a second, beside supervisord and Passenger 6 in one run, and proof that none is lost or split.

    .venv/bin/python bench/log.py [--rounds N] [--lines N] [--supervisord PATH]

Eight processes print 100-byte lines as fast as they can; the clock runs from the moment that they are let to
until the last line is in the log file. Afterwards every line is looked at. The systems take turns in every
round, and what counts is the median of the rounds' ratios: the machine may be shared. supervisord and
Passenger are left out where they are not installed.

What they do is not the same. supervisord copies bytes, into a file for each process: coachman's raw format is
the nearest to that. Passenger puts the process before each line, as coachman's text format does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
from load import temporary_folder
from log_systems import CoachmanServe, Passenger, Supervisord, System
from talker import LINE_SIZE, LINES_IN_BLOCK, line

TALKERS = 8
GOAL = 500_000
"""Lines a second in total, in the text format."""

DEADLINE = 120.0
"""Seconds after which what is not in the log counts as lost."""


@dataclass(frozen=True)
class Result:
    lines_per_second: float
    cpu_microseconds: float
    """CPU time of the forwarding process for each line."""
    peak_mebibytes: float
    """The most memory it has had."""
    faults: str
    """What was wrong with the lines; "" where nothing was."""


class Gate:
    """Where the talkers wait until all have come."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(2 * TALKERS)
        self._listener.settimeout(60)
        self._talkers: list[socket.socket] = []

    def wait(self) -> list[int]:
        """Return the pids of the talkers once all of them are here."""
        pids = []
        for _ in range(TALKERS):
            talker = self._listener.accept()[0]
            self._talkers.append(talker)
            credentials = talker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            pids.append(int(struct.unpack("3i", credentials)[0]))
        return pids

    def open(self) -> None:
        """Let them talk, and wait until each has said everything."""
        for talker in self._talkers:
            talker.send(b"!")
        for talker in self._talkers:
            talker.recv(1)

    def close(self) -> None:
        for sock in (self._listener, *self._talkers):
            sock.close()


def run(system: System, lines: int) -> Result:
    with temporary_folder() as name:
        folder = Path(name)
        gate = Gate(folder / "gate")
        environment = {
            **os.environ, "TALKER_GATE": str(folder / "gate"), "TALKER_LINES": str(lines),
        }  # fmt: skip
        try:
            with system.running(folder, environment) as pid:
                talkers = gate.wait()
                forwarder = psutil.Process(pid)
                files = system.log_files(folder)
                expected = sum(map(size, files))
                expected += sum(lines * (LINE_SIZE + system.extra(talker)) for talker in talkers)
                cpu = cpu_seconds(forwarder)
                started = time.perf_counter()
                gate.open()
                took = wait_for_size(files, expected, started)
                cpu = cpu_seconds(forwarder) - cpu
                peak = peak_mebibytes(pid)
            total = lines * TALKERS
            return Result(total / took, cpu / total * 1e6, peak, faults_in(files, talkers, lines))
        finally:
            gate.close()


def wait_for_size(files: Iterable[Path], expected: int, started: float) -> float:
    """Return how long it took from `started` until the files have that size together; `DEADLINE` at most."""
    while sum(map(size, files)) < expected and time.perf_counter() - started < DEADLINE:
        time.sleep(0.002)  # there is no waiting for the growth of a file
    return time.perf_counter() - started


def size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def peak_mebibytes(pid: int) -> float:
    for text in Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith("VmHWM"):
            return int(text.split()[1]) / 1024
    raise AssertionError("the kernel does not say")


def faults_in(files: Iterable[Path], talkers: Sequence[int], lines: int) -> str:
    """Look at every line: is it whole, and the next one of its talker?"""
    next_number = dict.fromkeys(talkers, 0)
    for file in files:
        with file.open("rb") as log:
            for text in log:
                start = text.find(b"talker ")
                if start < 0:
                    continue
                talker = int(text[start + 7 : text.index(b" ", start + 7)])
                block, number = divmod(next_number[talker], LINES_IN_BLOCK)
                if text[start : start + LINE_SIZE - 1] != line(talker, b"%08d" % block, number):
                    return f"a line is out of place or not whole: {text[:60].decode()}..."
                next_number[talker] += 1
    missing = len(talkers) * lines - sum(next_number.values())
    return f"{missing} lines are missing" if missing else ""


def compare(systems: Sequence[System], *, rounds: int, lines: int) -> Mapping[str, list[Result]]:
    results: dict[str, list[Result]] = {system.name: [] for system in systems}
    for _ in range(rounds):
        for system in systems:
            results[system.name].append(run(system, lines))
    for name, measured in results.items():
        rates = sorted(result.lines_per_second for result in measured)
        cpu = median(result.cpu_microseconds for result in measured)
        peak = max(result.peak_mebibytes for result in measured)
        print(
            f"  {name:16} {rates[0]:9,.0f} - {rates[-1]:9,.0f} lines/s   "
            f"CPU {cpu:5.2f} us/line   peak {peak:4.0f} MiB   "
            + ("; ".join({result.faults for result in measured if result.faults}) or "none lost or split")
        )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--lines", type=int, default=128_000, help="lines of each process (default 128000)")
    parser.add_argument("--supervisord", default="supervisord", help="where it is (default: on the PATH)")
    given = parser.parse_args()
    lines = given.lines // LINES_IN_BLOCK * LINES_IN_BLOCK

    systems: list[System] = [CoachmanServe(log_format) for log_format in ("text", "json", "raw")]
    if supervisord := shutil.which(given.supervisord):
        systems.append(Supervisord(supervisord))
    else:
        print("supervisord is not installed and left out: pip install supervisor")
    if passenger := shutil.which("passenger"):
        systems.append(Passenger(passenger))
    else:
        print("Passenger is not installed and left out; on Debian: apt-get install passenger")
    print(f"{TALKERS} processes, {lines} lines of {LINE_SIZE} bytes each, {given.rounds} rounds")
    results = compare(systems, rounds=given.rounds, lines=lines)

    ours = results["coachman text"]
    for name, log_formats in ((Supervisord.name, ("raw", "text")), (Passenger.name, ("text",))):
        for log_format in log_formats if name in results else ():
            pairs = list(zip(results[f"coachman {log_format}"], results[name], strict=True))
            rates = median(a.lines_per_second / b.lines_per_second for a, b in pairs)
            costs = median(a.cpu_microseconds / b.cpu_microseconds for a, b in pairs)
            print(
                f"{log_format} to {name}: {rates:.2f} times the lines/s, {costs:.2f} times the CPU per line"
            )
    rate = median(result.lines_per_second for result in ours)
    sound = not any(result.faults for result in ours)
    verdict = "reached" if rate >= GOAL and sound else f"not reached: {rate / GOAL:.2f} of it"
    print(f"goal: at least {GOAL:,} lines/s in text, none lost, none split: {verdict}")


if __name__ == "__main__":
    main()
