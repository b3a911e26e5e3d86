import pytest

from coachman.protocol.service_environment import ServiceEnvironment, read_service_environment

PID = 4711


def read(**variables: str) -> ServiceEnvironment:
    return read_service_environment(variables, pid=PID)


def test_without_a_service_manager_there_is_nothing() -> None:
    assert read(PATH="/bin") == ServiceEnvironment(None, None, ())


def test_everything_that_is_for_this_process_is_read() -> None:
    found = read(
        NOTIFY_SOCKET="@manager",
        WATCHDOG_USEC="30000000",
        WATCHDOG_PID=str(PID),
        LISTEN_PID=str(PID),
        LISTEN_FDS="3",
        LISTEN_FDNAMES="site:blog",
    )
    assert found == ServiceEnvironment("@manager", 30.0, ((3, "site"), (4, "blog"), (5, "")))


def test_what_is_for_another_process_is_not() -> None:
    assert read(LISTEN_PID="1", LISTEN_FDS="2", WATCHDOG_PID="1", WATCHDOG_USEC="1") == ServiceEnvironment()
    assert read(LISTEN_FDS="2") == ServiceEnvironment()


def test_the_watchdog_may_be_for_whoever_asks() -> None:
    assert read(WATCHDOG_USEC="1500000").watchdog == 1.5


@pytest.mark.parametrize("number", ["", "-1", "many", "٣", "0", "9" * 50])
def test_what_is_no_number_says_nothing(number: str) -> None:
    assert read(LISTEN_PID=str(PID), LISTEN_FDS=number, WATCHDOG_USEC=number) == ServiceEnvironment()
