"""Reading single values: from the command line, the environment and the configuration file.

Every function here takes what was given, a string or a value of TOML, and the folder that relative paths are
relative to; it returns the value or raises `ConfigurationError`, which says what would be right.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from coachman.config.addresses import Address, TcpAddress, parse_address
from coachman.config.application_location import ApplicationLocation, locate_application
from coachman.config.model import ProcessCount
from coachman.config.nearest import nearest
from coachman.config.resource_limits import parse_limit
from coachman.errors import ConfigurationError

T = TypeVar("T")
Parser: TypeAlias = Callable[[Any, Path], T]

_SIZE: Final = re.compile(r"(\d+)\s*([kmgt]?)i?b?", re.IGNORECASE | re.ASCII)
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)", re.ASCII)
_SIZE_UNITS: Final = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_DURATION_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TRUTH: Final = {"true": True, "yes": True, "on": True, "1": True}
_TRUTH.update({"false": False, "no": False, "off": False, "0": False})


def whole_number(least: int, most: int) -> Parser[int]:
    """Return what reads a whole number from `least` to `most`."""

    def parse(raw: Any, _folder: Path) -> int:
        text = str(raw)
        if isinstance(raw, bool) or not text.isascii() or not text.isdecimal():
            raise ConfigurationError(f"{raw!r} is not a whole number")
        if not least <= int(text) <= most:
            raise ConfigurationError(f"{text} is not from {least} to {most}")
        return int(text)

    return parse


def seconds(raw: Any, _folder: Path) -> float:
    """Read a time: a number of seconds, or one with a unit (ms, s, m, h, d)."""
    found = None if isinstance(raw, bool) else _DURATION.fullmatch(str(raw))
    if found is None:
        raise ConfigurationError(f"{raw!r} is not a time; write 30, 1.5, 500ms, 2m or 1h, for example")
    return float(found[1]) * _DURATION_UNITS[found[2]]


def some_seconds(raw: Any, folder: Path) -> float:
    """Read a time that is longer than none, for what there has to be some time for."""
    found = seconds(raw, folder)
    if not found:
        raise ConfigurationError(
            f"{raw!r} leaves no time at all, and there has to be a limit; write 90 or 10m, say"
        )
    return found


def size(raw: Any, _folder: Path) -> int:
    """Read a number of bytes, with or without a unit (k, m, g, t: powers of 1024)."""
    found = None if isinstance(raw, bool) else _SIZE.fullmatch(str(raw))
    if found is None:
        raise ConfigurationError(f"{raw!r} is not a size; write 65536, 64k, 10M or 1G, for example")
    return int(found[1]) * _SIZE_UNITS[found[2].lower()]


def truth(raw: Any, _folder: Path) -> bool:
    """Read yes or no."""
    value = raw if isinstance(raw, bool) else _TRUTH.get(str(raw).lower())
    if value is None:
        raise ConfigurationError(f"{raw!r} is neither true nor false")
    return value


def text(raw: Any, _folder: Path) -> str:
    """Read any text that is not empty."""
    if not isinstance(raw, str) or not raw or "\n" in raw or "\0" in raw:
        raise ConfigurationError(f"{raw!r} is not a line of text")
    return raw


def optional_text(raw: Any, folder: Path) -> str:
    """Read a line of text, which may be empty."""
    return "" if raw == "" else text(raw, folder)


def variable_name(raw: Any, folder: Path) -> str:
    """Read the name of an environment variable."""
    name = text(raw, folder)
    if "=" in name:
        raise ConfigurationError(f"{name!r} has a '=' in it, which no name of a variable can have")
    return name


def choice(options: type[StrEnum]) -> Parser[StrEnum]:
    """Return what reads one of the words of `options`."""

    def parse(raw: Any, _folder: Path) -> StrEnum:
        try:
            return options(raw)
        except ValueError:
            words = [option.value for option in options]
            guess = nearest(str(raw), words)
            raise ConfigurationError(f"{raw!r} is none of {', '.join(words)}{guess}") from None

    return parse


def application(raw: Any, folder: Path) -> ApplicationLocation:
    """Read ``MODULE:ATTRIBUTE``, a file or a folder."""
    if not isinstance(raw, str) or not raw:
        raise ConfigurationError(f"{raw!r} is no application; write module:attribute, a file or a folder")
    return locate_application(raw, folder)


def path(raw: Any, folder: Path) -> Path:
    """Read a path."""
    return folder / text(raw, folder)


def octal(raw: Any, _folder: Path) -> int:
    """Read an octal number of three digits, as it is written: "027"."""
    digits = raw if isinstance(raw, str) else ""
    if not re.fullmatch("0?[0-7]{1,3}", digits, re.ASCII):
        raise ConfigurationError(f"{raw!r} is not an octal number from 000 to 777, in quotes in a file")
    return int(digits, 8)


def process_count(raw: Any, folder: Path) -> ProcessCount:
    """Read ``N``, ``LEAST-MOST`` or ``auto``: one for each core that this process may use."""
    if raw == "auto":
        return usual_process_count()
    least, dash, most = str(raw).partition("-")
    number = whole_number(1, 1000)
    try:
        count = ProcessCount(number(least, folder), number(most if dash else least, folder))
    except ConfigurationError as error:
        raise ConfigurationError(f"{raw!r} is neither N nor LEAST-MOST nor auto: {error}") from None
    if count.least > count.most:
        raise ConfigurationError(f"{raw!r} has more at least than at most; write {count.most}-{count.least}")
    return count


def scaled(count: ProcessCount, change: str) -> ProcessCount:
    """Return `count` after `change`: "N", "LEAST-MOST", or "+N" or "-N", which moves both of its ends.

    Raises `ConfigurationError` where `change` is none of these, or none or too many would be left.
    """
    if not change.startswith(("+", "-")):
        return process_count(change, Path())
    by = whole_number(1, 1000)(change[1:], Path()) * (1 if change[0] == "+" else -1)
    if count.least + by < 1:
        raise ConfigurationError(f"{change} would leave none of {count}")
    return process_count(f"{count.least + by}-{count.most + by}", Path())


def usual_process_count() -> ProcessCount:
    """Return one for each core that this process may use."""
    cores = len(os.sched_getaffinity(0))
    return ProcessCount(cores, cores)


def address(raw: Any, folder: Path) -> Address:
    """Read an address to listen on."""
    return parse_address(text(raw, folder), folder)


def tcp_address(raw: Any, folder: Path) -> TcpAddress:
    """Read ``HOST:PORT``."""
    found = address(raw, folder)
    if not isinstance(found, TcpAddress):
        raise ConfigurationError(f"{raw!r} is not HOST:PORT")
    return found


def function_name(raw: Any, folder: Path) -> str:
    """Read ``MODULE:FUNCTION``; whether it exists is found out by the process that loads it."""
    name = text(raw, folder)
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), *function.split(".")]):
        raise ConfigurationError(f"{name!r} is not of the form MODULE:FUNCTION")
    return name


def resource_limit(raw: Any, folder: Path) -> str:
    """Read ``NAME=SOFT`` or ``NAME=SOFT:HARD``."""
    return str(parse_limit(text(raw, folder)))


def peer(raw: Any, folder: Path) -> str:
    """Read an address, a network (``10.0.0.0/8``), ``unix`` or ``*``."""
    word = text(raw, folder)
    if word in ("unix", "*"):
        return word
    try:
        return str(ip_network(word, strict=False))
    except ValueError:
        raise ConfigurationError(
            f"{word!r} is no address, no network such as 10.0.0.0/8, not unix and not *"
        ) from None


def url_prefix(raw: Any, folder: Path) -> str:
    """Read the beginning of a path in URLs."""
    prefix = text(raw, folder)
    if not prefix.startswith("/"):
        raise ConfigurationError(f"{prefix!r} does not begin with a slash")
    return prefix.rstrip("/")


def folder_name(raw: Any, folder: Path) -> str:
    """Read the path of a folder that exists."""
    found = path(raw, folder)
    if not os.path.isdir(found):  # False as well where it may not be looked at, which Path.is_dir raises
        raise ConfigurationError(f"there is no folder {str(found)!r} that this user can see")
    return str(found)


def each(parse: Parser[T], *, separator: str = ",") -> Parser[tuple[T, ...]]:
    """Return what reads a list, or a string with a separator, of what `parse` reads."""

    def parse_all(raw: Any, folder: Path) -> tuple[T, ...]:
        if isinstance(raw, str):
            raw = [part.strip() for part in raw.split(separator)] if raw else []
        if not isinstance(raw, Sequence):
            raise ConfigurationError(f"{raw!r} is not a list")
        return tuple(parse(item, folder) for item in raw)

    return parse_all


def mapping(parse_key: Parser[str], parse_value: Parser[str], form: str) -> Parser[dict[str, str]]:
    """Return what reads a table, or a list of ``KEY=VALUE``; `form` is what a pair looks like to people."""

    def parse(raw: Any, folder: Path) -> dict[str, str]:
        if isinstance(raw, Mapping):
            pairs = list(raw.items())
        else:
            pairs = []
            if isinstance(raw, str):
                raw = [raw]
            if not isinstance(raw, Sequence):
                raise ConfigurationError(f"{raw!r} is neither a table nor of the form {form}")
            for item in raw:
                key, separator, value = str(item).partition("=")
                if not key or not separator:
                    raise ConfigurationError(f"{item!r} is not of the form {form}")
                pairs.append((key, value))
        return {parse_key(key, folder): parse_value(value, folder) for key, value in pairs}

    return parse
