"""Requests a second beside uvicorn alone, the release that is installed, in one run: hello world by ASGI.

    .venv/bin/python bench/serve_asgi.py [--rounds N] [--seconds S]

As bench/serve.py: one core for the server, another for wrk; one worker each, 32 keep-alive connections; the
servers take turns within every round, and what counts is the median of the rounds' ratios. uvicorn runs with
uvloop and httptools, as it does where they are installed, and without its access log, which is off here too.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from statistics import median

from load import BIN, ROOT, Measurement, Server, measure, running

GOAL = 1.0
"""Times uvicorn's rate of hello world that coachman is to reach."""


def servers() -> list[Server]:
    application = str(ROOT / "bench" / "hello_asgi.py")
    options = ["--bind", "127.0.0.1:0", "--processes", "1"]
    coachman = Server("coachman", [BIN / "coachman", "serve", application, *options])
    # It names its port in a message of the level that it logs by default, once.
    options = ["--port", "0", "--no-access-log"]
    uvicorn = Server("uvicorn", [BIN / "uvicorn", "hello_asgi:application", *options], ROOT / "bench")
    return [coachman, uvicorn]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--seconds", type=int, default=5, help="seconds of load in a round (default 5)")
    given = parser.parse_args()
    print(
        f"hello world by ASGI, beside uvicorn {version('uvicorn')}: wrk -t1 -c32 -d{given.seconds}s, "
        f"{given.rounds} rounds"
    )
    results: dict[str, list[Measurement]] = {server.name: [] for server in servers()}
    for _ in range(given.rounds):
        for server in servers():
            with running(server, {}) as url:
                results[server.name].append(measure(url + "/", connections=32, seconds=given.seconds))
    for name, measured in results.items():
        rates = sorted(m.requests_per_second for m in measured)
        p99 = median(m.p99_milliseconds for m in measured)
        print(f"  {name:18} {rates[0]:8,.0f} - {rates[-1]:8,.0f} requests/s   p99 {p99:6.2f} ms")
        for errors in {m.errors for m in measured if m.errors}:
            print(f"  {'':18} {errors}")
    ours, theirs = results.values()
    ratio = median(a.requests_per_second / b.requests_per_second for a, b in zip(ours, theirs, strict=True))
    print(f"  ratio              {ratio:8.2f}")
    verdict = "reached" if ratio >= GOAL else f"not reached: {ratio / GOAL:.2f} of it"
    print(f"goal: at least {GOAL:g} times uvicorn alone: {verdict}")


if __name__ == "__main__":
    main()
