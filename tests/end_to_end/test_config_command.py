"""`coachman config`, and `coachman serve` by a file."""

from __future__ import annotations

from pathlib import Path

import httpx

from .applications import HELLO
from .coachman_command import coachman
from .coachman_serve import CoachmanServe

SEVERAL = """
processes = 1

[applications.shop]
app = "shop.py"
bind = "127.0.0.1:0"
env = { GREETING = "from the shop" }

[applications.blog]
app = "sites/blog.py"
bind = "unix:blog.sock"
"""
GREETING = HELLO.replace('b"hello"', '__import__("os").environ.get("GREETING", "hello").encode()')


def write_several(folder: Path) -> None:
    (folder / "sites").mkdir()
    for name in ("shop.py", "sites/blog.py"):
        (folder / name).write_text(GREETING)
    (folder / "coachman.toml").write_text(SEVERAL)


def test_every_value_is_shown_with_its_origin(tmp_path: Path) -> None:
    write_several(tmp_path)
    done = coachman(
        "config", "--json", "--surge", "2", folder=tmp_path, environment={"COACHMAN_THREADS": "3"}
    )
    file, shop = tmp_path / "coachman.toml", done.json["applications"]["shop"]
    assert done.status == 0
    assert done.json["file"] == str(file)
    assert shop["surge"] == {"value": 2, "from": ["--surge"]}
    assert shop["threads"] == {"value": 3, "from": ["COACHMAN_THREADS"]}
    assert shop["processes"] == {"value": "1", "from": [f"{file}:2"]}
    assert shop["bind"] == {"value": ["127.0.0.1:0"], "from": [f"{file}:6"]}
    assert shop["drain-timeout"] == {"value": 10.0, "from": ["default"]}
    assert done.json["applications"]["blog"]["bind"]["value"] == [f"unix:{tmp_path}/blog.sock"]
    assert done.json["supervisor"]["log-format"] == {"value": "text", "from": ["default"]}


def test_what_is_shown_as_text_is_a_sound_file(tmp_path: Path) -> None:
    (tmp_path / "wsgi.py").write_text(HELLO)
    shown = coachman("config", ".", "--threads", "7", "--env", "TOKEN=s3cret", folder=tmp_path)
    assert "threads = 7" in shown.output
    assert "# --threads" in shown.output
    assert "s3cret" not in shown.output
    (tmp_path / "copy.toml").write_text(shown.output)
    copy = coachman("config", "--config", "copy.toml", "--json", folder=tmp_path)
    assert (copy.status, copy.errors) == (0, "")
    (application,) = copy.json["applications"].values()
    assert application["threads"]["value"] == 7


def test_a_mistake_is_refused_with_its_place_by_serve_as_well(tmp_path: Path) -> None:
    (tmp_path / "coachman.toml").write_text('app = "site"\nthread = 4\n')
    expected = (
        f"coachman: {tmp_path}/coachman.toml:2: there is no setting 'thread' here; did you mean 'threads'?\n"
    )
    done = coachman("config", folder=tmp_path)
    assert (done.status, done.output, done.errors) == (1, "", expected)
    with CoachmanServe(folder=tmp_path) as server:
        assert server.outcome() == (1, expected)


def test_a_variable_that_is_nearly_a_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "wsgi.py").write_text(HELLO)
    done = coachman("config", folder=tmp_path, environment={"COACHMAN_TREADS": "4"})
    assert done.status == 0
    assert done.errors == (
        "coachman: the variable COACHMAN_TREADS is none of coachman's; did you mean 'COACHMAN_THREADS'?\n"
    )


def test_the_file_of_another_server_is_translated(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text('bind = "127.0.0.1:9000"\nkeyfile = "x"\nwsgi_app = "site"\n')
    done = coachman("config", "--from", "gunicorn.conf.py", folder=tmp_path)
    assert done.status == 0
    assert done.output == (
        '# From gunicorn.conf.py.\nbind = ["127.0.0.1:9000"]\napp = "site"\n\n'
        "# Without an equivalent:\n#   keyfile: TLS is left to a proxy\n"
    )
    assert done.errors == "coachman: gunicorn.conf.py: keyfile: TLS is left to a proxy\n"
    (tmp_path / "coachman.toml").write_text(done.output)
    assert coachman("config", folder=tmp_path).status == 0


def test_several_applications_are_served_each_at_its_address(tmp_path: Path) -> None:
    write_several(tmp_path)
    with CoachmanServe(folder=tmp_path) as server:
        assert httpx.get(server.url, timeout=30, trust_env=False).text == "from the shop"
        server.wait_for_output("listening at unix:")
        transport = httpx.HTTPTransport(uds=str(tmp_path / "blog.sock"))
        with httpx.Client(transport=transport, timeout=30) as client:
            assert client.get("http://blog/").text == "hello"
        assert server.stop() == 0


def test_a_broken_application_does_not_keep_the_others_from_serving(tmp_path: Path) -> None:
    write_several(tmp_path)
    (tmp_path / "sites" / "blog.py").write_text("raise RuntimeError('no blog today')")
    with CoachmanServe(folder=tmp_path) as server:
        assert httpx.get(server.url, timeout=30, trust_env=False).text == "from the shop"
        server.wait_for_output("no blog today")
        (tmp_path / "sites" / "blog.py").write_text(GREETING)
        server.wait_for_output("listening at unix:")
        assert server.stop() == 0


def test_a_file_is_named_by_an_option(tmp_path: Path) -> None:
    write_several(tmp_path)
    with CoachmanServe("--config", tmp_path / "coachman.toml") as server:
        assert httpx.get(server.url, timeout=30, trust_env=False).text == "from the shop"
