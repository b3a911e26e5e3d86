"""The commands that control a running supervisor."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from coachman.cli.group import COMMANDS

from .applications import HELLO, ONE_PROCESS, write_application
from .coachman_command import Running, coachman
from .coachman_serve import CoachmanServe
from .gate import WAIT_AT_GATE, Gate
from .raw_client import RawClient

PRINTING = """
def application(environ, start_response):
    print("asked for", environ["PATH_INFO"], flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""
BROKEN = "raise RuntimeError('no more of this')\n"


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A runtime folder for one test alone."""
    return tmp_path / "runtime"


@pytest.fixture
def here(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let servers and commands use that folder."""
    monkeypatch.setenv("COACHMAN_RUNTIME_FOLDER", str(runtime))
    return runtime


@pytest.fixture
def server(tmp_path: Path, here: Path) -> Iterator[CoachmanServe]:
    """Serve a small application by one worker."""
    write_application(tmp_path / "site", PRINTING)
    with CoachmanServe(tmp_path / "site", *ONE_PROCESS, "--name", "site") as server:
        server.wait_for_output("listening at")
        yield server


def asked_for(server: CoachmanServe, path: str) -> None:
    """Send a request, and wait until what it prints has been logged."""
    httpx.get(server.url + path, timeout=30, trust_env=False).raise_for_status()
    server.wait_for_output(f"asked for {path}")


def test_status_shows_the_application_with_its_workers(server: CoachmanServe) -> None:
    done = coachman("status")
    (pid,) = server.ready_workers(1)
    assert (done.status, done.errors) == (0, "")
    assert re.match(rf"supervisor {server.pid}  serving  for \d+ s  coachman ", done.output)
    assert "1 of 1 worker ready" in done.output
    assert server.url in done.output
    assert re.search(rf"^ *1 +{pid} +1 +ready ", done.output, re.MULTILINE)


def test_status_as_json_is_one_object(server: CoachmanServe) -> None:
    status = coachman("status", "--json").json
    (application,) = status["applications"]
    (worker,) = application["workers"]
    assert (status["pid"], status["state"]) == (server.pid, "serving")
    assert (application["name"], application["generation"]) == ("site", 1)
    assert (worker["pid"], worker["state"]) == (server.ready_workers(1)[0], "ready")


def test_status_shows_what_a_worker_is_in_the_middle_of(tmp_path: Path, here: Path) -> None:
    gated = "def application(environ, start_response):\n    wait_at_gate()\n"
    write_application(tmp_path, WAIT_AT_GATE, gated + "    start_response('200 OK', [])\n    return []\n")
    with (
        Gate(tmp_path) as gate,
        CoachmanServe(tmp_path, *ONE_PROCESS, environment=gate.environment) as server,
    ):
        with RawClient(server.url) as client:
            client.get("/report")
            gate.wait_for_arrival()
            (worker,) = coachman("status", "--json").json["applications"][0]["workers"]
            assert (worker["in_flight"], worker["connections"], worker["requests"]) == (1, 1, 0)
            assert worker["request_line"].startswith("GET /report")
            assert 0 < worker["oldest_request"] < 600
            assert "GET /report" in coachman("status").output
            gate.open()
            assert client.answer().status == 200
        assert server.stop() == 0


def test_a_name_that_is_no_utf_8_keeps_no_command_from_its_work(tmp_path: Path, here: Path) -> None:
    site = tmp_path / os.fsdecode(b"odd\xff")
    write_application(site, HELLO)
    with CoachmanServe(site, *ONE_PROCESS) as server:
        server.wait_for_output("listening at")
        (application,) = coachman("status", "--json").json["applications"]
        assert application["name"] == "odd\\udcff"
        for command in (
            ("status",),
            ("status", "--app", site.name),
            ("list",),
            ("scale", "2"),
            ("restart", "--wait", "--app", site.name),
        ):
            done = coachman(*command)
            assert (done.status, done.errors) == (0, "")
            assert "odd\\udcff" in done.output
        refused = coachman("restart", "--app", "even")
        assert (refused.status, refused.output) == (1, "")
        assert "there is no application 'even'; there are odd\\udcff" in refused.errors


def test_status_ends_with_6_while_something_does_not_serve(tmp_path: Path, here: Path) -> None:
    (tmp_path / "fine.py").write_text(HELLO)
    (tmp_path / "broken.py").write_text(BROKEN)
    (tmp_path / "coachman.toml").write_text(
        "[applications.fine]\napp = 'fine'\nbind = '127.0.0.1:0'\nprocesses = 1\n"
        "[applications.broken]\napp = 'broken'\nbind = '127.0.0.1:0'\nprocesses = 1\n"
    )
    with CoachmanServe(folder=tmp_path) as server:
        assert httpx.get(server.url_of("fine"), timeout=30, trust_env=False).text == "hello"
        # The application itself prints its traceback earlier than the supervisor knows of the failure.
        server.wait_for_output("broken is tried again in .*: .*no more of this")
        done = coachman("status")
        assert done.status == 6
        assert "no more of this" in done.output
        assert coachman("status", "--app", "fine").status == 0 or "starting" in done.output


def test_status_is_drawn_again_and_again_until_the_supervisor_ends(server: CoachmanServe) -> None:
    with Running("status", "--watch", "--interval", "0.1") as watching:
        watching.read_until("serving")
        server.stop()
        text = watching.read_until(None)
        assert watching.process.wait(30) == 0
    assert f"supervisor {server.pid} has closed the connection" in text


def test_restart_waits_until_the_new_code_serves(server: CoachmanServe, tmp_path: Path) -> None:
    write_application(tmp_path / "site", HELLO.replace("hello", "hello again"))
    done = coachman("restart", "--wait")
    assert (done.status, done.errors) == (0, "")
    assert re.fullmatch(r"site: generation 2, done after \d+\.\d\d s\n", done.output)
    assert httpx.get(server.url, timeout=30, trust_env=False).text == "hello again"


def test_restart_ends_with_1_where_the_new_code_does_not_start(server: CoachmanServe, tmp_path: Path) -> None:
    write_application(tmp_path / "site", BROKEN)
    done = coachman("restart", "--wait")
    assert done.status == 1
    assert done.output.startswith("site: generation 2, failed after ")
    assert "no more of this" in done.output
    assert httpx.get(server.url, timeout=30, trust_env=False).text == "hello"
    assert coachman("status").status == 6


@pytest.mark.parametrize(
    ("code", "status", "outcome"), [(HELLO, 0, "done"), (BROKEN, 1, "failed")], ids=["works", "broken"]
)
def test_a_restart_that_a_later_one_supersedes_ends_as_that_does(
    server: CoachmanServe, tmp_path: Path, code: str, status: int, outcome: str
) -> None:
    with Gate(tmp_path) as gate:
        hangs = (
            f"import os\nos.environ['GATE'] = {gate.environment['GATE']!r}\n{WAIT_AT_GATE}\nwait_at_gate()"
        )
        write_application(tmp_path / "site", hangs)
        with Running("restart", "--wait") as waiting:
            gate.wait_for_arrival()
            write_application(tmp_path / "site", code)
            server.send_signal(signal.SIGHUP)
            said = waiting.read_until(None)
            assert waiting.process.wait(30) == status
    assert said.startswith(f"site: generation 3 (in place of 2, which it superseded), {outcome} after ")


def test_restart_need_not_wait(server: CoachmanServe) -> None:
    assert coachman("restart").output == "site: generation 2, under way\n"
    server.wait_for_output("generation 2 serves")


def test_a_wrong_pid_or_name_is_answered_with_those_that_there_are(server: CoachmanServe) -> None:
    (worker,) = server.ready_workers(1)
    done = coachman("status", "--pid", str(worker))  # easily taken for it
    assert done.status == 3
    assert done.errors.endswith(f"with the pid {worker} is running for this user, but {server.pid} (site)\n")
    done = coachman("status", "--app", "stie")
    assert done.status == 1
    assert "there is no application 'stie'; there are site; did you mean 'site'?" in done.errors


def test_scale_changes_the_number_of_workers(server: CoachmanServe) -> None:
    assert coachman("scale", "3").output == "site: 3\n"
    server.ready_workers(3)
    assert coachman("scale", "-1").output == "site: 2\n"
    assert coachman("scale", "+2", "--app", "site").output == "site: 4\n"
    server.ready_workers(4)
    assert coachman("status", "--json").json["applications"][0]["processes"] == "4"
    assert "coachman scale: site is to have 4 workers, after 2" in server.output()


def test_scale_moves_both_ends_of_a_range_and_says_so(server: CoachmanServe) -> None:
    assert coachman("scale", "2-3").output == "site: 2-3\n"
    server.ready_workers(2)
    assert coachman("scale", "-1").output == "site: 1-2\n"
    server.wait_for_output("coachman scale: site may have 1-2 workers from now on")
    status = coachman("status", "--json").json["applications"][0]
    assert (status["processes"], len(status["workers"])) == ("1-2", 2), "nobody knows yet who is not needed"


@pytest.mark.parametrize("change", ["0", "-1", "many", "5-2", "1001"])
def test_scale_refuses_what_is_no_number_of_workers(server: CoachmanServe, change: str) -> None:
    done = coachman("scale", change)
    assert (done.status, done.output) == (1, "")
    assert done.errors.startswith("coachman: ")


def test_stop_returns_when_the_supervisor_has_ended(server: CoachmanServe, here: Path) -> None:
    done = coachman("stop")
    assert (done.status, done.output, done.errors) == (0, "", "")
    status, output = server.outcome()
    assert status == 0
    assert "coachman stop: stopping" in output
    assert not list(here.iterdir())


def test_stop_now_gives_up_what_is_in_hand(tmp_path: Path, here: Path) -> None:
    waiting = "import threading\ndef application(environ, start_response):\n"
    write_application(tmp_path, waiting + "    print('in hand', flush=True)\n    threading.Event().wait()\n")
    with CoachmanServe(tmp_path, *ONE_PROCESS, "--drain-timeout", "600") as server:
        with httpx.Client(timeout=60, trust_env=False) as client:
            request = client.build_request("GET", server.url)
            asking = begun_in_thread(client, request)
            server.wait_for_output("in hand")
            assert coachman("stop", "--now").status == 0
            asking.join(30)
        assert server.outcome()[0] == 0


def begun_in_thread(client: httpx.Client, request: httpx.Request) -> threading.Thread:
    def ask() -> None:
        with pytest.raises(httpx.TransportError):
            client.send(request)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_dump_prints_the_stacks_of_a_worker(server: CoachmanServe) -> None:
    (pid,) = server.ready_workers(1)
    done = coachman("dump", str(pid))
    assert done.status == 0
    assert done.output.startswith(f"Worker {pid}:\n")
    assert "(MainThread):\n" in done.output
    assert "in main_loop\n" in done.output
    server.wait_for_output(rf"App {pid} stacks:   File .*, in main_loop\n")
    asked_for(server, "/afterwards")
    done = coachman("dump", "1")
    assert (done.status, done.errors) == (1, "coachman: no worker has the pid 1\n")


def test_logs_prints_the_recent_lines(server: CoachmanServe) -> None:
    for path in ("/one", "/two"):
        asked_for(server, path)
    done = coachman("logs")
    assert done.status == 0
    assert done.output.splitlines() == server.output().splitlines()
    (pid,) = server.ready_workers(1)
    assert coachman("logs", "-n", "1").output == f"App {pid} stdout: asked for /two\n"
    assert coachman("logs", "-n", "0").output == ""


def test_logs_counts_lines_as_the_log_has_them(tmp_path: Path, here: Path) -> None:
    write_application(tmp_path / "site", "print('50 %\\r100 %\\x0c\\u2028done')", HELLO)
    with CoachmanServe(tmp_path / "site", *ONE_PROCESS, "--log-format", "raw") as server:
        server.wait_for_output("listening at")
        lines = coachman("logs").output.split("\n")
        place = next(number for number, line in enumerate(lines) if line.endswith("done"))
        assert lines[place] == "50 %\r100 %\x0c\u2028done"
        assert coachman("logs", "-n", str(len(lines) - 1 - place)).output == "\n".join(lines[place:])


def test_logs_of_one_application_leaves_the_others_out(tmp_path: Path, here: Path) -> None:
    text = ""
    for name in ("shop", "blog"):
        (tmp_path / f"{name}.py").write_text(f"print('this is {name}')\n" + HELLO)
        text += f"[applications.{name}]\napp = '{name}'\nbind = '127.0.0.1:0'\nprocesses = 1\n"
    (tmp_path / "coachman.toml").write_text(text)
    with CoachmanServe(folder=tmp_path) as server:
        for name in ("shop", "blog"):
            server.wait_for_output(f"this is {name}")
        lines = coachman("logs", "--app", "shop").output
        assert "this is shop" in lines
        assert "this is blog" not in lines
        assert f"Supervisor {server.pid}: starting" in lines
        done = coachman("logs", "--app", "shp")
        assert done.status == 1
        assert done.errors.endswith(
            "there is no application 'shp'; there are shop, blog; did you mean 'shop'?\n"
        )


def test_logs_can_be_followed_until_the_end(server: CoachmanServe) -> None:
    asked_for(server, "/before")
    with Running("logs", "-f") as following:
        following.read_until("asked for /before\n")
        asked_for(server, "/after")
        following.read_until("asked for /after\n")
        server.stop()
        text = following.read_until(None)
        assert following.process.wait(30) == 0
    assert text == server.outcome()[1]


def test_ctrl_c_ends_following_quietly(server: CoachmanServe) -> None:
    with Running("logs", "-f") as following:
        following.read_until("listening at")
        following.process.send_signal(signal.SIGINT)
        assert following.process.wait(30) == 130


def test_logs_reopen_opens_the_log_file_anew(tmp_path: Path, here: Path) -> None:
    write_application(tmp_path / "site", PRINTING)
    log = tmp_path / "site.log"
    with CoachmanServe(tmp_path / "site", *ONE_PROCESS, "--log-file", log) as server:
        server.wait_for_output("listening at")
        log.rename(tmp_path / "site.log.1")
        assert coachman("logs", "--reopen").status == 0
        server.wait_for_output("was reopened")
        httpx.get(server.url + "/new", timeout=30, trust_env=False)
        server.stop()
    assert "asked for /new" in log.read_text()
    assert "listening at" in (tmp_path / "site.log.1").read_text()


def test_list_shows_every_supervisor_and_commands_have_to_choose(
    server: CoachmanServe, tmp_path: Path, here: Path
) -> None:
    write_application(tmp_path / "other", HELLO)
    with CoachmanServe(tmp_path / "other", *ONE_PROCESS, "--name", "other") as other:
        other.wait_for_output("listening at")
        done = coachman("list")
        assert done.status == 0
        assert {line.split()[0] for line in done.output.splitlines()} == {str(server.pid), str(other.pid)}
        assert {row["pid"] for row in coachman("list", "--json").json} == {server.pid, other.pid}

        done = coachman("status")
        assert done.status == 4
        assert f"{server.pid} (site)" in done.errors
        assert f"{other.pid} (other)" in done.errors
        assert coachman("status", "--app", "other", "--json").json["pid"] == other.pid
        assert coachman("status", "--pid", str(server.pid), "--json").json["pid"] == server.pid
        (path,) = here.glob(f"{other.pid}-*.sock")
        assert coachman("status", "--socket", path, "--json").json["pid"] == other.pid
        assert coachman("status", "--app", "none").status == 3


@pytest.mark.parametrize(
    "command", [["status"], ["restart"], ["scale", "1"], ["stop"], ["dump"], ["logs"], ["list"]]
)
def test_without_a_supervisor_every_command_ends_with_3(here: Path, command: list[str]) -> None:
    done = coachman(*command)
    assert (done.status, done.output) == (3, "")
    assert "no supervisor is running for this user" in done.errors


def test_what_a_killed_supervisor_leaves_behind_is_removed(server: CoachmanServe, here: Path) -> None:
    assert len(list(here.iterdir())) == 1
    server.kill()
    assert coachman("list").status == 3
    assert not list(here.iterdir())


def test_wrong_usage_ends_with_2(here: Path) -> None:
    assert coachman("scale").status == 2
    assert coachman("status", "--no-such-option").status == 2


def test_the_list_of_commands_cuts_no_sentence_off() -> None:
    listed = coachman("--help", environment={"COLUMNS": "80"}).output.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == list(COMMANDS), "each has one line"
    assert all(line.endswith(".") and not line.endswith("...") for line in listed)
