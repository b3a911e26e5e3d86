"""Processes that run as another user, which only root can start."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from coachman.errors import ConfigurationError
from coachman.supervisor.process.spawner import Account, SpawnedProcess, spawn
from coachman.unix.identity import Identity, closed_folder, find_identity

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes as another user")
USER = "nobody"


def identity_of(user: str | None = USER, group: str | None = None) -> Identity:
    identity = find_identity(user, group)
    assert identity is not None
    return identity


def all_output(spawned: SpawnedProcess) -> str:
    """Return what the process printed, on either pipe, and reap it."""
    printed = b""
    for fd in (spawned.stdout, spawned.stderr):
        while data := os.read(fd, 65536):
            printed += data
    for fd in (spawned.stdin, spawned.stdout, spawned.stderr):
        os.close(fd)
    assert spawned.child.wait(20) is not None
    spawned.child.close()
    return printed.decode()


@needs_root
def test_a_process_has_user_groups_and_umask(tmp_path: Path) -> None:
    identity = identity_of()
    command = ["/bin/sh", "-c", "id -u; id -g; id -G; umask"]
    printed = all_output(spawn(command, Path("/"), account=Account(identity, umask=0o027)))
    groups = " ".join(map(str, identity.groups))
    assert printed.split("\n") == [str(identity.uid), str(identity.gid), groups, "0027", ""]


@needs_root
def test_a_process_may_open_its_streams_by_name() -> None:
    command = ["/bin/sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr"]
    assert all_output(spawn(command, Path("/"), account=Account(identity_of()))) == "out\nerr\n"


@needs_root
def test_the_group_is_the_users_own_unless_another_is_named() -> None:
    assert identity_of().gid == pwd.getpwnam(USER).pw_gid
    assert identity_of(group="daemon").group == "daemon"
    assert identity_of(user=None, group="daemon").uid == os.geteuid()


def test_without_a_name_processes_stay_what_we_are() -> None:
    assert find_identity(None, None) is None


@pytest.mark.parametrize(("user", "group"), [("nobody-of-this-name", None), (None, "no-group-of-this-name")])
def test_a_name_that_does_not_exist_is_refused(user: str | None, group: str | None) -> None:
    with pytest.raises(ConfigurationError, match=f"{user or group}.*on this system"):
        find_identity(user, group)


@needs_root
def test_somebody_else_than_root_cannot_take_on_an_identity() -> None:
    pid = os.fork()
    if pid == 0:  # in the child, which gives up its identity
        status = 1
        try:
            os.setuid(pwd.getpwnam(USER).pw_uid)
            try:
                find_identity("root", None)
            except ConfigurationError as error:
                status = 0 if "only root can run applications as user 'root'" in str(error) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def stranger(*groups: int) -> Identity:
    """Return one who owns nothing here, and is in no groups but these."""
    return Identity("stranger", os.getuid() + 1, "strangers", os.getgid() + 1, groups, "/", "/bin/sh")


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder with a file in it, below folders that everybody may enter: those of pytest are not such."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        folder = Path(name, "closed")
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / "python").touch()
        yield folder


@pytest.mark.parametrize(
    ("mode", "groups", "may"),
    [(0o701, (), True), (0o770, (), False), (0o710, (os.getgid(),), True), (0o707, (os.getgid(),), False)],
)
def test_a_folder_that_somebody_may_not_enter_is_named(
    closed: Path, mode: int, groups: tuple[int, ...], may: bool
) -> None:
    closed.chmod(mode)
    found = closed_folder(str(closed / "inner" / "python"), stranger(*groups))
    assert found == (None if may else str(closed))


def test_a_folder_is_closed_as_well_that_a_link_leads_to(closed: Path) -> None:
    closed.chmod(0o700)
    link = closed.parent / "python"
    link.symlink_to(closed / "inner" / "python")
    assert closed_folder(str(link), stranger()) == str(closed)


def test_no_folder_is_closed_to_root(closed: Path) -> None:
    closed.chmod(0)
    root = Identity("root", 0, "root", 0, (), "/", "/bin/sh")
    assert closed_folder(str(closed / "inner" / "python"), root) is None
    closed.chmod(0o700)
