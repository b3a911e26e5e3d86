"""The examples of docs/library.md do what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "library.md"
EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_page_has_three_complete_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize(("program", "output"), EXAMPLES, ids=["hello", "passing a socket", "a pool"])
def test_the_example_prints_what_the_page_says(tmp_path: Path, program: str, output: str) -> None:
    (tmp_path / "example.py").write_text(program)
    done = subprocess.run(
        [sys.executable, tmp_path / "example.py"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (output, "")
