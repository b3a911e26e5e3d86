"""What is told of a start that fails, and in which order."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import pytest

from coachman.protocol.application_report import decode_report
from coachman.worker.reporter import Reporter
from coachman.worker.start import StartReported, explained
from coachman.worker.wrapper import Wrapper


class Told(Reporter, Wrapper):
    """Both ways to the supervisor, as a list of what went there."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def raised(self) -> None:
        self.told.append(("raised", ""))

    def report(self, data: bytes) -> None:
        self.told.append(("report", decode_report(data).cause))

    def error(self, text: str) -> None:
        self.told.append(("error", text.partition("\n")[0]))


def test_the_moment_of_the_error_is_told_before_anything_is_collected_about_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    told = Told()

    def load() -> NoReturn:
        raise LookupError("no database")

    with pytest.raises(StartReported):
        explained(load, wrapper=told, reporter=told, root=str(tmp_path))
    assert told.told == [
        ("raised", ""),
        ("report", "LookupError: no database"),
        ("error", "the application could not be loaded: LookupError: no database"),
    ]
