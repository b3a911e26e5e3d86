"""Values without dataclasses."""

import copy
import pickle

import pytest

from coachman.protocol.value import Value


class Point(Value):
    x: int
    y: int = 2


class Other(Value):
    x: int
    y: int = 2


def test_fields_are_given_by_position_or_name() -> None:
    assert Point(1) == Point(x=1, y=2) == Point(1, y=2)
    assert repr(Point(1)) == "Point(x=1, y=2)"


@pytest.mark.parametrize(("args", "names"), [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1})])
def test_a_missing_field_and_one_too_many_are_refused(args: tuple[int, ...], names: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="Point"):
        Point(*args, **names)


def test_values_of_different_classes_differ() -> None:
    assert Point(1) != Other(1)
    assert len({Point(1), Point(1, 2), Other(1)}) == 2


def test_a_value_cannot_be_changed() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="Point cannot be changed: 'x'"):
        point.x = 3  # type: ignore[misc]  # it is to fail
    with pytest.raises(AttributeError, match="Point cannot be changed: 'x'"):
        del point.x


def test_a_value_is_matched_and_copied() -> None:
    match Point(1, 5):
        case Point(x, y):
            assert (x, y) == (1, 5)
    assert copy.deepcopy(Point(1)) == pickle.loads(pickle.dumps(Point(1))) == Point(1)
