from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from coachman.cli.unit_text import Service, command_line, quoted, service_unit, socket_unit
from coachman.config.addresses import Address, TcpAddress, UnixAddress
from coachman.config.application_location import ApplicationLocation
from coachman.config.model import ApplicationConfig, SupervisorConfig, WorkerConfig
from coachman.errors import ConfigurationError


def service(*addresses: Address, root: str = "/srv/site", user: str | None = "www") -> Service:
    application = ApplicationConfig(
        location=ApplicationLocation(root=Path(root)),
        addresses=addresses or (TcpAddress("127.0.0.1", 8000),),
        worker=WorkerConfig(drain_timeout=120),
        start_timeout=200,
    )
    return Service(
        config=SupervisorConfig(applications=(application,)),
        command=["/srv/site/.venv/bin/coachman", "serve"],
        folder=Path(root),
        interpreter=[Path("/srv/site/.venv")],
        variables={"COACHMAN_NAME": "$site 50%"},
        user=user,
        group=None,
    )


def settings(text: str) -> dict[str, str]:
    """Return the last value of each setting."""
    lines = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def unit(of: Service, *, notify_reload: bool = False) -> dict[str, str]:
    return settings(service_unit(of, made_by="coachman systemd-unit", notify_reload=notify_reload))


@pytest.mark.parametrize(
    ("argument", "word"),
    [
        ("--bind", "--bind"),
        ("", '""'),
        ("a b", '"a b"'),
        ("50%", "50%%"),
        ("$HOME", "$HOME"),
        ('say "hi"', r'"say \"hi\""'),
        ("back\\slash", r'"back\\slash"'),
        ("it's", '"it\'s"'),
        (";", '";"'),
        ("two\nlines", r'"two\nlines"'),
    ],
)
def test_systemd_gets_every_word_as_it_was_given(argument: str, word: str) -> None:
    assert quoted(argument) == word


def test_a_command_has_no_variables() -> None:
    assert command_line(["/bin/x", "$HOME $1"]) == '/bin/x "$$HOME $$1"'


def test_settings_of_the_environment_are_taken_along() -> None:
    assert unit(service())["Environment"] == '"COACHMAN_NAME=$site 50%%"'


def test_it_waits_longer_than_a_start_or_a_drain_may_take() -> None:
    found = unit(service())
    assert int(found["TimeoutStartSec"]) > 2 * 200
    assert int(found["TimeoutStopSec"]) > 120


def test_only_the_supervisor_is_told_to_stop_and_only_it_is_believed() -> None:
    found = unit(service())
    assert (found["KillMode"], found["NotifyAccess"], found["OOMPolicy"]) == ("mixed", "main", "continue")


def test_reload_is_a_hangup_either_way() -> None:
    assert unit(service())["ExecReload"] == "/bin/kill -HUP $MAINPID"
    waiting = unit(service(), notify_reload=True)
    assert (waiting["Type"], waiting["ReloadSignal"]) == ("notify-reload", "SIGHUP")
    assert "ExecReload" not in waiting


def test_a_user_has_no_capability_but_for_a_low_port() -> None:
    assert unit(service())["CapabilityBoundingSet"] == ""
    low = unit(service(TcpAddress("0.0.0.0", 80)))
    assert low["AmbientCapabilities"] == low["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    assert "CapabilityBoundingSet" not in unit(service(user=None))
    of = service()
    of = replace(of, config=msgspec.structs.replace(of.config, metrics=TcpAddress("127.0.0.1", 99)))
    assert unit(of)["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE"


def test_what_the_server_writes_to_can_be_written() -> None:
    of = service(UnixAddress(Path("/var/lib/site/site.sock")), UnixAddress(Path("/srv/site/other.sock")))
    config = of.config
    of = replace(
        of, config=SupervisorConfig(applications=config.applications, log_file=Path("/var/log/s.log"))
    )
    assert unit(of)["ReadWritePaths"] == "-/srv/site -/var/lib/site -/var/log"
    of = replace(of, config=msgspec.structs.replace(of.config, runtime_folder=Path("/srv/control")))
    assert unit(of)["ReadWritePaths"] == "-/srv/control -/srv/site -/var/lib/site -/var/log"


def test_homes_and_temporary_files_are_hidden_unless_the_application_is_there() -> None:
    assert unit(service())["ProtectHome"] == "yes"
    assert unit(service())["PrivateTmp"] == "yes"
    assert unit(service(root="/home/ada/site"))["ProtectHome"] == "read-only"
    assert "PrivateTmp" not in unit(service(root="/tmp/site"))


def test_a_name_with_any_letters_makes_a_name_for_units() -> None:
    assert service(root="/srv/my site (old)").name == "my-site-old"
    assert service(root="/srv/日本").name == "coachman"


def test_a_socket_unit_listens_where_the_server_would() -> None:
    text = socket_unit(service(TcpAddress("::", 80), UnixAddress(Path("/run/x.sock"))), made_by="x")
    streams = [line for line in text.splitlines() if line.startswith("ListenStream=")]
    assert streams == ["ListenStream=[::]:80", "ListenStream=/run/x.sock"]
    assert settings(text)["FileDescriptorName"] == "site"


def test_systemd_cannot_choose_a_port() -> None:
    with pytest.raises(ConfigurationError, match="choose a port"):
        socket_unit(service(TcpAddress("127.0.0.1", 0)), made_by="x")
