from pathlib import Path

import pytest

from coachman.config.addresses import TcpAddress, UnixAddress, parse_address
from coachman.config.application_location import locate_application
from coachman.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "address", "url"),
    [
        ("127.0.0.1:8000", TcpAddress("127.0.0.1", 8000), "http://127.0.0.1:8000"),
        ("localhost:0", TcpAddress("localhost", 0), "http://localhost:0"),
        ("[::1]:80", TcpAddress("::1", 80), "http://[::1]:80"),
        ("unix:/run/app.sock", UnixAddress(Path("/run/app.sock")), "unix:/run/app.sock"),
    ],
)
def test_an_address_is_read(text: str, address: TcpAddress | UnixAddress, url: str) -> None:
    assert parse_address(text) == address
    assert parse_address(text).url == url


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        ("8000", "HOST:PORT"),
        ("127.0.0.1:", "HOST:PORT"),
        ("127.0.0.1:http", "HOST:PORT"),
        ("127.0.0.1:65536", "HOST:PORT"),
        ("127.0.0.1:\u0661", "HOST:PORT"),
        (":8000", "127.0.0.1:8000"),
        ("::1:8000", "brackets"),
        ("unix:", "unix:/run/app.sock"),
    ],
)
def test_a_wrong_address_is_refused_with_the_way_out(text: str, way_out: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        parse_address(text)
    assert repr(text) in str(refusal.value)
    assert way_out in str(refusal.value)


def test_a_module_is_looked_for_from_the_folder(tmp_path: Path) -> None:
    location = locate_application("project.wsgi:app", tmp_path)
    assert (location.root, location.module, location.attribute) == (tmp_path, "project.wsgi", "app")


def test_the_attribute_is_application_where_none_is_named(tmp_path: Path) -> None:
    assert locate_application("project.wsgi", tmp_path).attribute == "application"


def test_a_file_is_found_and_its_folder_is_the_root(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "main.py").touch()
    location = locate_application("site/main.py:app", tmp_path)
    assert location.root == tmp_path / "site"
    assert location.file == tmp_path / "site" / "main.py"
    assert location.attribute == "app"


@pytest.mark.parametrize("names", [["wsgi.py"], ["passenger_wsgi.py"], ["wsgi.py", "passenger_wsgi.py"]])
def test_a_folder_has_its_startup_file(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert locate_application(".", tmp_path).file == tmp_path / sorted(names)[0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (".", "none of passenger_wsgi.py, wsgi.py"),
        ("missing.py", "there is no file"),
        ("site/missing", "there is no file"),
        ("not a module", "neither a folder"),
        ("module-name:app", "neither a folder"),
    ],
)
def test_where_there_is_nothing_to_start_it_says_so(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        locate_application(text, tmp_path)
