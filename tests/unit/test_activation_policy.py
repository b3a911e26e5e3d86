import pytest

from coachman.policy.activation import Listening, Passed, covers, owner, still_to_bind

SITE = Listening("site", ["127.0.0.1:8000"])
BLOG = Listening("blog", ["unix:/run/blog.sock", "127.0.0.1:8001"])
BOTH = [SITE, BLOG]


@pytest.mark.parametrize(
    ("passed", "application"),
    [
        (Passed("blog", "127.0.0.1:8000"), "blog"),
        (Passed("blog.socket", "10.0.0.1:80"), "blog"),
        (Passed("http", "127.0.0.1:8001"), "blog"),
        (Passed("http", "unix:/run/blog.sock"), "blog"),
        (Passed("http", "[::]:8000"), "site"),
        (Passed("http", "0.0.0.0:8001"), "blog"),
        (Passed("http", "10.0.0.1:8000"), None),
        (Passed("", "unix:/run/other.sock"), None),
    ],
)
def test_a_socket_goes_to_whom_it_is_named_after_or_who_listens_there(
    passed: Passed, application: str | None
) -> None:
    assert owner(passed, BOTH) == application


def test_a_single_application_gets_whatever_is_passed() -> None:
    assert owner(Passed("http", "10.0.0.1:80"), [SITE]) == "site"


def test_what_a_passed_socket_covers_is_not_bound_again() -> None:
    assert still_to_bind(BLOG.addresses, ["unix:/run/blog.sock"], default=[]) == ["127.0.0.1:8001"]
    assert still_to_bind(BLOG.addresses, ["unix:/run/blog.sock", "[::]:8001"], default=[]) == []


def test_the_default_address_gives_way_to_any_socket() -> None:
    default = ["127.0.0.1:8000"]
    assert still_to_bind(SITE.addresses, ["unix:/run/blog.sock"], default=default) == []
    assert still_to_bind(SITE.addresses, [], default=default) == default


def test_a_path_that_ends_like_a_port_is_none() -> None:
    assert not covers("0.0.0.0:8000", "unix:/run/site:8001")
    assert not covers("unix:/run/x:8000", "127.0.0.1:8000")
