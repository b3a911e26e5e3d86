"""What somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def nearest(word: str, words: Iterable[str], prefix: str = "") -> str:
    """Return "; did you mean ...?" with the one of `words` that is nearest to `word`; "" if none is near.

    `prefix` is what all of them begin with besides, which would make everything look alike.
    """
    import difflib  # only for whoever is wrong

    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"; did you mean {prefix + found[0]!r}?" if found else ""


def no_such_application(name: str, names: Sequence[str]) -> str:
    """Return what to say to whoever names an application that is none of `names`."""
    return f"there is no application {name!r}; there are {', '.join(names)}{nearest(name, names)}"
