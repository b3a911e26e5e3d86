import gc
from collections.abc import Iterator

import pytest

from coachman.worker.collecting import WHILE_LOADING, seldom_collecting


@pytest.fixture(autouse=True)
def usual() -> Iterator[tuple[int, int, int]]:
    usual = gc.get_threshold()
    yield usual
    gc.set_threshold(*usual)


def test_garbage_is_looked_for_seldom_until_the_application_is_loaded(usual: tuple[int, int, int]) -> None:
    with seldom_collecting():
        assert gc.get_threshold() == (WHILE_LOADING, *usual[1:])
        assert gc.isenabled()
    assert gc.get_threshold() == usual


def test_it_is_as_before_when_the_application_cannot_be_loaded(usual: tuple[int, int, int]) -> None:
    with pytest.raises(ZeroDivisionError), seldom_collecting():
        raise ZeroDivisionError
    assert gc.get_threshold() == usual


def test_what_the_application_sets_stays() -> None:
    with seldom_collecting():
        gc.set_threshold(1234, 5, 6)
    assert gc.get_threshold() == (1234, 5, 6)
