"""The account, the limits and the environment of an application's processes."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
from pathlib import Path
from typing import Any, Final

import pytest

from .applications import ONE_PROCESS, write_application
from .coachman_serve import CoachmanServe
from .raw_client import RawClient

WHO: Final = """
import json, os, resource

def application(environ, start_response):
    start_response("200 OK", [])
    umask = os.umask(0)
    os.umask(umask)
    return [json.dumps({
        "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(), "umask": umask,
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
        "environment": dict(os.environ),
    }).encode()]
"""

METHODS: Final = pytest.mark.parametrize("method", ["preload", "direct"])


IS_ROOT: Final = os.geteuid() == 0


def ask(server: CoachmanServe, name: str = "") -> Any:
    with RawClient(server.url_of(name) if name else server.url) as client:
        client.get()
        return json.loads(client.answer().body)


@METHODS
def test_limits_and_umask_hold_before_the_first_import(tmp_path: Path, method: str) -> None:
    at_import = """
    import os, resource
    print("imported with", os.umask(0o077), *resource.getrlimit(resource.RLIMIT_NOFILE))
    os.umask(0o027)
    """
    write_application(tmp_path, at_import, WHO)
    options = ("--limit", "nofile=200:300", "--umask", "027", "--spawn-method", method)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *options) as server:
        who = ask(server)
        server.wait_for_output(f"imported with {0o027} 200 300\n")
    assert who["nofile"] == [200, 300]
    assert who["umask"] == 0o027


@METHODS
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run applications with another group")
def test_the_account_holds_before_the_first_import(tmp_path: Path, method: str) -> None:
    at_import = "import os\nprint('imported with', os.getresgid(), os.getgroups())"
    write_application(tmp_path, at_import, WHO)
    daemon = grp.getgrnam("daemon").gr_gid
    groups = os.getgrouplist(pwd.getpwuid(0).pw_name, daemon)
    options = ("--group", "daemon", "--spawn-method", method)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *options) as server:
        who = ask(server)
        server.wait_for_output(re.escape(f"imported with {(daemon,) * 3} {sorted(groups)}"))
    assert (who["uid"], who["gid"], sorted(who["groups"])) == (0, daemon, sorted(groups))


@METHODS
def test_the_environment_is_what_was_configured(tmp_path: Path, method: str) -> None:
    write_application(tmp_path, WHO)
    options = ("--env", "COLOUR=blue", "--environment", "staging", "--spawn-method", method)
    ours = {"COACHMAN_TOKEN": "secret", "NOTIFY_SOCKET": "/run/notify", "KEPT": "yes", "COLOUR": "red"}
    with CoachmanServe(tmp_path, *ONE_PROCESS, *options, environment=ours) as server:
        environment = ask(server)["environment"]
    assert (environment["COLOUR"], environment["KEPT"]) == ("blue", "yes")
    assert "NOTIFY_SOCKET" not in environment
    told = {name: value for name, value in environment.items() if name.startswith("COACHMAN_")}
    assert told.keys() == {
        "COACHMAN_VERSION",
        "COACHMAN_APP_ROOT",
        "COACHMAN_ENVIRONMENT",
        "COACHMAN_GENERATION",
        "COACHMAN_SPAWN_METHOD",
    }
    assert told["COACHMAN_ENVIRONMENT"] == "staging"
    assert told["COACHMAN_APP_ROOT"] == str(tmp_path)


def test_each_application_of_a_file_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "who.py").write_text(WHO)
    (tmp_path / "coachman.toml").write_text(
        "processes = 1\nlimit = ['nofile=200:300']\n"
        "[applications.first]\napp = 'who'\nbind = '127.0.0.1:0'\numask = '027'\nenv = { COLOUR = 'blue' }\n"
        "[applications.second]\napp = 'who'\nbind = '127.0.0.1:0'\nlimit = ['nofile=150:250']\n"
        "environment = 'staging'\n"
        # In the folder of a test nobody else may run anything, and that is enough to tell that it was tried.
        + ("[applications.third]\napp = 'who'\nbind = '127.0.0.1:0'\nuser = 'nobody'\n" if IS_ROOT else "")
    )
    with CoachmanServe(folder=tmp_path) as server:
        first, second = (ask(server, name) for name in ("first", "second"))
        if IS_ROOT:
            server.wait_for_output("third is tried again in .*the user 'nobody' has to be allowed into every")
        assert server.stop() == 0
    assert (first["nofile"], second["nofile"]) == ([200, 300], [150, 250])
    assert (first["umask"], second["umask"] == 0o027) == (0o027, False)
    assert (first["environment"]["COLOUR"], second["environment"].get("COLOUR")) == ("blue", None)
    environments = [who["environment"]["COACHMAN_ENVIRONMENT"] for who in (first, second)]
    assert environments == ["production", "staging"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run applications as another user")
def test_a_user_who_may_not_reach_the_application_is_named(tmp_path: Path) -> None:
    write_application(tmp_path, WHO)
    tmp_path.chmod(0o700)
    with CoachmanServe(tmp_path, *ONE_PROCESS, "--user", "nobody") as server:
        status, output = server.outcome()
    assert status == 1
    # Whether the interpreter or only the application is out of reach depends on where the former lies.
    interpreter = (
        r"the user 'nobody' has to be allowed into every folder on the way there, and may not enter /"
    )
    application = rf"the user 'nobody' may not look into the folder {re.escape(str(tmp_path))}:"
    assert re.search(f"{interpreter}|{application}", output), output


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--user", "nobody-of-this-name"), "there is no user 'nobody-of-this-name'"),
        (("--limit", "nofile=100000000000"), "cannot set the limit nofile=100000000000"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, options: tuple[str, ...], complaint: str) -> None:
    write_application(tmp_path, WHO)
    with CoachmanServe(tmp_path, *ONE_PROCESS, *options) as server:
        status, output = server.outcome()
    assert status == 1
    assert complaint in output


@pytest.mark.parametrize(
    "options",
    [("--umask", "9"), ("--umask", "1000"), ("--env", "NOVALUE"), ("--env", "=x"), ("--limit", "files=1")],
)
def test_wrong_usage_is_exit_status_2(tmp_path: Path, options: tuple[str, ...]) -> None:
    with CoachmanServe(tmp_path, *options) as server:
        status, output = server.outcome()
    assert status == 2
    assert options[1] in output
