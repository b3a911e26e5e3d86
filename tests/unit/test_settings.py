from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coachman.config import values
from coachman.config.application_location import ApplicationLocation
from coachman.config.building import application_config, default_of, supervisor_config
from coachman.config.model import ProcessCount, SpawnMethod, SupervisorConfig, WorkerConfig
from coachman.config.settings import APPLICATION_SETTINGS, SUPERVISOR_SETTINGS
from coachman.errors import ConfigurationError

HERE = Path("/srv/site")
LOCATION = ApplicationLocation(root=HERE)

static = values.mapping(values.url_prefix, values.optional_text, "PREFIX=FOLDER")


@pytest.mark.parametrize(
    ("parse", "raw", "value"),
    [
        (values.whole_number(0, 9), "7", 7),
        (values.whole_number(0, 9), 7, 7),
        (values.seconds, "1.5", 1.5),
        (values.seconds, 30, 30.0),
        (values.seconds, "500ms", 0.5),
        (values.seconds, "2m", 120.0),
        (values.seconds, "1h", 3600.0),
        (values.some_seconds, "1ms", 0.001),
        (values.size, "65536", 65536),
        (values.size, "64k", 65536),
        (values.size, "10M", 10 * 2**20),
        (values.size, "1 GiB", 2**30),
        (values.truth, "yes", True),
        (values.truth, False, False),
        (values.path, "log", HERE / "log"),
        (values.path, "/var/log", Path("/var/log")),
        (values.octal, "027", 0o27),
        (values.process_count, "4", ProcessCount(4, 4)),
        (values.process_count, 4, ProcessCount(4, 4)),
        (values.process_count, "2-8", ProcessCount(2, 8)),
        (values.peer, "10.1.2.3/8", "10.0.0.0/8"),
        (values.peer, "unix", "unix"),
        (values.each(values.peer), "::1, unix", ("::1/128", "unix")),
        (values.each(values.peer), ["*"], ("*",)),
        (static, ["/a/=b", "/c=d"], {"/a": "b", "/c": "d"}),
        (static, {"/a": "b"}, {"/a": "b"}),
    ],
)
def test_a_value_is_read(parse: Callable[[Any, Path], Any], raw: Any, value: Any) -> None:
    assert parse(raw, HERE) == value


@pytest.mark.parametrize(
    ("parse", "raw", "way_out"),
    [
        (values.whole_number(0, 9), "10", "from 0 to 9"),
        (values.whole_number(0, 9), "-1", "whole number"),
        (values.whole_number(0, 9), True, "whole number"),
        (values.seconds, "soon", "500ms"),
        (values.seconds, "-1", "500ms"),
        (values.some_seconds, "0", "there has to be a limit; write 90"),
        (values.some_seconds, 0.0, "there has to be a limit; write 90"),
        (values.some_seconds, "soon", "500ms"),
        (values.size, "many", "64k"),
        (values.truth, "perhaps", "true nor false"),
        (values.choice(SpawnMethod), "fork", "auto, preload, direct"),
        (values.octal, "9", "octal"),
        (values.octal, 27, "quotes"),
        (values.process_count, "8-2", "2-8"),
        (values.process_count, "0", "from 1"),
        (values.text, "", "line of text"),
        (values.text, 3, "line of text"),
        (values.peer, "proxy.example", "10.0.0.0/8"),
        (values.folder_name, "/no/such/folder", "no folder"),
        (values.tcp_address, "unix:/run/x", "HOST:PORT"),
        (values.function_name, "not a function", "MODULE:FUNCTION"),
        (values.each(values.peer), 3, "list"),
        (static, "assets=public", "slash"),
        (static, "/assets", "PREFIX=FOLDER"),
        (static, 5, "PREFIX=FOLDER"),
        (static, True, "PREFIX=FOLDER"),
        (values.variable_name, "A=B", "'='"),
    ],
)
def test_a_wrong_value_is_refused_with_the_way_out(
    parse: Callable[[Any, Path], Any], raw: Any, way_out: str
) -> None:
    with pytest.raises(ConfigurationError, match=way_out):
        parse(raw, HERE)


def test_every_setting_has_a_key_of_its_own_and_a_place_in_the_model() -> None:
    settings = [*APPLICATION_SETTINGS, *SUPERVISOR_SETTINGS]
    assert len({setting.key for setting in settings}) == len(settings)
    assert len({setting.target for setting in settings}) == len(settings)
    for setting in settings:
        default_of(setting)


def test_what_is_given_stands_at_its_place_and_the_rest_is_as_usual() -> None:
    config = application_config(LOCATION, {"max-header-count": 7, "processes": ProcessCount(2, 8)})
    assert config.worker.bounds.header_count == 7
    assert config.worker.bounds.header_size == WorkerConfig().bounds.header_size
    assert str(config.scaling.processes) == "2-8"
    assert config.title == HERE.name
    assert supervisor_config((config,), {"pid-file": Path("x")}) == SupervisorConfig(
        applications=(config,), pid_file=Path("x")
    )


def test_what_a_worker_goes_by_survives_the_way_to_it() -> None:
    config = application_config(LOCATION, {"static": {"/a": "/srv/a"}, "threads": 3}).worker
    assert msgspec.json.decode(msgspec.json.encode(config), type=WorkerConfig) == config
