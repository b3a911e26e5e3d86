"""An error put into words, and the neighbourhood in which a missing module is looked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coachman import hooks
from coachman.errors import ApplicationError
from coachman.worker.application import load_application
from coachman.worker.import_clock import ImportClock
from coachman.worker.load_failure import cause_of, describe_load_failure, innermost_place, traceback_of
from coachman.worker.neighbourhood import folder_with, virtual_environments_with
from coachman.worker.report import installed_packages


@pytest.fixture
def failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], BaseException]:
    monkeypatch.setattr(sys, "path", list(sys.path))

    def load(source: str) -> BaseException:
        file = tmp_path / "some_app.py"
        file.write_text(source)
        try:
            load_application(root=str(tmp_path), file=str(file), module=None, attribute="application")
        except BaseException as error:
            # As it is in the wrapper, where every frame outside is the wrapper's own.
            own = error.__traceback__
            return error.with_traceback(own and own.tb_next)
        finally:
            sys.modules.pop("some_app", None)
        raise AssertionError("it was loaded")

    return load


def test_the_traceback_is_the_applications_alone(
    failed: Callable[[str], BaseException], tmp_path: Path
) -> None:
    error = failed("def deep():\n    1 / 0\n\ndeep()")
    text = traceback_of(error)
    assert text.splitlines()[1] == f'  File "{tmp_path}/some_app.py", line 4, in <module>'
    assert "importlib" not in text
    assert "coachman" not in text
    assert innermost_place(error) == (f"{tmp_path}/some_app.py", 2)


@pytest.mark.parametrize("call", ["os.environ['NO_SUCH_VARIABLE']", "json.loads('{')"])
def test_the_place_is_the_applications_own_and_not_that_of_a_library_it_called(
    failed: Callable[[str], BaseException], tmp_path: Path, call: str
) -> None:
    error = failed(f"import json, os\n\n{call}")
    assert innermost_place(error) == (f"{tmp_path}/some_app.py", 3)


def test_a_hook_that_fails_is_shown_without_our_own_frames(tmp_path: Path) -> None:
    calls = hooks._before_fork[:]
    try:
        hooks._before_fork[:] = [lambda: 1 / 0]
        with pytest.raises(ZeroDivisionError) as failure:
            hooks.run_before_fork()
    finally:
        hooks._before_fork[:] = calls
    assert "hooks.py" not in traceback_of(failure.value)
    assert "in <lambda>" in traceback_of(failure.value)


def test_causes_are_shown_without_the_wrappers_frames(failed: Callable[[str], BaseException]) -> None:
    text = traceback_of(
        failed("try:\n    import no_such\nexcept ImportError as e:\n    raise KeyError('x') from e")
    )
    assert text.count("Traceback (most recent call last)") == 2
    assert "load_application" not in text


def test_a_syntax_error_has_its_place_and_no_header(
    failed: Callable[[str], BaseException], tmp_path: Path
) -> None:
    error = failed("x = 1\ndef (:")
    assert cause_of(error).startswith("SyntaxError: invalid syntax")
    assert "Traceback" not in traceback_of(error)
    assert innermost_place(error) == (f"{tmp_path}/some_app.py", 2)


def test_our_own_error_needs_no_traceback(failed: Callable[[str], BaseException], tmp_path: Path) -> None:
    error = failed("app = 1")
    assert isinstance(error, ApplicationError)
    assert describe_load_failure(error) == (
        f"the application could not be loaded: {tmp_path}/some_app.py has no 'application'"
    )


def test_an_error_that_cannot_be_printed_is_named(failed: Callable[[str], BaseException]) -> None:
    error = failed("class Odd(Exception):\n    def __str__(self):\n        raise ValueError\nraise Odd")
    assert cause_of(error) == "some_app.Odd: <its __str__ failed with ValueError>"
    assert "Traceback" in describe_load_failure(error)


def test_a_module_is_found_in_a_virtual_environment_nearby(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    root = tmp_path / "project" / "web"
    packages = tmp_path / "project" / "venv" / "lib" / "python3.11" / "site-packages"
    (packages / "markdown").mkdir(parents=True)
    root.mkdir()
    assert virtual_environments_with("markdown.util", str(root)) == (), "a folder without pyvenv.cfg is none"
    (tmp_path / "project" / "venv" / "pyvenv.cfg").touch()
    assert virtual_environments_with("markdown", str(root)) == (), "a folder without Python is no package"
    (packages / "markdown" / "__init__.py").touch()
    (found,) = virtual_environments_with("markdown.util", str(root))
    assert found.folder == str(tmp_path / "project" / "venv")
    assert found.coachman is None
    assert virtual_environments_with("yaml", str(root)) == ()


def test_what_a_pth_file_names_is_part_of_a_virtual_environment(tmp_path: Path) -> None:
    packages = tmp_path / ".venv" / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    (tmp_path / ".venv" / "pyvenv.cfg").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "shop.py").touch()
    (packages / "editable.pth").write_text(f"import os\n\n{tmp_path}/elsewhere\n")
    assert [found.folder for found in virtual_environments_with("shop", str(tmp_path))] == [
        str(tmp_path / ".venv")
    ]


def test_the_environment_in_use_is_not_one_nobody_activated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".venv" / "lib" / "python3" / "site-packages").mkdir(parents=True)
    (tmp_path / ".venv" / "lib" / "python3" / "site-packages" / "shop.py").touch()
    (tmp_path / ".venv" / "pyvenv.cfg").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert virtual_environments_with("shop", str(tmp_path)) == ()


def test_a_module_is_found_in_a_folder_nearby(tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "src" / "shop").mkdir(parents=True)
    (root / "src" / "shop" / "__init__.py").touch()
    (tmp_path / "settings.py").touch()
    assert folder_with("shop.views", str(root)) == str(root / "src")
    assert folder_with("settings", str(root)) == str(tmp_path)
    assert folder_with("no_such_module_anywhere", str(root)) is None


def test_the_installed_packages_are_named_with_their_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coachman.worker.report.PACKAGES_SECONDS", 60.0)  # however busy the machine is
    packages, complete = installed_packages()
    assert complete
    assert dict(packages)["coachman"]


def test_the_clock_measures_imports_and_leaves_tracebacks_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clocked_outer.py").write_text("import clocked_inner\n")
    (tmp_path / "clocked_inner.py").write_text("")
    (tmp_path / "clocked_broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with ImportClock() as clock:
        __import__("clocked_outer")
        with pytest.raises(ZeroDivisionError) as caught:
            __import__("clocked_broken")
    inner, outer = clock.imports
    assert (inner.name, inner.importers) == ("clocked_inner", ("clocked_outer",))
    assert outer.seconds == pytest.approx(outer.self_seconds + inner.seconds)
    assert [Path(entry.path).name for entry in caught.traceback[1:]] == ["clocked_broken.py"]
    for name in ("clocked_outer", "clocked_inner"):
        del sys.modules[name]
