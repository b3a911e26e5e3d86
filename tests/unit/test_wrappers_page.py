"""docs/wrappers.md shows the wrappers that are tested."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRAPPERS = sorted((ROOT / "examples" / "wrappers").iterdir())


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda path: path.name)
def test_the_page_shows_every_wrapper_as_it_is(wrapper: Path) -> None:
    page = (ROOT / "docs" / "wrappers.md").read_text()
    assert wrapper.read_text() in re.findall(r"(?ms)^```\w+\n(.*?)^```$", page)


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda path: path.name)
def test_a_complete_wrapper_has_less_than_40_lines(wrapper: Path) -> None:
    assert len(wrapper.read_text().splitlines()) < 40
