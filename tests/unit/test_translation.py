"""Configurations of other servers, as ours."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from coachman.config.foreign import gunicorn as from_gunicorn
from coachman.config.foreign import passenger as from_passenger
from coachman.config.foreign.translation import Translation
from coachman.config.loading import Given, load
from coachman.errors import ConfigurationError

GUNICORN = '''
"""The shop's."""
import multiprocessing

bind = ["127.0.0.1:8000", "unix:/run/shop.sock"]
workers = 4
threads = 2
worker_class = "gthread"
timeout = 30
graceful_timeout: int = 20
keepalive = 5
max_requests = 1000
max_requests_jitter = 50
preload_app = True
reload = False
user = "shop"
umask = 0o27
raw_env = ["A=1", "B=x=y"]
forwarded_allow_ips = "10.0.0.1, 10.0.0.2"
accesslog = "-"
errorlog = "-"
wsgi_app = "shop.wsgi:app"
proc_name = "shop"
'''


def settings_of(translation: Translation, folder: Path) -> dict[str, object]:
    """Return what is in the text, which coachman understands."""
    (folder / "coachman.toml").write_text(translation.text())
    load(Given({}, None, folder / "coachman.toml", {}, folder))
    return tomllib.loads(translation.text())


def test_settings_of_gunicorn_become_ours(tmp_path: Path) -> None:
    translation = from_gunicorn.translate(Path("gunicorn.conf.py"), GUNICORN)
    assert translation.missing == []
    assert settings_of(translation, tmp_path) == {
        "bind": ["127.0.0.1:8000", "unix:/run/shop.sock"],
        "processes": 4,
        "threads": 2,
        "request-timeout": 30,
        "drain-timeout": 20,
        "keep-alive-timeout": 5,
        "max-requests": 1000,
        "max-requests-jitter": 50,
        "spawn-method": "preload",
        "user": "shop",
        "umask": "027",
        "env": {"A": "1", "B": "x=y"},
        "trusted-proxy": ["10.0.0.1", "10.0.0.2", "unix"],
        "access-log": "combined",
        "app": "shop.wsgi:app",
        "name": "shop",
    }


def test_a_file_of_gunicorn_is_not_run_and_what_is_computed_is_named(tmp_path: Path) -> None:
    source = f"""
open({str(tmp_path / "run")!r}, "w")
workers = multiprocessing.cpu_count() * 2 + 1
worker_class = "gevent"
certfile = "x"
no_such_thing = 1
if DEBUG:
    reload = True
def post_fork(server, worker):
    pass
"""
    translation = from_gunicorn.translate(Path("gunicorn.conf.py"), source)
    missing = dict(translation.missing)
    assert not (tmp_path / "run").exists()
    assert translation.settings == {}
    assert missing["workers"].endswith("into coachman.toml: multiprocessing.cpu_count() * 2 + 1")
    assert missing["worker_class"] == "'gevent': coachman has one kind of worker; --threads sets its threads"
    assert missing["certfile"] == "TLS is left to a proxy"
    assert missing["no_such_thing"] == "not known, and nothing like it"
    assert missing["line 7"] == "the file is not run: if DEBUG:"
    assert "coachman.hooks" in missing["post_fork"]
    assert "#   certfile: TLS is left to a proxy\n" in translation.text()
    tomllib.loads(translation.text())


def test_what_is_set_to_none_is_not_set(tmp_path: Path) -> None:
    source = "user = None\npidfile = None\nproc_name = None\nworkers = 3\nwsgi_app = 'x'\n"
    translation = from_gunicorn.translate(Path("gunicorn.conf.py"), source)
    assert settings_of(translation, tmp_path) == {"processes": 3, "app": "x"}
    options = '{"user": null, "startup_file": "x", "port": 1}'
    translation = from_passenger.translate(Path("Passengerfile.json"), options)
    assert settings_of(translation, tmp_path) == {"app": "x", "bind": ["0.0.0.0:1"], "processes": "1-6"}


def test_values_of_another_kind_are_named(tmp_path: Path) -> None:
    translation = from_gunicorn.translate(Path("gunicorn.conf.py"), "raw_env = {[]: 1}\nwsgi_app = 'x'")
    assert [name for name, _ in translation.missing] == ["raw_env"]
    options = '{"min_instances": "2", "max_pool_size": 6, "startup_file": "x"}'
    translation = from_passenger.translate(Path("Passengerfile.json"), options)
    assert [name for name, _ in translation.missing] == ["max_pool_size"]
    assert settings_of(translation, tmp_path) == {"app": "x", "bind": ["0.0.0.0:3000"]}


def test_what_another_server_takes_and_we_refuse_is_named(tmp_path: Path) -> None:
    translation = from_gunicorn.translate(Path("gunicorn.conf.py"), "workers = 0\nwsgi_app = 'x'")
    assert [name for name, why in translation.missing if "0 is not from 1 to 1000" in why] == ["workers"]
    assert settings_of(translation, tmp_path) == {"app": "x"}
    options = '{"start_timeout": 0, "pool_idle_time": 0, "startup_file": "x", "max_pool_size": 2}'
    translation = from_passenger.translate(Path("Passengerfile.json"), options)
    assert [name for name, why in translation.missing if "there has to be a limit" in why] == [
        "start_timeout"
    ]
    settings = settings_of(translation, tmp_path)
    assert settings["max-idle-time"] == 0  # for ever, here as there
    assert "start-timeout" not in settings


def test_no_connection_is_kept_where_gunicorn_would_keep_none(tmp_path: Path) -> None:
    translation = from_gunicorn.translate(Path("gunicorn.conf.py"), "keepalive = 0\nwsgi_app = 'x'")
    assert settings_of(translation, tmp_path) == {"app": "x", "max-requests-per-connection": 1}


def test_every_setting_of_gunicorn_has_a_rule() -> None:
    known = {setting.name for setting in import_module("gunicorn.config").KNOWN_SETTINGS}
    assert known - set(from_gunicorn.RULES) == set()


@pytest.mark.parametrize(
    ("bind", "ours"),
    [
        (":8000", "0.0.0.0:8000"),
        ("localhost", "localhost:8000"),
        ("tcp://[::1]:80", "[::1]:80"),
        ("unix:/run/x", "unix:/run/x"),
    ],
)
def test_addresses_of_gunicorn_become_ours(bind: str, ours: str, tmp_path: Path) -> None:
    translation = from_gunicorn.translate(Path("g.py"), f"bind = {bind!r}\nwsgi_app = 'x'")
    assert settings_of(translation, tmp_path)["bind"] == [ours]


def test_options_of_passenger_become_ours(tmp_path: Path) -> None:
    source = """{"environment": "production", "port": 4000, "max_pool_size": 8, "min_instances": 2,
        "startup_file": "shop.wsgi", "app_type": "wsgi", "spawn_method": "smart", "max_requests": 5,
        "memory_limit": 256, "envvars": {"A": 1}, "max_request_queue_size": 100, "ssl": true, "odd": 1}"""
    translation = from_passenger.translate(Path("Passengerfile.json"), source)
    assert settings_of(translation, tmp_path) == {
        "bind": ["0.0.0.0:4000"],
        "processes": "2-8",
        "environment": "production",
        "app": "shop.wsgi",
        "spawn-method": "preload",
        "max-requests": 5,
        "max-worker-memory": "256m",
        "env": {"A": "1"},
        "max-queue": 100,
    }
    assert translation.missing == [
        ("ssl", "TLS is left to a proxy"),
        ("odd", "not known, and nothing like it"),
    ]


def test_another_language_than_python_has_no_equivalent() -> None:
    translation = from_passenger.translate(Path("Passengerfile.json"), '{"app_type": "rack", "port": 1}')
    assert translation.missing == [
        ("app_type", "'rack': coachman serves Python applications; coachman spawn starts any")
    ]


def test_files_that_are_none_are_refused_with_their_line() -> None:
    with pytest.raises(ConfigurationError, match=r"gunicorn.conf.py:2: "):
        from_gunicorn.translate(Path("gunicorn.conf.py"), "\nbind = = 1")
    with pytest.raises(ConfigurationError, match=r"gunicorn.conf.py:1: "):
        from_gunicorn.translate(Path("gunicorn.conf.py"), "bind = 1\0")
    with pytest.raises(ConfigurationError, match=r"Passengerfile.json:2: "):
        from_passenger.translate(Path("Passengerfile.json"), "{\n'port': 1}")
    with pytest.raises(ConfigurationError, match="not a JSON object"):
        from_passenger.translate(Path("Passengerfile.json"), "[]")
