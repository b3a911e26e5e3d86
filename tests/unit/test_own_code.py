"""Which frame of a stack is looked at first."""

import pytest

from coachman.policy.own_code import first_to_look_at

OWN = "/srv/app/wsgi.py"
PACKAGE = "/srv/app/.venv/lib/python3.11/site-packages/flask/app.py"
DEBIANS_PACKAGE = "/usr/lib/python3/dist-packages/flask/app.py"
STANDARD = "/usr/lib/python3.11/json/decoder.py"
FROZEN = "<frozen os>"


@pytest.mark.parametrize(
    ("files", "position"),
    [
        ([OWN, "/srv/app/other.py"], 0),
        ([STANDARD, OWN], 1),
        ([FROZEN, OWN], 1),
        ([PACKAGE, STANDARD, OWN, PACKAGE], 2),
        ([DEBIANS_PACKAGE, OWN], 1),
        ([STANDARD, PACKAGE], 1),
        ([FROZEN, STANDARD], 0),
        (["/opt/python/lib64/python3.14t/json/decoder.py", OWN], 1),
    ],
)
def test_the_innermost_frame_of_the_applications_own_comes_first(files: list[str], position: int) -> None:
    assert first_to_look_at(files) == position


def test_where_there_are_no_frames_there_is_nothing_to_look_at() -> None:
    assert first_to_look_at([]) is None
