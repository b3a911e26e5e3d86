"""Requests a second by WSGI, beside granian, gunicorn (gthread) and Passenger 6 in one run.

    .venv/bin/python bench/serve.py [--rounds N] [--seconds S] [--part PART]

Parts: `hello` (hello world), `guestbook` (the front page of the example application), `responses` and
`uploads` (of a mebibyte each). One core for the server, another for wrk; one worker each, 32 keep-alive
connections. The servers take turns within every round, and what counts is the median of the rounds' ratios:
the machine may be shared. In `hello`, coachman also runs with what is off by default: the access log,
request time-outs and static files; and granian with its access log. Both write it to a file. Passenger is
left out where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

from load import BIN, ROOT, Measurement, Server, measure, running, temporary_folder

BENCH: Final = ROOT / "bench"
GUESTBOOK: Final = ROOT / "examples" / "guestbook"
CONNECTIONS: Final = 32
OURS: Final = "coachman"
EQUIPPED: Final = f"{OURS} with all"


@dataclass(frozen=True)
class Part:
    """What is measured: an application, how it is asked, and how many times each peer's rate is wanted."""

    title: str
    folder: Path
    module: str
    goals: Mapping[str, float]
    script: Path | None = None
    equipped: bool = False
    """Whether coachman runs once more with everything that is off by default."""


PARTS: Final = {
    "hello": Part(
        "hello world",
        BENCH,
        "hello",
        {"granian": 1.0, "gunicorn gthread": 10.0, "Passenger 6": 10.0},
        equipped=True,
    ),
    "guestbook": Part(
        "guestbook, front page",
        GUESTBOOK,
        "passenger_wsgi",
        {"granian": 1.0, "gunicorn gthread": 1.0, "Passenger 6": 1.0},
    ),
    "responses": Part("responses of 1 MiB", BENCH, "bodies", {"granian": 1.0}),
    "uploads": Part("uploads of 1 MiB", BENCH, "bodies", {"granian": 1.0}, script=BENCH / "upload.lua"),
}


def coachman(part: Part) -> Server:
    options = ["--bind", "127.0.0.1:0", "--processes", "1", "--threads", "1"]
    application = part.folder / f"{part.module}.py"
    return Server(OURS, [BIN / "coachman", "serve", application, *options])


def coachman_equipped(part: Part, var: Path) -> Server:
    plain = coachman(part)
    options = ["--access-log", "common", "--request-timeout", "30", "--static", f"/static={BENCH}"]
    # Nobody reads what is printed here once a server is up, which would hold the log up.
    options += ["--log-file", str(var / "coachman.log")]
    return Server(EQUIPPED, [*map(str, plain.command), *options], plain.folder)


def granian_with_log(part: Part, var: Path) -> Server:
    plain = granian(part)
    file = {"class": "logging.FileHandler", "filename": str(var / "granian.log")}
    screen = {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}
    (var / "log.json").write_text(json.dumps({"handlers": {"console": screen, "access": file}}))
    options = ["--access-log", "--log-config", str(var / "log.json")]
    return Server("granian with log", [*map(str, plain.command), *options], plain.folder)


def granian(part: Part) -> Server:
    options = ["--interface", "wsgi", "--workers", "1", "--blocking-threads", "1", "--port", free_port()]
    return Server("granian", [BIN / "granian", f"{part.module}:application", *options], part.folder)


def gunicorn(part: Part) -> Server:
    options = ["--bind", "127.0.0.1:0", "--workers", "1", "--worker-class", "gthread", "--threads", "8"]
    application = f"{part.module}:application"
    return Server("gunicorn gthread", [BIN / "gunicorn", application, *options], part.folder)


def passenger(part: Part, var: Path) -> Server:
    options = ["--engine", "builtin", "--app-type", "wsgi", "--python", sys.executable]
    options += ["--min-instances", "1", "--max-pool-size", "1"]
    options += ["--address", "127.0.0.1", "--port", free_port()]
    options += ["--startup-file", f"{part.module}.py", "--environment", "production"]
    options += ["--log-file", str(var / "log"), "--pid-file", str(var / "pid")]
    options += ["--disable-security-update-check"]
    return Server("Passenger 6", ["passenger", "start", *options], part.folder)


def free_port() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return str(sock.getsockname()[1])


def compare(part: Part, *, rounds: int, seconds: int) -> None:
    """Print the rates of all servers, and whether the goals of the part are reached."""
    print(f"{part.title}: wrk -t1 -c{CONNECTIONS} -d{seconds}s, {rounds} rounds")
    results: dict[str, list[Measurement]] = {}
    with temporary_folder() as var:
        starters: list[Callable[[Part], Server]] = [coachman, granian, gunicorn]
        if part.equipped:
            starters.insert(1, partial(coachman_equipped, var=Path(var)))
            starters.append(partial(granian_with_log, var=Path(var)))
        if shutil.which("passenger") is not None:
            starters.append(partial(passenger, var=Path(var)))
        for _ in range(rounds):
            for starter in starters:
                server = starter(part)
                with running(server, {"GUESTBOOK_VAR": var}) as url:
                    found = measure(url + "/", connections=CONNECTIONS, seconds=seconds, script=part.script)
                    results.setdefault(server.name, []).append(found)
    ours = results[OURS]
    for name, measured in results.items():
        rates = sorted(m.requests_per_second for m in measured)
        p99 = median(m.p99_milliseconds for m in measured)
        line = f"  {name:18} {rates[0]:9,.0f} - {rates[-1]:9,.0f} requests/s   p99 {p99:7.2f} ms"
        if name != OURS:
            line += f"   coachman {ratio_of(ours, measured):6.2f} times"
        print(line)
        for errors in {m.errors for m in measured if m.errors}:
            print(f"  {'':18} {errors}")
    for name, goal in part.goals.items():
        for candidate in (OURS, EQUIPPED):
            if name in results and candidate in results:
                ratio = ratio_of(results[candidate], results[name])
                verdict = "reached" if ratio >= goal else f"not reached: {ratio / goal:.2f} of it"
                print(f"  goal: {candidate} at least {goal:g} times {name}: {verdict}")


def ratio_of(ours: list[Measurement], theirs: list[Measurement]) -> float:
    """Return the median of the rounds' ratios."""
    return median(a.requests_per_second / b.requests_per_second for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds of load in a round (default 4)")
    parser.add_argument("--part", choices=list(PARTS), help="only this part")
    given = parser.parse_args()
    for name, part in PARTS.items():
        if given.part in (None, name):
            compare(part, rounds=given.rounds, seconds=given.seconds)


if __name__ == "__main__":
    main()
