import os
import sys
from pathlib import Path

import pytest

from coachman.errors import ApplicationError
from coachman.worker.__main__ import load
from coachman.worker.account import check_account, check_folder, set_limits
from coachman.worker.reporter import Reporter


def request(**changes: str) -> dict[str, str]:
    """Return the fields for the account that this process has, with changes."""
    groups = ",".join(map(str, {*os.getgroups(), os.getgid()}))
    return {"uid": str(os.getuid()), "gid": str(os.getgid()), "groups": groups, **changes}


def test_the_account_that_was_meant_may_go_on() -> None:
    check_account(request())


def test_where_none_was_named_any_may_go_on() -> None:
    check_account({})


@pytest.mark.parametrize(
    "changes",
    [{"uid": str(os.getuid() + 1)}, {"gid": str(os.getgid() + 1)}, {"groups": "64000,64001"}],
    ids=["user", "group", "supplementary groups"],
)
def test_another_account_stops_the_start(changes: dict[str, str]) -> None:
    with pytest.raises(ApplicationError, match="was to run as user"):
        check_account(request(**changes))


def test_a_limit_that_is_refused_is_named() -> None:
    with pytest.raises(ApplicationError, match="cannot set the limit nofile=999999999999"):
        set_limits({"limits": "nofile=999999999999"})


def test_a_folder_that_may_be_read_is_no_obstacle(tmp_path: Path) -> None:
    check_folder(str(tmp_path))


def test_a_folder_that_may_not_be_read_is_named_and_not_the_one_below_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = "/srv/closed"
    monkeypatch.setattr(os, "access", lambda path, mode: not path.startswith(closed))
    with pytest.raises(ApplicationError, match="may not look into the folder /srv/closed:"):
        check_folder("/srv/closed/site/app")


def test_even_the_root_of_all_folders_may_be_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ApplicationError, match="may not look into the folder /:"):
        check_folder("/srv/site")


def test_a_start_looks_at_the_folder_before_it_imports(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    request = {"app_root": str(tmp_path), "startup_module": "no_such_module", "startup_attribute": "app"}
    with pytest.raises(ApplicationError, match="may not look into the folder"):
        load(request, Reporter(-1))
