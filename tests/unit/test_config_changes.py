"""What a configuration that is read while the server runs changes, and what it leaves for the next start."""

from __future__ import annotations

from pathlib import Path

import pytest

from coachman.config.changes import changed_keys, counterparts, left_for_the_next_start, successor
from coachman.config.loading import Given, load
from coachman.config.model import ApplicationConfig, SupervisorConfig
from coachman.errors import ConfigurationError

SHOP = """
[applications.shop]
app = "shop:app"
bind = "127.0.0.1:8001"
"""
BLOG = """
[applications.blog]
app = "blog:app"
bind = "127.0.0.1:8002"
"""
SINGLE = 'app = "shop:app"\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def config(text: str) -> SupervisorConfig:
    Path("coachman.toml").write_text(text)
    return load(Given({}, None, None, {}, Path.cwd())).config


def shop(text: str) -> ApplicationConfig:
    return config(text).applications[0]


def test_what_is_unchanged_is_no_change() -> None:
    assert changed_keys(shop(SHOP), shop(SHOP)) == []
    assert left_for_the_next_start(config(SHOP), config(SHOP)) == []


def test_changes_are_named_by_their_keys() -> None:
    then = shop('threads = 3\nsurge = 2\n[env]\nSECRET = "x"\n' + SHOP.replace("shop:app", "shop:other"))
    assert changed_keys(shop(SHOP), then) == ["app", "threads", "env", "surge"]


def test_the_successor_listens_and_is_called_as_before() -> None:
    now = shop(SHOP)
    then = successor(now, shop('threads = 3\nbind = "127.0.0.1:9999"\napp = "other:app"\nname = "other"'))
    assert (then.title, then.addresses) == ("shop", now.addresses)
    assert (then.worker.threads, then.location.module) == (3, "other")
    assert changed_keys(now, then) == ["app", "threads"]


def test_applications_are_told_apart_by_their_names() -> None:
    started, read = config(SHOP + BLOG), config(BLOG + SHOP.replace("shop:app", "other:app"))
    found = counterparts(started, read)
    assert {title: each.location.module for title, each in found.items()} == {"shop": "other", "blog": "blog"}


def test_an_application_that_is_alone_may_be_called_otherwise() -> None:
    started = config(SINGLE)
    (title,) = counterparts(started, config('app = "other:app"'))
    assert title == started.applications[0].title
    assert left_for_the_next_start(started, config('app = "other:app"')) == []


def test_what_takes_a_new_start_is_said_in_the_words_of_the_file() -> None:
    started = config('pid-file = "/run/a.pid"\n' + SHOP + BLOG)
    read = config(
        'log-format = "json"\n'
        + SHOP.replace("8001", "9001")
        + BLOG.replace("applications.blog", "applications.wiki")
    )
    assert left_for_the_next_start(started, read) == [
        'log-format = "json"',
        "no pid-file",
        'bind = ["127.0.0.1:9001"] for shop',
        "no blog",
        "the application wiki",
    ]


def test_the_name_of_an_application_that_is_alone_waits_as_well() -> None:
    assert left_for_the_next_start(config(SINGLE), config(SINGLE + 'name = "other"')) == [
        f'name = "other" for {shop(SINGLE).title}'
    ]


def test_it_is_read_again_from_the_file_of_the_start() -> None:
    Path("sites.toml").write_text(SHOP)
    Path("coachman.toml").write_text(BLOG)
    loaded = load(Given({}, None, Path("sites.toml").absolute(), {}, Path.cwd()))
    Path("sites.toml").write_text("threads = 3\n" + SHOP)
    assert [each.worker.threads for each in loaded.read_again().applications] == [3]
    Path("sites.toml").unlink()
    with pytest.raises(ConfigurationError, match=r"sites\.toml"):
        loaded.read_again()


def test_a_file_that_was_found_is_missed_where_it_is_gone() -> None:
    Path("coachman.toml").write_text(SHOP)
    loaded = load(Given({}, None, None, {}, Path.cwd()))
    Path("coachman.toml").unlink()
    with pytest.raises(ConfigurationError, match=r"coachman\.toml"):
        loaded.read_again()
