from coachman.protocol.scoreboard import Counters
from coachman.supervisor.application.history import History
from coachman.supervisor.failures.failure import FailureKind, StartFailure


def test_totals_are_those_of_the_gone_and_of_the_living() -> None:
    history = History()
    history.add(Counters(requests=3, accepted=2, statuses=(0, 3, 0, 0, 0), duration_sum=0.5))
    totals = history.totals([Counters(requests=4, statuses=(0, 1, 0, 3, 0)), Counters(requests=1)])
    assert (totals.requests, totals.accepted, totals.statuses) == (8, 2, (0, 4, 0, 3, 0))
    assert totals.duration_sum == 0.5


def test_starts_are_counted_and_the_last_failure_is_kept_until_one_works() -> None:
    history = History()
    failure = StartFailure(FailureKind.TIMED_OUT, 1, "90 seconds")
    history.note_failed_start(failure)
    kept = history.last_failure
    assert kept is failure
    history.note_start(0.25)
    history.note_start(0.5)
    kept = history.last_failure
    assert kept is None
    totals = history.totals([])
    assert (totals.spawns, totals.spawn_seconds, totals.failed_spawns) == (2, 0.75, 1)


def test_replacements_are_counted_by_reason() -> None:
    history = History()
    for reason in ("died", "restart", "died"):
        history.note_replacement(reason)
    assert history.totals([]).replacements == {"died": 2, "restart": 1}
