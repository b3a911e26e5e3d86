import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coachman.config.addresses import TcpAddress
from coachman.config.building import default_of
from coachman.config.model import ProcessCount
from coachman.config.setting import Setting
from coachman.config.settings import APPLICATION_SETTINGS, SUPERVISOR_SETTINGS
from coachman.config.shown import Plain, plain, toml, toml_key

SETTINGS = {setting.key: setting for setting in (*APPLICATION_SETTINGS, *SUPERVISOR_SETTINGS)}

text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    text | st.integers(-(2**62), 2**62) | st.booleans(),
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=10,
)


@given(values)
def test_what_is_written_as_toml_is_read_as_it_was(value: Plain) -> None:
    assert tomllib.loads(f"key = {toml(value)}")["key"] == value


@pytest.mark.parametrize("seconds", [0.5, 30.0, 1234567.0, 100000.25])
def test_a_time_is_shown_to_the_last_digit(seconds: float) -> None:
    assert SETTINGS["max-worker-age"].parse(tomllib.loads(f"x = {toml(seconds)}")["x"], Path()) == seconds


@given(text)
def test_any_text_can_be_a_key(key: str) -> None:
    assert tomllib.loads(f"{toml_key(key)} = 1") == {key: 1}


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("umask", 0o27, "027"),
        ("umask", None, None),
        ("bind", (TcpAddress("::1", 80),), ["[::1]:80"]),
        ("processes", ProcessCount(2, 8), "2-8"),
        ("pid-file", Path("/run/pid"), "/run/pid"),
        ("drain-timeout", 1.5, 1.5),
    ],
)
def test_a_value_is_shown_as_the_file_has_it(key: str, value: object, shown: Plain) -> None:
    assert plain(SETTINGS[key], value) == shown


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_what_is_shown_of_a_default_is_read_as_that_default(setting: Setting) -> None:
    shown = plain(setting, default_of(setting))
    if shown not in (None, "") or setting.key == "restart-file":
        read = setting.parse(tomllib.loads(f"key = {toml(shown)}")["key"], Path())
        assert plain(setting, read) == plain(setting, setting.parse(shown, Path()))
