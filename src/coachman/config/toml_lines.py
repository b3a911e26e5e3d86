"""The lines on which the keys of a TOML document stand.

`tomllib` gives none, nor does tomlkit (its issue 55). The document has been read by `tomllib` before it comes
here, so it is known to be sound, and all that has to be told apart is where a statement begins and ends.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Final, TypeAlias

KeyPath: TypeAlias = tuple[str, ...]

_BETWEEN: Final = re.compile(r"(?:\s|#[^\n]*)*")
_KEY: Final = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')[ \t]*""")
_TOKEN: Final = re.compile(
    r'''
      """(?:[^\\]|\\.)*?"{3,5} | \'{3}.*?\'{3,5}       # strings of several lines
    | "(?:[^"\\]|\\.)*" | '[^']*'
    | \#[^\n]*
    | (?P<open>[\[{]) | (?P<close>[\]}]) | (?P<end>\n)
    | [^"'\#\[\]{}\n]+
    ''',
    re.VERBOSE | re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Return the line, from 1, on which every table and key is first spoken of in a statement of its own.

    Keys inside of an inline table have none: they are looked for under the key of that table.
    """
    found: dict[KeyPath, int] = {}
    for path, line in statements(text):
        for depth in range(1, len(path) + 1):
            found.setdefault(path[:depth], line)
    return found


def statements(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Yield what each statement is about, a table or a key, and the line on which it begins."""
    table: KeyPath = ()
    line, counted = 1, 0
    at = _skip(text, 0)
    while at < len(text):
        line, counted = line + text.count("\n", counted, at), at
        header = text[at] == "["
        keys, at = _keys(text, at + (2 if text.startswith("[[", at) else 1) if header else at)
        if header:
            table = keys
        yield (table if header else table + keys), line
        at = _skip(text, _end_of_statement(text, at))


def _skip(text: str, at: int) -> int:
    between = _BETWEEN.match(text, at)
    assert between is not None  # it matches nothing as well
    return between.end()


def _keys(text: str, at: int) -> tuple[KeyPath, int]:
    """Read a key, which may be dotted; return it and where it ends."""
    keys: list[str] = []
    while (part := _KEY.match(text, at)) is not None:
        quoted = part[1][0] in "\"'"
        keys.append(tomllib.loads(f"key = {part[1]}")["key"] if quoted else part[1])
        at = part.end()
        if not text.startswith(".", at):
            break
        at += 1
    return tuple(keys), at


def _end_of_statement(text: str, at: int) -> int:
    depth = 0
    while (token := _TOKEN.match(text, at)) is not None:
        at = token.end()
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth -= 1
        elif token["end"] and depth <= 0:
            break
    return at
