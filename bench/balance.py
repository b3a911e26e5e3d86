"""Short requests beside long ones, with keep-alive, beside gunicorn (gthread) and granian in one run.

    .venv/bin/python bench/balance.py [--rounds N] [--seconds S] [--part PART]

Two workers of two threads each; the servers on one core, the clients on another. The requests sleep. What
counts is the latency of the short ones, and whether every client gets its share; of all figures the median
of the rounds. Parts: `beside` (16 clients of 1-ms requests, 3 of 100-ms ones), `mixed` (64 clients, each
tenth request of 100 ms), `one-sided` (as `beside`, but all clients connect before the second worker is
started), `idle` (10,000 idle connections), `asgi` (beside granian's ASGI and uvicorn, two workers each: 16
clients of requests that wait for 1 ms, and one whose requests hold up the event loop for 100 ms; who is
held up with it asks seldom, so it is the share of the slowest client that shows it).

In `mixed` all threads are busy all the time. Whoever serves first come, first served lets everybody wait
equally long there, and how long is known: by Little's law, clients are there as many as are answered in the
time that one takes. That is printed as "the line". A p99 below it is reached only by serving some before
others who came earlier. How even the shares are is left to the dice there: in 5 s a client is given
between none and four long requests, which he waits for; `--seconds 20` shows more of the server.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable, Sequence
from statistics import median

from clients import Kinds, Result, put_load
from control import running_coachman
from idle import measure_idle
from load import BIN, LOAD_CORE, ROOT, Server, running

PORT = 18_431
WORKERS, THREADS = 2, 2
LONG_SHARE = 0.1
MIXED_CLIENTS = 64
MEAN_MILLISECONDS = (1 - LONG_SHARE) * 1 + LONG_SHARE * 100
PAUSE_SECONDS = 0.5
"""Before the load begins: a server that answers may have workers that still start."""


def coachman(processes: int = WORKERS) -> Server:
    options = ["--bind", "127.0.0.1:0", "--processes", str(processes), "--threads", str(THREADS)]
    return Server("coachman", [BIN / "coachman", "serve", ROOT / "bench" / "sleeper.py", *options])


def gunicorn() -> Server:
    options = ["--bind", "127.0.0.1:0", "--worker-class", "gthread"]
    options += ["--workers", str(WORKERS), "--threads", str(THREADS)]
    return Server("gunicorn gthread", [BIN / "gunicorn", "sleeper:application", *options], ROOT / "bench")


def granian() -> Server:
    options = ["--interface", "wsgi", "--port", str(PORT)]
    options += ["--workers", str(WORKERS), "--blocking-threads", str(THREADS)]
    return Server("granian", [BIN / "granian", "sleeper:application", *options], ROOT / "bench")


def coachman_asgi() -> Server:
    options = ["--bind", "127.0.0.1:0", "--processes", str(WORKERS)]
    return Server("coachman", [BIN / "coachman", "serve", ROOT / "bench" / "sleeper_asgi.py", *options])


def granian_asgi() -> Server:
    options = ["--interface", "asgi", "--port", str(PORT), "--workers", str(WORKERS)]
    return Server("granian", [BIN / "granian", "sleeper_asgi:application", *options], ROOT / "bench")


def uvicorn() -> Server:
    options = ["--port", "0", "--no-access-log", "--workers", str(WORKERS)]
    return Server("uvicorn", [BIN / "uvicorn", "sleeper_asgi:application", *options], ROOT / "bench")


def beside() -> Kinds:
    return {"short": (16, lambda: "/1"), "long": (3, lambda: "/100")}


def held_up() -> Kinds:
    return {"short": (16, lambda: "/1"), "long": (1, lambda: "/100")}


def mixed() -> Kinds:
    dice = random.Random(1)
    return {"mixed": (MIXED_CLIENTS, lambda: "/100" if dice.random() < LONG_SHARE else "/1")}


def pause() -> None:
    time.sleep(PAUSE_SECONDS)


def compare(
    title: str,
    kinds: Callable[[], Kinds],
    given: argparse.Namespace,
    servers: Sequence[Server],
    goal: str = "   goal: at least 3; slowest/mean at least 0.25",
) -> None:
    print(f"{title}: {given.rounds} rounds of {given.seconds} s")
    found: dict[str, list[dict[str, Result]]] = {server.name: [] for server in servers}
    for _ in range(given.rounds):
        for server in servers:
            with running(server, {}) as url:
                found[server.name].append(put_load(url, kinds(), given.seconds, pause))
    p99 = {}
    for name, rounds in found.items():
        kind = next(iter(rounds[0]))
        p99[name] = median(results[kind].p99 for results in rounds)
        shares = ", ".join(
            f"{each} {median(results[each].share for results in rounds):.2f}" for each in rounds[0]
        )
        answered = median(sum(results[kind].counts) for results in rounds) / given.seconds
        line = f"   the line {waiting_in_line(answered):.0f} ms" if kind == "mixed" else ""
        print(
            f"  {name:18} p99 of short ones {p99[name]:7.1f} ms   {kind} {answered:6,.0f}/s   "
            f"slowest/mean {shares}{line}"
        )
    best = min(p99[name] for name in p99 if name != "coachman")
    print(f"  best peer / coachman {best / p99['coachman']:.1f}{goal}")


def waiting_in_line(answered: float) -> float:
    """Return the milliseconds that a short request takes at that many answers a second, in one line."""
    return MIXED_CLIENTS / answered * 1000 - MEAN_MILLISECONDS + 1


def one_sided(given: argparse.Namespace) -> None:
    """All clients are connected to the only worker there is when a second one is started."""
    print(f"one-sided: {given.rounds} rounds of {given.seconds} s")
    p99: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(given.rounds):
        for later in p99:
            with running_coachman(coachman(WORKERS - later)) as server:

                def prepare(later: bool = later) -> None:
                    clients = sum(count for count, _ in beside().values())
                    server.wait_for(lambda workers: sum(one.connections for one in workers) == clients)
                    if later:
                        server.scale("+1")
                    server.wait_for(lambda workers: len(workers) == WORKERS)

                p99[later].append(put_load(server.url, beside(), given.seconds, prepare)["short"].p99)
    ratio = median(p99[True]) / median(p99[False])
    print(
        f"  p99 of short ones {median(p99[True]):.1f} ms, otherwise {median(p99[False]):.1f}: {ratio:.2f}   "
        "goal: at most 1.2"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--seconds", type=int, default=5, help="seconds of load in a round (default 5)")
    wsgi = [coachman(), gunicorn(), granian()]
    asgi = [coachman_asgi(), uvicorn(), granian_asgi()]
    parts: dict[str, Callable[[argparse.Namespace], None]] = {
        "beside": lambda given: compare("16 clients of 1 ms beside 3 of 100 ms", beside, given, wsgi),
        "mixed": lambda given: compare(f"{MIXED_CLIENTS} clients, 10 % of 100 ms", mixed, given, wsgi),
        "one-sided": one_sided,
        "idle": lambda given: measure_idle(given.rounds, given.seconds),
        "asgi": lambda given: compare(
            "ASGI, 16 clients of 1 ms beside one that blocks", held_up, given, asgi, goal=""
        ),
    }
    parser.add_argument("--part", choices=parts, help="this part alone")
    given = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    for name, part in parts.items():
        if given.part in (None, name):
            part(given)


if __name__ == "__main__":
    main()
