from coachman.policy.environment import account_environment, application_environment

NOTHING: dict[str, str] = {}


def test_what_is_meant_for_the_supervisor_does_not_reach_the_application() -> None:
    ours = {"PATH": "/bin", "COACHMAN_TOKEN": "secret", "NOTIFY_SOCKET": "/run/n", "LISTEN_FDS": "1"}
    assert application_environment(ours, account=NOTHING, configured=NOTHING, told=NOTHING) == {
        "PATH": "/bin"
    }


def test_what_is_configured_wins_over_what_we_have_and_over_the_account() -> None:
    environment = application_environment(
        {"HOME": "/root", "LANG": "C"},
        account=account_environment(user="web", home="/srv/web", shell=""),
        configured={"LANG": "C.UTF-8", "HOME": "/srv/site"},
        told=NOTHING,
    )
    assert environment == {
        "HOME": "/srv/site",
        "LANG": "C.UTF-8",
        "USER": "web",
        "LOGNAME": "web",
        "SHELL": "/bin/sh",
    }


def test_what_the_application_is_told_cannot_be_forged() -> None:
    environment = application_environment(
        {"COACHMAN_VERSION": "0"},
        account=NOTHING,
        configured={"COACHMAN_VERSION": "1"},
        told={"VERSION": "2"},
    )
    assert environment == {"COACHMAN_VERSION": "2"}
