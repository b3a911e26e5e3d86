"""`coachman serve [APP]`: the ways to say which application it is."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from .applications import ONE_PROCESS, write_application
from .coachman_serve import CoachmanServe


def saying(text: str, attribute: str = "application") -> str:
    """Return the source of an application that answers every request with `text`."""
    return f"""
def {attribute}(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{text.encode()!r}]
"""


def answer_of(*arguments: str | Path, folder: Path) -> str:
    """Serve with `arguments` in `folder` and return what the application says."""
    with CoachmanServe(*arguments, *ONE_PROCESS, folder=folder) as server:
        answer = httpx.get(server.url, timeout=30, trust_env=False).raise_for_status().text
        assert server.stop() == 0, server.output()
    return answer


def test_the_application_is_an_attribute_of_a_module(tmp_path: Path) -> None:
    write_application(tmp_path / "shop", saying("a module", attribute="app"), name="web.py")
    (tmp_path / "shop" / "__init__.py").touch()
    assert answer_of("shop.web:app", folder=tmp_path) == "a module"


def test_a_module_alone_means_its_application(tmp_path: Path) -> None:
    write_application(tmp_path, saying("a module alone"), name="web.py")
    assert answer_of("web", folder=tmp_path) == "a module alone"


def test_the_attribute_may_lie_deeper(tmp_path: Path) -> None:
    site = "class site:\n    wsgi = staticmethod(answer)\n"
    write_application(tmp_path, saying("deeper", attribute="answer"), site, name="web.py")
    assert answer_of("web:site.wsgi", folder=tmp_path) == "deeper"


def test_the_application_is_a_file(tmp_path: Path) -> None:
    file = write_application(tmp_path / "site", saying("a file"), name="my-app.py")
    assert answer_of(file, folder=tmp_path) == "a file"
    assert answer_of("site/my-app.py", folder=tmp_path) == "a file"


def test_the_application_is_an_attribute_of_a_file(tmp_path: Path) -> None:
    write_application(tmp_path / "site", saying("an attribute of a file", attribute="app"), name="web.py")
    assert answer_of("site/web.py:app", folder=tmp_path) == "an attribute of a file"


@pytest.mark.parametrize("name", ["passenger_wsgi.py", "wsgi.py"])
def test_the_application_is_a_folder(tmp_path: Path, name: str) -> None:
    write_application(tmp_path / "site", saying(name), name=name)
    assert answer_of("site", folder=tmp_path) == name


def test_passengers_file_wins_over_wsgi_py(tmp_path: Path) -> None:
    for name in ("wsgi.py", "passenger_wsgi.py"):
        write_application(tmp_path / "site", saying(name), name=name)
    assert answer_of("site", folder=tmp_path) == "passenger_wsgi.py"


def test_without_an_application_the_current_folder_is_served(tmp_path: Path) -> None:
    write_application(tmp_path, saying("here"), name="passenger_wsgi.py")
    assert answer_of(folder=tmp_path) == "here"


def test_an_application_finds_its_neighbours_and_its_folder(tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_application(site, saying("a neighbour"), name="neighbour.py")
    (site / "note.txt").write_text("in the folder of the application")
    write_application(site, "from neighbour import application", "print(open('note.txt').read())")
    with CoachmanServe("site", *ONE_PROCESS, folder=tmp_path) as server:
        server.wait_for_output(r"App \d+ stdout: in the folder of the application\n")
        assert httpx.get(server.url, timeout=30, trust_env=False).text == "a neighbour"


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("empty", "no application in the folder {folder}/empty: it has none of passenger_wsgi.py, wsgi.py"),
        ("missing/", "there is no file {folder}/missing/"),
        ("missing.py", "there is no file {folder}/missing.py"),
        ("line\nbreak", "'{folder}/line\\nbreak' has a line break in it"),
        ("not a module", "'not a module' is neither a folder, nor a file, nor of the form module:attribute"),
    ],
)
def test_what_cannot_be_an_application_is_refused_at_once(
    tmp_path: Path, argument: str, complaint: str
) -> None:
    (tmp_path / "empty").mkdir()
    with CoachmanServe(argument, *ONE_PROCESS, folder=tmp_path) as server:
        status, output = server.outcome()
    assert status == 1
    assert output.startswith("coachman: " + complaint.format(folder=tmp_path).rstrip("/"))
    assert "Traceback" not in output


def test_as_many_processes_serve_as_were_asked_for(tmp_path: Path) -> None:
    write_application(tmp_path, saying("one of three"))
    with CoachmanServe("--bind", "127.0.0.1:0", "--processes", "3", folder=tmp_path) as server:
        pids = server.ready_workers(3)
        assert set(pids) == server.worker_pids()
        assert len(set(pids)) == 3
        assert server.stop() == 0, server.output()
        for pid in pids:
            assert f"(pid {pid}) ended" not in server.output(), "it was stopped, not replaced"
