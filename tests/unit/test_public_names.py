"""The names of the package, which are imported when they are used."""

import copy
import pickle
from importlib import metadata

import pytest

import coachman
from coachman.version import VERSION


@pytest.mark.parametrize("name", coachman.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    value = getattr(coachman, name)
    assert value.__module__.startswith("coachman.")
    assert name in dir(coachman)


@pytest.mark.parametrize(
    "error",
    [
        coachman.MessageCut(missing=3, received=4),
        coachman.ServerError("Server", 4711, coachman.Ending(7), "its last words"),
        coachman.ChannelTimeout("the time is used up"),
        coachman.PeerGone("nobody is there"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_can_go_to_another_process(error: Exception) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))


def test_a_name_that_is_not_public_is_missing() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        coachman.nonsense  # noqa: B018  # it is to fail


def test_the_version_is_that_of_the_package() -> None:
    assert metadata.version("coachman") == VERSION
