"""The names of the package, which are imported when they are used."""

from importlib import metadata

import pytest

import coachman
from coachman.version import VERSION


@pytest.mark.parametrize("name", coachman.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    value = getattr(coachman, name)
    assert value.__module__.startswith("coachman.")
    assert name in dir(coachman)


def test_a_name_that_is_not_public_is_missing() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        coachman.nonsense  # noqa: B018  # it is to fail


def test_the_version_is_that_of_the_package() -> None:
    assert metadata.version("coachman") == VERSION
