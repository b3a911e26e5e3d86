"""From targets to paths below a folder."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coachman.protocol.static.paths import Mounts, make_mount, with_slash

MOUNTS = Mounts([make_mount("/assets", b"/srv/a"), make_mount("/assets/deep/", b"/srv/d")])
ROOT = Mounts([make_mount("/", b"/srv/r")])


@pytest.mark.parametrize(
    ("target", "path", "is_folder"),
    [
        (b"/assets/app.js", b"app.js", False),
        (b"/assets/app.js?v=1/../2", b"app.js", False),
        (b"/assets/css/x.css", b"css/x.css", False),
        (b"/assets/a%20b%C3%A4", b"a b\xc3\xa4", False),
        (b"/assets/%252e%252e/x", b"%2e%2e/x", False),
        (b"/assets/.well-known/x", b".well-known/x", False),
        (b"/assets/a..b", b"a..b", False),
        (b"/assets/css/", b"css", True),
        (b"/assets/", b"", True),
        (b"/assets", b"", False),
        (b"/assets?x", b"", False),
    ],
)
def test_targets_below_a_mount_lead_to_its_folder(target: bytes, path: bytes, is_folder: bool) -> None:
    place = MOUNTS.find(target)
    assert place == (b"/srv/a", path, is_folder)


def test_the_longest_prefix_counts() -> None:
    place = MOUNTS.find(b"/assets/deep/x")
    assert place is not None
    assert place.folder == b"/srv/d"


@pytest.mark.parametrize(
    "target",
    [b"/", b"/asset", b"/assetsx", b"/assets2/x", b"/other", b"*", b"", b"assets/x", b"//assets/x",
     b"/assets//", b"/assets//x", b"/assets/x//", b"/assets/x//y",
     b"/assets/..", b"/assets/../x", b"/assets/x/../y", b"/assets/x/..", b"/assets/.", b"/assets/./x",
     b"/assets/%2e%2e/x", b"/assets/.%2e/x", b"/assets/%2E%2E%2Fx", b"/assets/x%2fy", b"/assets/%2fetc",
     b"/assets/..%5cx", b"/assets/..\\x", b"/assets/\\x", b"/assets/%5c", b"/assets/x%00.js", b"/assets/%00",
     b"/assets/.git/config", b"/assets/x/.env", b"/assets/%2eenv", b"/assets/.well-known/.htpasswd"],
)  # fmt: skip
def test_nothing_else_leads_to_a_file(target: bytes) -> None:
    assert MOUNTS.find(target) is None


@given(st.binary(max_size=40))
@example(b"..")
@example(b"%2e%2e/")
def test_no_target_leads_out_of_the_folder(rest: bytes) -> None:
    for mounts, prefix in ((MOUNTS, b"/assets/"), (ROOT, b"/")):
        place = mounts.find(prefix + rest)
        if place is not None:
            assert b"\0" not in place.path
            assert not place.path.startswith(b"/")
            assert posixpath.normpath(place.path or b".") == (place.path or b".")
            assert b".." not in place.path.split(b"/")


def test_a_mount_at_the_root_takes_every_path() -> None:
    assert ROOT.find(b"/x") == (b"/srv/r", b"x", False)
    assert ROOT.find(b"/") == (b"/srv/r", b"", True)
    assert ROOT.find(b"//evil.example/x") is None
    assert ROOT.find(b"*") is None


def test_a_prefix_with_a_space_is_met_as_it_is_sent() -> None:
    mounts = Mounts([make_mount("/my files", b"/srv")])
    assert mounts.find(b"/my%20files/x") == (b"/srv", b"x", False)


@given(st.binary(max_size=40))
def test_a_redirect_leads_nowhere_else_and_breaks_no_header(rest: bytes) -> None:
    target = b"/" + rest
    place = ROOT.find(target)
    if place is not None and not place.is_folder:
        location = with_slash(target)
        assert location.isascii()
        assert location.isprintable()
        assert "\\" not in location
        assert not location.startswith("//")


def test_a_redirect_keeps_the_query() -> None:
    assert with_slash(b"/assets/css?a=1&b=%20") == "/assets/css/?a=1&b=%20"
