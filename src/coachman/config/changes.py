"""What of a configuration that is read while the server runs can hold, and what waits for its next start."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from coachman.config.model import ApplicationConfig, SupervisorConfig
from coachman.config.setting import Setting
from coachman.config.settings import APPLICATION, APPLICATION_SETTINGS, SUPERVISOR_SETTINGS
from coachman.config.shown import plain, toml

_LASTING_KEYS: Final = ("bind", "name")
LASTING: Final = tuple(each for each in APPLICATION_SETTINGS if each.key in _LASTING_KEYS)
"""Settings of an application that hold until the server ends. All of the supervisor's do."""
CHANGEABLE: Final = (APPLICATION, *(each for each in APPLICATION_SETTINGS if each not in LASTING))


def counterparts(started: SupervisorConfig, read: SupervisorConfig) -> Mapping[str, ApplicationConfig]:
    """Return what `read` has for the applications that were started, by the titles that these have.

    One that is alone, then and now, is the same one whatever it is called.
    """
    if len(started.applications) == len(read.applications) == 1:
        return {started.applications[0].title: read.applications[0]}
    titles = {each.title for each in started.applications}
    return {each.title: each for each in read.applications if each.title in titles}


def successor(now: ApplicationConfig, read: ApplicationConfig) -> ApplicationConfig:
    """Return `read` as far as it can follow `now` while the application runs."""
    return msgspec.structs.replace(read, addresses=now.addresses, name=now.title)


def changed_keys(now: ApplicationConfig, then: ApplicationConfig) -> list[str]:
    """Return the keys of the settings that change where `then` follows `now`."""
    return [setting.key for setting in CHANGEABLE if _value(setting, now) != _value(setting, then)]


def left_for_the_next_start(started: SupervisorConfig, read: SupervisorConfig) -> list[str]:
    """Return what `read` has that cannot hold before the server is started anew; for people."""
    found = list(_differences(SUPERVISOR_SETTINGS, started, read))
    known = counterparts(started, read)
    for before in started.applications:
        if (after := known.get(before.title)) is not None:
            found += [f"{text} for {before.title}" for text in _differences(LASTING, before, after)]
        else:
            found.append(f"no {before.title}")
    taken = [id(each) for each in known.values()]
    return found + [f"the application {each.title}" for each in read.applications if id(each) not in taken]


def _differences(settings: Iterable[Setting], before: Any, after: Any) -> Iterator[str]:
    for setting in settings:
        value = _value(setting, after)
        if value != _value(setting, before):
            text = toml(plain(setting, value))
            yield f"{setting.key} = {text}" if text else f"no {setting.key}"


def _value(setting: Setting, config: Any) -> Any:
    return operator.attrgetter(setting.target)(config)
