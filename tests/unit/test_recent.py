"""What is kept of the log, and what those get who follow it."""

from __future__ import annotations

import asyncio

from coachman.supervisor.log.recent import FOLLOWED, KEPT, Follower, Recent


def recent(*entries: tuple[str | None, str]) -> Recent[str]:
    ring = Recent[str]()
    for application, line in entries:
        ring.add(application, line, line.encode())
    return ring


def taken(follower: Follower[str]) -> tuple[int, list[str]] | None:
    return asyncio.run(follower.take())


def test_lines_come_back_in_their_order_whoever_printed_them() -> None:
    ring = recent(("a", "1\n"), ("b", "2\n"), (None, "3\n"), ("a", "4\n"))
    assert ring.items("") == ["1\n", "2\n", "3\n", "4\n"]
    assert ring.items("a") == ["1\n", "3\n", "4\n"]
    assert ring.items("c") == ["3\n"]


def test_an_application_that_prints_much_does_not_displace_the_others() -> None:
    ring = recent(("quiet", "once\n"), *(("loud", f"{number:099}\n") for number in range(KEPT // 50)))
    assert ring.items("quiet") == ["once\n"]
    kept = ring.items("loud")
    assert len("".join(kept)) == KEPT // 100 * 100
    assert kept[-1] == f"{KEPT // 50 - 1:099}\n"


def test_what_is_larger_than_all_that_is_kept_is_not_kept() -> None:
    assert recent(("a", "x" * KEPT + "\n")).items("a") == []


def test_whoever_follows_gets_what_comes_and_is_of_the_application() -> None:
    ring = recent(("a", "before\n"))
    with ring.follow("a") as follower:
        for application in ("a", "b", None):
            ring.add(application, f"{application}\n", b"x\n")
        assert taken(follower) == (0, ["a\n", "None\n"])
        ring.end()
        assert taken(follower) is None
    ring.add("a", "after\n", b"after\n")
    assert taken(follower) is None


def test_whoever_is_too_slow_is_told_how_many_lines_are_missing() -> None:
    ring = Recent[int]()
    with ring.follow("") as follower:
        block = b"x" * 998 + b"\n\n"
        for number in range(FOLLOWED // 1000 + 10):
            ring.add("a", number, block)
        found = asyncio.run(follower.take())
    assert found is not None
    skipped, items = found
    assert skipped == 2 * 10
    assert items == list(range(10, FOLLOWED // 1000 + 10))


def test_what_was_waiting_at_the_end_is_still_to_be_had() -> None:
    ring = Recent[str]()
    with ring.follow("") as follower:
        ring.add("a", "last\n", b"last\n")
        ring.end()
        assert taken(follower) == (0, ["last\n"])
        assert taken(follower) is None
