"""What the README shows is what is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_library_example_is_the_file_it_names() -> None:
    docstring, program = (ROOT / "examples" / "hello_server.py").read_text().split("\n\n", 1)
    assert docstring.startswith('"""')
    assert f"```python\n{program}```" in README


def test_every_page_and_benchmark_it_names_exists() -> None:
    named = re.findall(r"\]\((?!http)([^)#]+)", README) + re.findall(r"bench/\w+\.py", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
