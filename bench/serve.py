"""Requests a second beside gunicorn (gthread), in one run: hello world and the guestbook's front page.

    .venv/bin/python bench/serve.py [--rounds N] [--seconds S]

One core for the server, another for wrk; one worker each, 32 keep-alive connections. The servers take turns
within every round, and what counts is the median of the rounds' ratios: the machine may be shared.
"""

from __future__ import annotations

import argparse
from statistics import median

from load import BIN, ROOT, Measurement, Server, measure, running, temporary_folder

GUESTBOOK = ROOT / "examples" / "guestbook"
GOAL = 5.0
"""Times gunicorn's rate of hello world that coachman is to reach."""


def coachman(application: str) -> Server:
    options = ["--bind", "127.0.0.1:0", "--processes", "1", "--threads", "1"]
    return Server("coachman", [BIN / "coachman", "serve", application, *options])


def gunicorn(application: str) -> Server:
    options = ["--bind", "127.0.0.1:0", "--workers", "1", "--worker-class", "gthread", "--threads", "8"]
    folder, module = (
        (GUESTBOOK, "passenger_wsgi") if application == str(GUESTBOOK) else (ROOT / "bench", "hello")
    )
    return Server("gunicorn gthread", [BIN / "gunicorn", f"{module}:application", *options], folder)


def compare(title: str, application: str, *, rounds: int, seconds: int) -> float:
    """Print the rates of both servers, return the median of coachman's ratio to gunicorn."""
    print(f"{title}: wrk -t1 -c32 -d{seconds}s, {rounds} rounds")
    servers = [coachman(application), gunicorn(application)]
    results: dict[str, list[Measurement]] = {server.name: [] for server in servers}
    with temporary_folder() as var:
        for _ in range(rounds):
            for server in servers:
                with running(server, {"GUESTBOOK_VAR": var}) as url:
                    results[server.name].append(measure(url + "/", connections=32, seconds=seconds))
    for name, measured in results.items():
        rates = sorted(m.requests_per_second for m in measured)
        p99 = median(m.p99_milliseconds for m in measured)
        print(f"  {name:18} {rates[0]:8,.0f} - {rates[-1]:8,.0f} requests/s   p99 {p99:6.2f} ms")
        for errors in {m.errors for m in measured if m.errors}:
            print(f"  {'':18} {errors}")
    ours, theirs = results.values()
    ratio = median(a.requests_per_second / b.requests_per_second for a, b in zip(ours, theirs, strict=True))
    print(f"  ratio              {ratio:8.1f}")
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--seconds", type=int, default=5, help="seconds of load in a round (default 5)")
    given = parser.parse_args()
    hello = compare(
        "hello world", str(ROOT / "bench" / "hello.py"), rounds=given.rounds, seconds=given.seconds
    )
    compare("guestbook, front page", str(GUESTBOOK), rounds=given.rounds, seconds=given.seconds)
    verdict = "reached" if hello >= GOAL else f"not reached: {hello / GOAL:.2f} of it"
    print(f"goal: hello world at least {GOAL:g} times gunicorn gthread: {verdict}")


if __name__ == "__main__":
    main()
