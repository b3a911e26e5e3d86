"""The report on the wire."""

import pytest

from coachman.protocol.application_report import SIZE_LIMIT, decode_report, encode_report
from coachman.protocol.text import sendable

from .failures import report


def test_a_report_comes_back() -> None:
    assert decode_report(encode_report(report())) == report()


def test_a_report_of_a_wrapper_that_tells_more_or_less_is_read() -> None:
    assert decode_report(b'{"cause": "x", "of_tomorrow": [1]}').cause == "x"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"line": "three"}', b"\xff"])
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not readable"):
        decode_report(data)


def test_what_is_too_large_is_sent_without_what_tells_least() -> None:
    many = tuple((f"package-{number}", "1.0") for number in range(60_000))
    data = encode_report(report(packages=many))
    assert len(data) <= SIZE_LIMIT
    assert decode_report(data).environment
    assert not decode_report(data).packages_complete
    huge = encode_report(report(packages=many, message="m" * 2 * SIZE_LIMIT, traceback="t" * SIZE_LIMIT))
    assert len(huge) <= SIZE_LIMIT
    assert decode_report(huge).error == report().error


def test_any_text_can_be_sent() -> None:
    assert sendable("caf\u00e9 \udcff \ud800") == "caf\u00e9 \\udcff \\ud800"
