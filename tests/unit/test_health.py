from coachman.protocol.health import readiness
from coachman.protocol.status import Progress


def application(name: str, ready: int, problem: str = "") -> Progress:
    return Progress(name=name, ready=ready, processes="2", generation=1, problem=problem)


def test_it_is_ready_when_every_application_has_a_worker() -> None:
    assert readiness("serving", [application("site", 1), application("blog", 2)]) == (200, "ready")


def test_an_application_without_a_worker_is_named_with_its_problem() -> None:
    code, reason = readiness("serving", [application("site", 1), application("blog", 0, "no\nmodule x")])
    assert (code, reason) == (503, "blog has no worker that is ready: no module x")


def test_one_application_can_be_asked_about() -> None:
    both = [application("my site", 1), application("blog", 0)]
    assert readiness("serving", both, "my%20site") == (200, "ready")
    assert readiness("serving", both, "blog")[0] == 503
    assert readiness("serving", both, "forum")[0] == 404


def test_it_is_not_ready_from_the_moment_that_it_stops() -> None:
    assert readiness("stopping", [application("site", 2)]) == (503, "the supervisor is stopping")
