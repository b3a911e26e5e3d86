import tomllib

import pytest

from coachman.config.toml_lines import KeyPath, key_lines

DOCUMENT = '''# a comment with [a table] and key = "value"
threads = 4   # "

[applications.shop]
bind = [
  "127.0.0.1:8000", # ]
  'unix:#[x',
]
text = """
not = "a key"
[nor.a.table] \\"""
"""
raw = \'\'\'
neither = 1\'\'\'
env.DEBUG = "}"
inline = { a = "]", b = { c = 1 } }
[applications . "the blog".env]
"a \\"key\\"" = 1
'bare.not' = "2"
'''


def test_every_key_and_table_has_its_line() -> None:
    shop, blog = ("applications", "shop"), ("applications", "the blog", "env")
    expected: dict[KeyPath, int] = {
        ("threads",): 2,
        ("applications",): 4,
        shop: 4,
        (*shop, "bind"): 5,
        (*shop, "text"): 9,
        (*shop, "raw"): 13,
        (*shop, "env"): 15,
        (*shop, "env", "DEBUG"): 15,
        (*shop, "inline"): 16,
        blog[:2]: 17,
        blog: 17,
        (*blog, 'a "key"'): 18,
        (*blog, "bare.not"): 19,
    }
    tomllib.loads(DOCUMENT)  # it is sound
    assert key_lines(DOCUMENT) == expected
    assert key_lines(DOCUMENT.replace("\n", "\r\n")) == expected


def test_arrays_of_tables_have_the_line_of_their_first() -> None:
    assert key_lines("\n[[hosts]]\nname = 1\n[[hosts]]\nname = 2") == {("hosts",): 2, ("hosts", "name"): 3}


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing", "a=1", 'a = """x""""\nb = 2\n'])
def test_short_documents_are_read_to_their_end(text: str) -> None:
    assert {path[0] for path in key_lines(text)} == set(tomllib.loads(text))
