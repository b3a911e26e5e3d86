import pytest

from coachman.config.resource_limits import Limit, parse_limit
from coachman.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("nofile=512", Limit("nofile", "512")),
        ("NOFILE=512:1024", Limit("nofile", "512", "1024")),
        ("core=0:unlimited", Limit("core", "0", "unlimited")),
    ],
)
def test_a_limit_is_read_and_written_alike(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit
    assert parse_limit(str(limit)) == limit


@pytest.mark.parametrize(
    "text", ["nofile", "nofile=", "nofile=many", "nofile=1:", "nofile=-1", "nofile=1:2:3"]
)
def test_a_value_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="NAME=SOFT"):
        parse_limit(text)


def test_an_unknown_limit_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"'files' in 'files=3'.*nofile"):
        parse_limit("files=3")
