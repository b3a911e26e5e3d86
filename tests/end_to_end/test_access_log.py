"""`--access-log` as an operator reads it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from .applications import HELLO, ONE_PROCESS, write_application
from .coachman_serve import COMMAND, CoachmanServe
from .raw_client import Answer, RawClient

REQUESTS = 40_000
"""Their lines are more than all buffers on the way take together."""


def ask(url: str, target: str = "/", *fields: str) -> Answer:
    with RawClient(url) as client:
        client.send("\r\n".join([f"GET {target} HTTP/1.1", "Host: x", *fields, "", ""]).encode("latin-1"))
        return client.answer()


def test_it_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(".", *ONE_PROCESS, folder=tmp_path) as server:
        answer = ask(server.url, "/quiet")
        server.stop()
        _, output = server.outcome()
    assert "/quiet" not in output
    assert "x-request-id" not in answer.headers


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_line_says_who_asked_for_what_and_how_it_went(tmp_path: Path, threads: str) -> None:
    write_application(tmp_path, HELLO)
    options = ("--access-log", "combined", "--threads", threads)
    with CoachmanServe(".", *ONE_PROCESS, *options, folder=tmp_path) as server:
        (pid,) = server.ready_workers(1)
        answer = ask(server.url, "/a?b", "User-Agent: me", "Referer: there")
        server.wait_for_output(
            rf"App {pid} access: 127\.0\.0\.1 - - \[\d\d/\w{{3}}/\d{{4}}:[\d:]{{8}} \+0000\] "
            rf'"GET /a\?b HTTP/1\.1" 200 5 "there" "me" \d\.\d{{6}} {pid} {answer.headers["x-request-id"]}\n'
        )


def test_a_large_response_is_counted_whole(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO.replace('b"hello"', 'b"x" * 3_000_000'))
    with CoachmanServe(".", *ONE_PROCESS, "--access-log", "common", folder=tmp_path) as server:
        assert len(ask(server.url, "/large").body) == 3_000_000
        server.wait_for_output(r'"GET /large HTTP/1\.1" 200 3000000 ')


def test_json_lines_are_objects_in_a_json_log(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    options = ("--access-log", "json", "--log-format", "json")
    with CoachmanServe(".", *ONE_PROCESS, *options, folder=tmp_path) as server:
        url = json.loads(server.wait_for_output(r".*listening at .*")[0])["message"].split()[-1]
        ask(url, "/a", "X-Request-Id: from-proxy-1")
        line = json.loads(server.wait_for_output(r'.*"stream":"access".*')[0])
    assert line["message"]["target"] == "/a"
    assert line["message"]["request_id"] == "from-proxy-1"
    assert line["message"]["pid"] == line["pid"]


def test_a_raw_log_has_the_line_alone(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    log = tmp_path / "log"
    options = ("--access-log", "common", "--log-format", "raw", "--log-file", str(log))
    with CoachmanServe(".", *ONE_PROCESS, *options, folder=tmp_path) as server:
        ask(server.url)
        server.stop()
        server.outcome()
    assert re.fullmatch(r'127\.0\.0\.1 - - \[[^]]+\] "GET / HTTP/1\.1" 200 5 [^\n]+\n', log.read_text())


def test_what_a_client_sends_cannot_forge_a_line(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    with CoachmanServe(".", *ONE_PROCESS, "--access-log", "combined", folder=tmp_path) as server:
        ask(server.url, '/"x\\y\xe4', 'User-Agent: " 200 1 "-"\t\xff', "X-Request-Id: a b")
        found = server.wait_for_output(r"access: (.*)\n")[1]
    assert '"GET /\\"x\\\\y\\xe4 HTTP/1.1" 200' in found
    assert '"\\" 200 1 \\"-\\"\\x09\\xff"' in found
    assert "a b" not in found


def test_a_log_that_nobody_reads_stops_no_request(tmp_path: Path) -> None:
    write_application(tmp_path, HELLO)
    socket_path = tmp_path / "socket"
    read_end, write_end = os.pipe()
    # In the end the log has 3 seconds: what waits for them goes through in a few turns of reader and writer.
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 1024 * 1024)
    options = ("--processes", "1", "--bind", f"unix:{socket_path}", "--access-log", "combined")
    process = subprocess.Popen(
        [COMMAND, "serve", ".", *options], cwd=tmp_path, stdout=write_end, stderr=subprocess.STDOUT
    )
    os.close(write_end)
    with open(read_end, "rb") as output:
        try:
            for line in output:
                if b"listening at" in line:
                    break
            with RawClient(f"unix:{socket_path}") as client:
                agent = "x" * 150
                batch = f"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\n\r\n" * 100
                for _ in range(REQUESTS // 100):
                    client.send(batch.encode())
                    for _ in range(100):
                        assert client.answer().status == 200
            process.terminate()
            lines = output.read().splitlines()
        finally:
            process.kill()
            process.wait()
    written = [line for line in lines if b" access: " in line]
    missing = [re.search(rb"(\d+) lines of the access log are (?:missing|lost)", line) for line in lines]
    counted = sum(int(found[1]) for found in missing if found is not None)
    assert 0 < len(written) < REQUESTS
    assert len(written) + counted == REQUESTS
    assert all(line.endswith(line.rpartition(b" ")[2]) and line.count(b'"') == 6 for line in written)
