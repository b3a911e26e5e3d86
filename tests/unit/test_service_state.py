from coachman.protocol.service_state import (
    STATUS_LENGTH,
    TRANSITIONS,
    ServiceReport,
    ServiceState,
    status_line,
)
from coachman.protocol.status import Progress, RestartStatus


def application(
    ready: int,
    *,
    name: str = "site",
    generation: int = 1,
    restart: str = "",
    reason: str = "",
    problem: str = "",
) -> Progress:
    """An application that has, or had, a restart with the outcome `restart`."""
    last = None
    if restart:
        last = RestartStatus(
            generation=generation, cause="SIGHUP", asked_at=0, outcome=restart, reason=reason
        )
    return Progress(
        name=name,
        ready=ready,
        processes="2",
        generation=generation,
        last_restart=last,
        problem=problem,
    )


class Manager:
    """What a service manager hears, as assignments."""

    def __init__(self) -> None:
        self.report = ServiceReport(start_budget=100, stop_budget=20, pid=4711)

    def hears(self, *progress: Progress, stopping: bool = False) -> list[dict[str, str]]:
        return [
            dict(line.split("=", 1) for line in message.decode().split("\n"))
            for message in self.report.news(progress, stopping=stopping, now_ns=5_000_999)
        ]


def test_every_state_is_in_the_table() -> None:
    assert set(TRANSITIONS) == set(ServiceState)


def test_first_of_all_the_start_gets_its_time() -> None:
    assert Manager().report.begin() == b"STATUS=starting\nEXTEND_TIMEOUT_USEC=100000000"


def test_it_is_ready_with_the_first_worker_and_not_before() -> None:
    manager = Manager()
    assert manager.hears(application(0)) == [{"STATUS": "site: 0 of 2 workers ready, generation 1"}]
    ready = {"READY": "1", "MAINPID": "4711", "STATUS": "site: 1 of 2 workers ready, generation 1"}
    assert manager.hears(application(1)) == [ready]
    assert manager.hears(application(2)) == [{"STATUS": "site: 2 of 2 workers ready, generation 1"}]


def test_it_is_ready_when_every_application_is() -> None:
    manager = Manager()
    assert "READY" not in manager.hears(application(1), application(0, name="blog"))[0]
    assert "READY" in manager.hears(application(1), application(1, name="blog"))[0]


def test_one_of_several_that_is_broken_does_not_hold_up_the_others() -> None:
    manager = Manager()
    broken = application(0, name="blog", problem="no module named x")
    assert "READY" not in manager.hears(broken, application(0))[0]
    [news] = manager.hears(broken, application(1))
    assert "READY" in news
    assert news["STATUS"].startswith(
        "blog: 0 of 2 workers ready, generation 1 (no module named x); site: 1 of 2"
    )


def test_what_was_said_is_not_said_again() -> None:
    manager = Manager()
    assert manager.hears(application(1))
    assert manager.hears(application(1)) == []


def test_a_restart_is_reloading_until_its_outcome_is_clear() -> None:
    manager = Manager()
    manager.hears(application(2))
    [news] = manager.hears(application(2, generation=2, restart="under way"))
    assert (news["RELOADING"], news["MONOTONIC_USEC"], news["EXTEND_TIMEOUT_USEC"]) == (
        "1",
        "5000",
        "100000000",
    )
    assert news["STATUS"].endswith("generation 2, restart to generation 2 under way")
    assert manager.hears(application(2, generation=2, restart="under way")) == []
    [news] = manager.hears(application(2, generation=2, restart="failed", reason="a\nreason"))
    assert news["READY"] == "1"
    assert news["STATUS"].endswith("restart to generation 2 failed (a reason)")
    assert manager.hears(application(2, generation=2, restart="failed", reason="a reason")) == []


def test_a_restart_that_was_over_at_once_is_told_all_the_same() -> None:
    manager = Manager()
    manager.hears(application(2))
    reloading, ready = manager.hears(application(2, generation=2, restart="failed"))
    assert ("RELOADING" in reloading, "READY" in ready) == (True, True)
    reloading, ready = manager.hears(application(2, generation=3, restart="failed"))
    assert ("RELOADING" in reloading, "READY" in ready) == (True, True)


def test_a_restart_during_the_start_comes_after_ready() -> None:
    ready, reloading = Manager().hears(application(1, generation=2, restart="under way"))
    assert ("READY" in ready, "RELOADING" in reloading) == (True, True)


def test_it_may_stop_from_any_state_and_says_how_long_that_takes() -> None:
    starting, ready, reloading = Manager(), Manager(), Manager()
    ready.hears(application(1))
    reloading.hears(application(1, restart="under way"))
    for manager in (starting, ready, reloading):
        [news] = manager.hears(application(1), stopping=True)
        assert (news["STOPPING"], news["EXTEND_TIMEOUT_USEC"]) == ("1", "20000000")
        [news] = manager.hears(application(0), stopping=True)
        assert news == {"STATUS": "stopping; site: 0 of 2 workers ready, generation 1"}


def test_the_status_is_one_line_of_bounded_length() -> None:
    line = status_line([application(1, problem="x\ny " * 1000)], stopping=False)
    assert "\n" not in line
    assert len(line) == STATUS_LENGTH


def test_whatever_an_error_says_can_be_sent() -> None:
    [message] = ServiceReport(start_budget=1, stop_budget=1, pid=None).news(
        [application(0, problem="\udcff")], stopping=False, now_ns=0
    )
    assert b"\\udcff" in message


def test_a_start_that_failed_has_the_last_word() -> None:
    manager = Manager()
    said = manager.report.failed("no module\nnamed x").decode().split("\n")
    assert ("STOPPING=1" in said, "STATUS=no module named x" in said) == (True, True)
    assert manager.hears(application(0), stopping=True) == []
