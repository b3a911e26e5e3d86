"""`coachman systemd-unit`, looked at by systemd itself."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from .applications import HELLO, write_application
from .coachman_serve import COMMAND
from .programs import installed

MOST_EXPOSURE = 2.5
"""Of 10, as `systemd-analyze security` counts; 9.6 is a service without any confinement."""


class SystemdAnalyze:
    """systemd's own checks, which need no running systemd."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, *arguments: str | Path) -> str:
        """Return what it says; fails where it objects."""
        done = subprocess.run(
            [self._path, *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="session")
def systemd_analyze() -> SystemdAnalyze:
    return SystemdAnalyze(installed("systemd", "systemd-analyze"))


def systemd_unit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(COMMAND), "systemd-unit", *arguments]
    environment = {**os.environ, "COACHMAN_ENVIRONMENT": "staging, $50%"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def write_unit(folder: Path, name: str, *arguments: str) -> Path:
    done = systemd_unit(folder, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    path = folder / name
    path.write_text(done.stdout)
    return path


@pytest.mark.parametrize("folder", ["site", "my site 50%"])
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--user", "www-data", "--group", "www-data", "--bind", "0.0.0.0:80", "--processes", "2-8"),
        ("wsgi:application", "--env", 'GREETING=say "hi", $USER; 100%', "--bind", "unix:site.sock"),
    ],
    ids=["bare", "user", "words"],
)
def test_systemd_accepts_the_service(
    tmp_path: Path, systemd_analyze: SystemdAnalyze, folder: str, options: tuple[str, ...]
) -> None:
    site = tmp_path / folder
    write_application(site, HELLO)
    unit = write_unit(site, "site.service", *options)
    assert systemd_analyze("verify", "--man=no", unit) == ""


def test_systemd_accepts_the_socket_with_its_service(tmp_path: Path, systemd_analyze: SystemdAnalyze) -> None:
    write_application(tmp_path, HELLO)
    options = ("--bind", "127.0.0.1:8123", "--bind", "[::1]:8123", "--bind", "unix:/run/site.sock")
    write_unit(tmp_path, "site.service", *options)
    unit = write_unit(tmp_path, "site.socket", "--socket", *options)
    assert systemd_analyze("verify", "--man=no", unit) == ""


def test_systemd_finds_little_to_attack(tmp_path: Path, systemd_analyze: SystemdAnalyze) -> None:
    write_application(tmp_path, HELLO)
    unit = write_unit(tmp_path, "site.service", "--user", "www-data")
    said = systemd_analyze("security", "--offline=yes", "--no-pager", unit)
    exposure = re.search(r"exposure level for site\.service: ([\d.]+)", said)
    assert exposure is not None, said
    assert float(exposure[1]) <= MOST_EXPOSURE


def test_what_it_starts_is_what_was_asked_for(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    text = systemd_unit(tmp_path, "wsgi:application", "--user", "www", "--processes", "3").stdout
    [start] = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert start.startswith(f"{COMMAND} serve wsgi:application --processes 3 --runtime-folder /run/coachman/")
    assert re.findall(r"^User=(.*)$", text, re.MULTILINE) == ["www"]
    assert f"WorkingDirectory={tmp_path}\n" in text
    assert 'Environment="COACHMAN_ENVIRONMENT=staging, $50%%"\n' in text


def test_the_variables_that_it_takes_along_are_heeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_application(tmp_path, HELLO)
    monkeypatch.setenv("COACHMAN_APP", "wsgi:application")
    monkeypatch.setenv("COACHMAN_BIND", "0.0.0.0:80")
    monkeypatch.setenv("COACHMAN_LOG_FILE", "/var/log/site/log")
    monkeypatch.setenv("COACHMAN_DRAIN_TIMEOUT", "5m")
    text = systemd_unit(tmp_path, "--user", "www").stdout
    assert "Environment=COACHMAN_APP=wsgi:application\n" in text
    assert "Environment=COACHMAN_BIND=0.0.0.0:80\n" in text
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" in text
    assert f"ReadWritePaths=-{tmp_path} -/var/log/site\n" in text
    assert "TimeoutStopSec=310\n" in text
    assert "ListenStream=0.0.0.0:80\n" in systemd_unit(tmp_path, "--socket").stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--bind", "nonsense"), "neither HOST:PORT nor unix:PATH"),
        (("--no-such-option",), "No such option"),
        (("missing.py",), "missing"),
    ],
)
def test_what_serve_would_refuse_is_refused(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    write_application(tmp_path, HELLO)
    done = systemd_unit(tmp_path, *arguments)
    assert done.returncode != 0
    assert why in done.stderr
    assert done.stdout == ""
