"""docs/configuration.md has every setting; run this file to write its tables anew."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from coachman.config.documentation import markdown_table
from coachman.config.loading import Given, load
from coachman.config.settings import APPLICATION, APPLICATION_SETTINGS, SUPERVISOR_SETTINGS

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
TABLES = "## Settings of an application\n"


def tables() -> str:
    return (
        f"{TABLES}\n{markdown_table((APPLICATION, *APPLICATION_SETTINGS))}\n"
        f"## Settings of the supervisor\n\n{markdown_table(SUPERVISOR_SETTINGS)}"
    )


def test_the_tables_are_those_of_the_settings() -> None:
    text = DOCUMENT.read_text()
    assert text[text.index(TABLES) :] == tables(), (
        f"python -m tests.unit.{Path(__file__).stem} writes it anew"
    )


@pytest.mark.parametrize("number", [0, 1])
def test_its_examples_are_sound(number: int, tmp_path: Path) -> None:
    example = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[number]
    (tmp_path / "coachman.toml").write_text(example)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "wsgi.py").touch()
    applications = load(Given({}, None, None, {}, tmp_path)).config.applications
    assert len(applications) == 1 + number
    assert tomllib.loads(example)


if __name__ == "__main__":
    before = DOCUMENT.read_text()
    DOCUMENT.write_text(before[: before.index(TABLES)] + tables())
