"""What of an environment is shown."""

import pytest

from coachman.protocol.masking import LONGEST_VALUE, MASK, looks_secret, masked


@pytest.mark.parametrize(
    "name",
    [
        "SECRET_KEY", "API_KEY", "APIKEY", "STRIPE_KEY", "KEY", "GITHUB_TOKEN", "TOKEN2", "DB_PASSWORD",
        "PGPASSWORD", "MYSQL_PWD", "FTP_PASS", "PASSPHRASE", "AWS_CREDENTIALS", "BASIC_AUTH", "SENTRY_DSN",
        "client_secret", "JWT", "PRIVATE_PEM", "AWS_ACCESS_KEY_ID", "SESSION_COOKIE", "DB_PASS_1",
        "GITHUB_PAT", "SLACK_WEBHOOK_URL",
    ],
)  # fmt: skip
def test_a_name_that_looks_secret_is_masked(name: str) -> None:
    assert masked({name: "hush"}) == {name: MASK}


@pytest.mark.parametrize(
    "name",
    ["PATH", "PWD", "OLDPWD", "KEYBOARD", "COMPASS", "AUTHOR", "HOME", "LANG", "MONKEY", "SSH_AUTH_SOCK"],
)
def test_a_harmless_name_is_not(name: str) -> None:
    assert not looks_secret(name)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgres://u:p@db.example/x", f"postgres://{MASK}@db.example/x"),
        ("redis://:p/w@host:6379/0", f"redis://{MASK}@host:6379/0"),
        ("https://example.com/?a=1&token=abc&b=2", f"https://example.com/?a=1&token={MASK}&b=2"),
        ("host=db user=u password=p sslmode=on", f"host=db user=u password={MASK} sslmode=on"),
        ("user=u password='p \\' q; r' sslmode=on", f"user=u password={MASK} sslmode=on"),
        ('password: "p q"; user: u', f"password: {MASK}; user: u"),
        ("password='p q", f"password={MASK} q"),
        ('{"user": "u", "db_password": "p q"}', f'{{"user": "u", "db_password": {MASK}}}'),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n", f"-----BEGIN RSA PRIVATE KEY----- {MASK}"),
        ("Authorization: Bearer abc.def-1", f"Authorization: Bearer {MASK}"),
        ("https://example.com/a@b", f"https://{MASK}@b"),
        ("/usr/bin:/bin", "/usr/bin:/bin"),
    ],
)
def test_a_secret_inside_a_value_is_masked(value: str, shown: str) -> None:
    assert masked({"SETTING": value}) == {"SETTING": shown}


def test_a_long_value_takes_no_longer_for_the_dots_in_it() -> None:
    dotted = "a." * 100_000  # minutes, where each dot might begin a scheme
    assert masked({"X": f"{dotted}://u:p@host"})["X"] == dotted[:LONGEST_VALUE] + "..."


def test_an_empty_value_is_shown_as_such() -> None:
    assert masked({"SECRET_KEY": ""}) == {"SECRET_KEY": ""}


def test_names_are_sorted_and_values_are_bounded() -> None:
    shown = masked({"B": "x" * 10_000, "A": "1"})
    assert list(shown) == ["A", "B"]
    assert len(shown["B"]) == LONGEST_VALUE + len("...")
