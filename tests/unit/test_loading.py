"""The configuration from all of its layers, and every way in which it can be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from coachman.config.addresses import TcpAddress, UnixAddress
from coachman.config.loading import Given, Loaded, load
from coachman.errors import ConfigurationError

SHOP = """\
log-format = "json"
threads = 4

[applications.shop]
app = "shop.wsgi:app"
bind = ["127.0.0.1:8001", "unix:run/shop.sock"]
env = { A = "file", B = "file" }
"""
BLOG = """
[applications.blog]
app = "blog.wsgi"
bind = "127.0.0.1:8002"
threads = 2
"""


def loaded(
    folder: Path,
    text: str | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    application: str | None = None,
    variables: Mapping[str, str] | None = None,
    name: str = "coachman.toml",
    file: Path | None = None,
) -> Loaded:
    if text is not None:
        (folder / name).write_text(text)
    return load(Given(options or {}, application, file, variables or {}, folder))


def test_options_win_over_variables_over_the_file_over_defaults(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        SHOP,
        options={"surge": 3},
        variables={"COACHMAN_SURGE": "2", "COACHMAN_THREADS": "5", "COACHMAN_DRAIN_TIMEOUT": ""},
    )
    layer, file = found.applications["shop"], tmp_path / "coachman.toml"
    assert (layer["surge"].value, layer["surge"].origins) == (3, ("--surge",))
    assert (layer["threads"].value, layer["threads"].origins) == (5, ("COACHMAN_THREADS",))
    assert layer["app"].origins == (f"{file}:5",)
    assert layer["name"].origins == (f"{file}:4",)
    assert (layer["drain-timeout"].value, layer["drain-timeout"].origins) == (10.0, ("default",))
    assert found.supervisor["log-format"].origins == (f"{file}:1",)
    (shop,) = found.config.applications
    assert (shop.title, shop.worker.threads, shop.restart.surge) == ("shop", 5, 3)


def test_a_table_of_an_application_wins_over_the_top_of_the_file(tmp_path: Path) -> None:
    shop, blog = loaded(tmp_path, SHOP + BLOG).config.applications
    assert (shop.worker.threads, blog.worker.threads) == (4, 2)
    assert blog.location.root == tmp_path
    assert (blog.location.module, blog.title) == ("blog.wsgi", "blog")


def test_tables_are_joined_key_by_key(tmp_path: Path) -> None:
    found = loaded(tmp_path, SHOP, variables={"COACHMAN_ENV": "B=variable"}, options={"env": {"C": "option"}})
    assert found.config.applications[0].process.variables == {"A": "file", "B": "variable", "C": "option"}
    assert found.applications["shop"]["env"].origins[-2:] == ("COACHMAN_ENV", "--env")


def test_paths_of_the_file_are_relative_to_it_and_those_of_variables_to_the_current_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc" / "servers.toml"
    file.write_text(SHOP + '\n[applications.shop.static]\n"/assets" = "."\n' + "")
    found = loaded(tmp_path, file=file, variables={"COACHMAN_PID_FILE": "run/pid"})
    (shop,) = found.config.applications
    assert shop.addresses == (
        TcpAddress("127.0.0.1", 8001),
        UnixAddress(tmp_path / "etc" / "run" / "shop.sock"),
    )
    assert shop.worker.static == {"/assets": str(tmp_path / "etc")}
    assert found.config.pid_file == tmp_path / "run" / "pid"


def test_a_file_for_one_application_has_its_settings_at_the_top(tmp_path: Path) -> None:
    (config,) = loaded(tmp_path, 'app = "site.wsgi"\nbind = "127.0.0.1:1"\nname = "it"').config.applications
    assert (config.title, config.addresses) == ("it", (TcpAddress("127.0.0.1", 1),))


def test_a_file_without_an_application_serves_its_folder(tmp_path: Path) -> None:
    (tmp_path / "wsgi.py").touch()
    (config,) = loaded(tmp_path, "threads = 2").config.applications
    assert config.location.file == tmp_path / "wsgi.py"


def test_the_table_of_pyproject_toml_is_understood(tmp_path: Path) -> None:
    text = '[project]\nname = "x"\n[tool.coachman]\napp = "site"\nthreads = 0\n'
    with pytest.raises(ConfigurationError, match=r"pyproject.toml:5: threads: 0 is not from 1"):
        loaded(tmp_path, text, name="pyproject.toml")
    (config,) = loaded(tmp_path, text.replace("0", "3"), name="pyproject.toml").config.applications
    assert config.worker.threads == 3


def test_coachman_toml_wins_over_pyproject_toml(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.coachman]\napp = "a"\n')
    (config,) = loaded(tmp_path, 'app = "b"').config.applications
    assert config.title == "b"


def test_a_pyproject_toml_that_does_not_speak_of_coachman_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "wsgi.py").touch()
    assert loaded(tmp_path, "this is not TOML", name="pyproject.toml").file is None
    assert loaded(tmp_path, '[project]\nname = "coachman"', name="pyproject.toml").file is None


def test_a_named_application_is_served_without_the_file_of_the_folder(tmp_path: Path) -> None:
    found = loaded(tmp_path, SHOP, application="site.wsgi")
    assert found.file is None
    assert [config.title for config in found.config.applications] == ["site.wsgi"]


def test_a_named_application_takes_the_settings_of_a_named_file(tmp_path: Path) -> None:
    file = tmp_path / "coachman.toml"
    found = loaded(tmp_path, 'threads = 3\napp = "other"', application="site.wsgi", file=file)
    (config,) = found.config.applications
    assert (config.title, config.worker.threads) == ("site.wsgi", 3)
    assert found.applications["site.wsgi"]["app"].origins == ("argument",)


def test_the_file_can_be_named_by_a_variable(tmp_path: Path) -> None:
    found = loaded(tmp_path, 'app = "x"', name="a.toml", variables={"COACHMAN_CONFIG": "a.toml"})
    assert found.file == tmp_path / "a.toml"


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("proceses = 2", 1, "there is no setting 'proceses' here; did you mean 'processes'?"),
        ("\nprocesses = 0", 2, "processes: 0 is neither N nor LEAST-MOST nor auto: 0 is not from 1 to 1000"),
        (
            "spawn-method = 'prelaod'",
            1,
            "'prelaod' is none of auto, preload, direct; did you mean 'preload'?",
        ),
        ("log-format = 'xml'", 1, "log-format: 'xml' is none of text, json, raw"),
        ("max_requests = 3", 1, "did you mean 'max-requests'?"),
        ("app = 'site'\nthreads = 4 4", 2, "Expected newline or end of document"),
        ("app = 'site'\nbind = [\n  '127.0.0.1:80',\n  'nowhere',\n]", 2, "'nowhere' is neither HOST:PORT"),
        ("threads = 2\napp = 'x'\nthreads = 3", 3, "threads is set again, after line 1"),
        (
            "[applications.a]\nbind = []\nbind = [\n]\nx = 1",
            3,
            "applications.a.bind is set again, after line 2",
        ),
        ("threads = 2\n[threads]\nx = 1", 2, "threads is set again, after line 1"),
        ("app = 'x'\nbind = ['127.0.0.1:80',\n\n", 2, ", at the end of the file"),
        ("start-timeout = 0", 1, "start-timeout: 0 leaves no time at all, and there has to be a limit"),
        ("applications = 3", 1, "applications has to be tables"),
        ("[applications]\nshop = 'x'", 2, "'shop' is no table"),
        ("[applications.shop]\nbind = '127.0.0.1:1'", 1, "the application 'shop' has no app"),
        (
            "[applications.shop]\napp = 'x'\nthread = 1",
            3,
            "no setting 'thread' here; did you mean 'threads'?",
        ),
        ("[applications.shop]\napp = 'x'\nlog-file = 'x'", 3, "put it at the top of the file"),
        ("[applications.shop]\napp = 'x'\nname = 'y'", 3, "the application is called as its table is"),
        ("[applications.shop]\napp = 'no such'", 2, "app: 'no such' is neither a folder"),
        ("[applications.shop]\napp = 'x'\nenv.A = 3", 3, "env: 3 is not a line of text"),
        ("bind = '127.0.0.1:1'\n[applications.shop]\napp = 'x'", 1, "bind at the top is for a file without"),
        (
            "[applications.a]\napp = 'x'\n[applications.b]\napp = 'x'",
            3,
            "bind: 127.0.0.1:8000 is the address of [applications.a] as well",
        ),
        (
            "[applications.a]\napp = 'x'\n[applications.b]\napp = 'x'\nbind = '127.0.0.1:8000'",
            5,
            "bind: 127.0.0.1:8000 is the address of [applications.a] as well",
        ),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_line(
    tmp_path: Path, text: str, line: int, complaint: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'coachman.toml'}:{line}: ")
    assert complaint in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*/none.toml: No such file"):
        loaded(tmp_path, file=tmp_path / "none.toml")
    (tmp_path / "coachman.toml").write_bytes(b"app = 'x'\nname = '\xff'\n")
    with pytest.raises(ConfigurationError, match=r"coachman.toml:2: this is not UTF-8"):
        loaded(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]")
    with pytest.raises(ConfigurationError, match=r"there is no table \[tool.coachman\]"):
        loaded(tmp_path, file=tmp_path / "pyproject.toml")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"options": {"bind": (TcpAddress("127.0.0.1", 1),)}}, "--bind cannot be given"),
        ({"options": {"name": "x"}}, "--name cannot be given"),
        ({"variables": {"COACHMAN_BIND": "127.0.0.1:1"}}, "COACHMAN_BIND cannot be given"),
        ({"application": "x", "file": Path("coachman.toml")}, "APP cannot be given"),
    ],
)
def test_what_is_for_one_application_is_refused_for_several(
    tmp_path: Path, given: dict[str, Any], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        loaded(tmp_path, SHOP + BLOG, **given)
    assert "(shop, blog)" in str(caught.value)
    assert "in the table of each" in str(caught.value)


def test_a_single_application_in_a_table_can_be_bound_elsewhere(tmp_path: Path) -> None:
    elsewhere = (TcpAddress("127.0.0.1", 1),)
    (config,) = loaded(tmp_path, SHOP, options={"bind": elsewhere}).config.applications
    assert config.addresses == elsewhere


def test_applications_may_share_an_address_that_the_kernel_chooses(tmp_path: Path) -> None:
    text = "[applications.a]\napp='x'\nbind='127.0.0.1:0'\n[applications.b]\napp='x'\nbind='127.0.0.1:0'\n"
    assert len(loaded(tmp_path, text).config.applications) == 2


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="COACHMAN_THREADS: 'many' is not a whole number"):
        loaded(tmp_path, application="x", variables={"COACHMAN_THREADS": "many"})


def test_variables_that_are_nearly_right_are_named_and_others_are_nobodys_business(tmp_path: Path) -> None:
    variables = {"COACHMAN_TREADS": "1", "COACHMAN_SERVICE_HOST": "10.0.0.1", "COACHMAN_APP_ROOT": "/"}
    (note,) = loaded(tmp_path, application="x", variables=variables).notes
    assert note == "the variable COACHMAN_TREADS is none of coachman's; did you mean 'COACHMAN_THREADS'?"


def test_the_application_can_be_named_by_a_variable(tmp_path: Path) -> None:
    found = loaded(tmp_path, variables={"COACHMAN_APP": "site.wsgi:app"})
    assert found.config.applications[0].title == "site.wsgi"
