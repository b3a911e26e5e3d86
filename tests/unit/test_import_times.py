"""Import times, added up."""

import pytest

from coachman.protocol.import_times import ModuleImport, PackageImport, by_package, from_fields, to_fields


def test_times_are_added_up_by_package() -> None:
    packages = by_package(
        [
            ModuleImport("other", 0.3, 0.3, ("web", "web.views")),
            ModuleImport("web.views", 0.2, 0.5, ("web",)),
            ModuleImport("web", 0.5, 1.0, ()),
            ModuleImport("web.late", 0.1, 0.1, ()),
        ]
    )
    assert [package.name for package in packages] == ["web", "other"]
    web, other = packages
    assert web.self_seconds == pytest.approx(0.8)
    assert web.seconds == pytest.approx(1.1), "web.views is in the time of web already"
    assert web.modules == 3
    assert other == PackageImport("other", 0.3, 0.3, 1)


def test_what_is_told_comes_back() -> None:
    packages = by_package([ModuleImport("a", 0.25, 0.25, ()), ModuleImport("odd name", 0.5, 0.5, ())])
    assert list(from_fields(to_fields(packages))) == packages


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="unpack"):
        from_fields(["a 1"])
