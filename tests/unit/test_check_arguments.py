"""Both readers of check's arguments, which have to agree."""

import click
import pytest

from coachman.cli.check import check
from coachman.cli.check_arguments import CheckArguments, parse_plainly


def parsed_by_click(arguments: list[str]) -> CheckArguments:
    values = check.make_context("check", list(arguments)).params
    return CheckArguments(values["application"], values["html"], values["json"], values["timeout"])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["app.py"],
        ["app.wsgi:app", "--json"],
        ["--html", "x.html", "site"],
        ["--timeout", "2.5", "--json", "--html", "a b.html", "."],
        ["--html", "first", "--html", "second"],
    ],
)
def test_what_is_spelled_out_is_read_alike(arguments: list[str]) -> None:
    assert parse_plainly(arguments) == parsed_by_click(arguments)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["-h"], ["a", "b"], ["--html"], ["--html=x"], ["--timeout", "soon"], ["--timeout", "0"],
     ["--timeout", "-1"], ["--timeout", "nan"], ["--jsn"], ["--", "-x"], [""]],
)  # fmt: skip
def test_everything_else_is_left_to_the_library(arguments: list[str]) -> None:
    assert parse_plainly(arguments) is None


def test_wrong_usage_is_refused_by_the_library() -> None:
    with pytest.raises(click.UsageError):
        parsed_by_click(["a", "b"])
