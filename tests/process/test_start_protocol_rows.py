"""The rows of the table of the stdio channel that are about processes, with tests named after them.

`tests/unit/test_start_protocol_rows.py` has the others.
"""

import asyncio
import os
import select
import signal
from pathlib import Path

import pytest

from coachman.protocol.stdio import AdvertisedSocket
from coachman.protocol.supervisor_half import Ready
from coachman.supervisor.failures.failure import FailureKind
from coachman.supervisor.process.patience import Patience
from coachman.supervisor.process.wrapped_process import Rung, WrappedProcess
from coachman.unix.processes import Ending

from .wrapped import has_readers_or_writers, start

READY = 'control(); say("Ready", "")'


@pytest.fixture
def pipe() -> tuple[int, int]:
    """A pipe whose write end processes can inherit; the test closes both ends by `os.close`."""
    return os.pipe()


def test_keys_sent_arrive_under_their_names(tmp_path: Path) -> None:
    request = {"app_root": "/srv/an app", "base_uri": "/", "of our own": "x: y", "empty": ""}
    outcome = start(
        tmp_path,
        """
        request = control()
        say("Ready", *(f"{key}: {value}" for key, value in request.items()), "")
        """,
        request=request,
    )
    assert outcome.ready == Ready((), request)


def test_keys_sent_may_be_more_than_a_pipe_holds_and_do_not_stop_the_supervisor(tmp_path: Path) -> None:
    outcome = start(
        tmp_path,
        """
        for _ in range(16):
            say("I have control 1.0")
        for _ in range(16):
            request = read_request()
        say("Ready", f"length: {sum(map(len, request.values()))}", "")
        """,
        request={f"key{number}": "x" * 16_000 for number in range(8)},
    )
    assert outcome.ready == Ready((), {"length": str(8 * 16_000)})


def test_keys_received_that_nobody_knows_are_kept(tmp_path: Path) -> None:
    outcome = start(tmp_path, 'control(); say("Ready", "colour: blue", "")')
    assert outcome.ready == Ready((), {"colour": "blue"})


def test_the_end_of_stdin_after_the_handshake_means_quit(tmp_path: Path) -> None:
    rungs = []

    async def quit_gently(process: WrappedProcess, _: Ready) -> None:
        rungs.append(await process.quit(Patience(after_stdin=30)))

    outcome = start(tmp_path, f"{READY}; until_quit(); sys.exit(7)", whilst=quit_gently)
    assert rungs == [Rung.STDIN_CLOSED]
    assert outcome.ending == Ending(7)


@pytest.mark.parametrize(
    ("ignored", "patience", "rung", "ending"),
    [
        ("pass", Patience(0.1, 30), Rung.TERMINATED, Ending(None, signal.SIGTERM)),
        (
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            Patience(0.1, 0.1),
            Rung.KILLED,
            Ending(None, signal.SIGKILL),
        ),
    ],
)
def test_who_ignores_the_end_of_stdin_is_ended_by_signals_to_the_group(
    tmp_path: Path, pipe: tuple[int, int], ignored: str, patience: Patience, rung: Rung, ending: Ending
) -> None:
    rungs = []

    async def quit_impatiently(process: WrappedProcess, _: Ready) -> None:
        os.close(pipe[1])
        rungs.append(await process.quit(patience))

    # The child of the application has the same dispositions, and keeps the pipe open while it lives.
    outcome = start(
        tmp_path,
        f"{ignored}\nif os.fork(): {READY}\nwhile True: signal.pause()",
        pass_fds=[pipe[1]],
        whilst=quit_impatiently,
    )
    assert rungs == [rung]
    assert outcome.ending == ending
    assert select.select([pipe[0]], [], [], 10)[0], "a process of the group is left"
    os.close(pipe[0])
    assert "goes on 0.1 s after the end of its stdin; SIGTERM" in outcome.log


def test_the_request_to_terminate_is_for_the_whole_group(tmp_path: Path) -> None:
    rungs = []

    async def quit_impatiently(process: WrappedProcess, _: Ready) -> None:
        rungs.append(await process.quit(Patience(0.1, 30)))

    # As a shell does: it leaves the signal to its child, and ends when that has ended.
    outcome = start(
        tmp_path,
        f"""
        child = os.fork()
        if child == 0:
            while True: signal.pause()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        {READY}
        os.waitpid(child, 0)
        sys.exit(7)
        """,
        whilst=quit_impatiently,
    )
    assert rungs == [Rung.TERMINATED]
    assert outcome.ending == Ending(7)


def test_a_repeated_i_have_control_is_an_application_that_executed_itself_again(tmp_path: Path) -> None:
    outcome = start(
        tmp_path,
        """
        request = control()
        if "AGAIN" not in os.environ:
            print("executing another interpreter", flush=True)
            os.execve(sys.executable, sys.orig_argv, {"AGAIN": "yes"})
        say("Ready", f"again: {request['app_root']}", "")
        """,
        request={"app_root": "/srv/app"},
    )
    assert outcome.ready == Ready((), {"again": "/srv/app"})
    assert "stdout: executing another interpreter\n" in outcome.log


# Socket line.


def test_a_socket_that_is_there_and_is_its_own_is_accepted(tmp_path: Path) -> None:
    outcome = start(
        tmp_path,
        """
        server = socket.socket(socket.AF_UNIX)
        server.bind(os.path.abspath("s"))
        server.listen()
        control()
        say("Ready", f"socket: main;unix:{os.path.abspath('s')};session;1", "")
        """,
    )
    assert outcome.ready == Ready((AdvertisedSocket("main", f"unix:{tmp_path}/s", "session", 1),), {})


@pytest.mark.parametrize(
    ("preparation", "complaint"),
    [
        ("pass", "cannot be found: No such file or directory"),
        ("open('s', 'w')", "no socket"),
        ("os.mkdir('s')", "no socket"),
        ("bind('other'); os.symlink('other', 's')", "no socket"),
        pytest.param(
            "bind('s'); os.chown('s', 12345, -1)",
            "belongs to the user with the number 12345, but the application runs as 0",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away"),
        ),
    ],
)
def test_a_unix_socket_that_is_not_there_or_not_its_own_is_refused(
    tmp_path: Path, preparation: str, complaint: str
) -> None:
    outcome = start(
        tmp_path,
        f"""
        def bind(path):
            socket.socket(socket.AF_UNIX).bind(path)
        {preparation}
        control()
        say("Ready", f"socket: main;unix:{{os.path.abspath('s')}};session;1", "")
        """,
    )
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.PROTOCOL_BROKEN
    assert f"the socket 'main;unix:{tmp_path}/s;session;1'" in outcome.message
    assert complaint in outcome.message


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "example.net"])
def test_a_tcp_socket_that_others_can_reach_is_refused(tmp_path: Path, host: str) -> None:
    outcome = start(tmp_path, f'control(); say("Ready", "socket: main;tcp://{host}:80;http;1", "")')
    assert f"the socket 'main;tcp://{host}:80;http;1' is not on the loopback interface" in outcome.message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "[::1]", "localhost"])
def test_a_tcp_socket_on_loopback_is_accepted(tmp_path: Path, host: str) -> None:
    outcome = start(tmp_path, f'control(); say("Ready", "socket: main;tcp://{host}:80;http;1", "")')
    assert outcome.ready is not None, outcome.message


# Pid.


def test_the_pid_may_be_that_of_another_process_of_the_session(tmp_path: Path) -> None:
    outcome = start(
        tmp_path,
        """
        control()
        child = os.fork()
        if child:
            say("Ready", f"pid: {child}", "")
        until_quit()
        """,
    )
    assert outcome.ready is not None, outcome.message
    assert int(outcome.ready.fields["pid"]) > 0


@pytest.mark.parametrize(
    ("pid", "complaint"),
    [
        ("2**31 - 1", "is that of no process"),
        ("os.getppid()", "outside the session"),
        ("1", "outside the session"),
    ],
)
def test_the_pid_of_a_stranger_or_of_nobody_is_refused(tmp_path: Path, pid: str, complaint: str) -> None:
    outcome = start(tmp_path, f'control(); say("Ready", f"pid: {{{pid}}}", "")')
    assert "the pid '" in outcome.message
    assert complaint in outcome.message


# EOF where Ready was expected.


@pytest.mark.parametrize("before", ["pass", "control()"])
@pytest.mark.parametrize(
    ("end", "named"),
    [
        ("sys.exit(3)", "ended with exit status 3 before it was ready"),
        ("sys.exit(0)", "ended with exit status 0 before it was ready"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "ended with SIGKILL before it was ready"),
        ("os.abort()", "ended with SIGABRT"),
    ],
)
def test_eof_where_ready_was_expected_is_named_by_how_the_process_ended(
    tmp_path: Path, before: str, end: str, named: str
) -> None:
    outcome = start(tmp_path, f"{before}; print('last words', file=sys.stderr); {end}")
    assert f"the application process {outcome.pid} {named}" in outcome.message
    assert outcome.last_lines == ["last words"]


def test_eof_where_ready_was_expected_of_a_living_process_says_that_stdout_was_closed(tmp_path: Path) -> None:
    outcome = start(tmp_path, "control(); os.close(1); until_quit(); signal.pause()")
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.CHANNEL_CLOSED
    assert outcome.message.endswith("closed its stdout before it was ready")
    assert outcome.ending == Ending(None, signal.SIGKILL)


# EOF inside headers; a line without newline; a header without ": ".


@pytest.mark.parametrize(
    ("last", "quoted"),
    [
        (b"!> Ready\n!> colour: blue\n", "the stream ended after the line '!> colour: blue'"),
        (b"!> Ready\n!> col", "the stream ended inside the line '!> col'"),
        (b"!> Ready\n!> colour:blue\n!> \n", "the line '!> colour:blue' is out of place"),
    ],
)
def test_a_broken_protocol_is_quoted_and_the_end_of_the_process_is_told(
    tmp_path: Path, last: bytes, quoted: str
) -> None:
    outcome = start(tmp_path, f"control(); os.write(1, {last!r}); sys.exit(3)")
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.PROTOCOL_BROKEN
    assert quoted in outcome.message
    assert outcome.message.endswith("it ended with exit status 3")


# Budget used up; kill on failure.

FAILURES = {
    "the budget is used up": ("control()", 0.5, "was not ready in time"),
    "the protocol is broken": ('say("nonsense")', 30, "broke the start protocol"),
    "the application refuses": (
        'say("Error", ""); os.write(1, b"no database"); os.close(1)',
        30,
        "no database",
    ),
    "it closes its stdout": ("os.close(1)", 30, "closed its stdout"),
    "it ends": ("sys.exit()", 30, "ended with exit status 0"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_kill_on_failure_is_of_the_whole_process_group(
    tmp_path: Path, pipe: tuple[int, int], failure: str
) -> None:
    # A child that is deaf to all but SIGKILL keeps the pipe open as long as it lives; it is there before the
    # failure, and has closed the channel.
    script = f"""
    ours, theirs = os.pipe()
    if os.fork() == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        for fd in (0, 1, 2):
            os.close(fd)
        os.write(theirs, b"!")
        while True:
            signal.pause()
    os.read(ours, 1)
    {FAILURES[failure][0]}
    signal.pause()
    """
    outcome = start(tmp_path, script, timeout=FAILURES[failure][1], pass_fds=[pipe[1]])
    os.close(pipe[1])
    assert FAILURES[failure][2] in outcome.message
    assert select.select([pipe[0]], [], [], 10)[0], "a process of the group is left"
    assert not has_readers_or_writers(pipe[0])
    os.close(pipe[0])


def test_budget_used_up_names_the_seconds_and_the_step(tmp_path: Path) -> None:
    script = "control(); print('loading', flush=True); until_quit()"
    outcome = start(tmp_path, script, timeout=0.2, budget_from="stdout: loading")
    assert outcome.message.endswith("was not ready in time: after 0.2 s it was in the step load application")
    assert outcome.ending == Ending(None, signal.SIGKILL)


def test_budget_used_up_while_stderr_is_read_on_does_not_hide_the_failure(tmp_path: Path) -> None:
    script = 'say("nonsense"); os.write(2, b"said\\n"); signal.pause()'
    outcome = start(tmp_path, script, timeout=0.2, budget_from="stderr: said")
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.PROTOCOL_BROKEN


def test_budget_used_up_after_an_error_was_reported_gives_the_error(tmp_path: Path) -> None:
    script = 'say("Error", ""); os.write(1, b"no database"); os.write(2, b"said\\n"); signal.pause()'
    outcome = start(tmp_path, script, timeout=0.2, budget_from="stderr: said")
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.REFUSED
    assert outcome.message == "no database"


# Line limit; bytes behind the end; after Ready; stderr.


def test_the_line_limit_ends_the_start_of_an_application_that_goes_on(tmp_path: Path) -> None:
    outcome = start(tmp_path, 'control(); os.write(1, b"!> " + b"x" * 20_000); until_quit()')
    assert "over 16384 bytes: '!> xxx" in outcome.message


def test_bytes_buffered_behind_the_end_are_log(tmp_path: Path) -> None:
    outcome = start(tmp_path, 'control(); os.write(1, b"!> Ready\\n!> \\nserving\\n!> Error\\nhalf")')
    assert outcome.ready is not None
    for line in ("serving", "!> Error", "half"):
        assert f"App {outcome.pid} stdout: {line}\n" in outcome.log


def test_protocol_lines_on_stderr_are_log(tmp_path: Path) -> None:
    outcome = start(
        tmp_path,
        """
        os.write(2, b"!> I have control 1.0\\n!> Error\\n!> \\n")
        control()
        os.write(2, b"!> Error\\n!> \\n")
        say("Ready", "")
        """,
    )
    assert outcome.ready is not None
    assert outcome.log.count(f"App {outcome.pid} stderr: !> Error\n") == 2


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ('say("nonsense")', FailureKind.PROTOCOL_BROKEN),
        ('say("Error", "")', FailureKind.REFUSED),
    ],
)
def test_stderr_is_read_on_after_a_failure(tmp_path: Path, failure: str, kind: FailureKind) -> None:
    gate = os.pipe()

    def open_the_gate(line: str) -> None:
        if line == "stderr: before":
            os.write(gate[1], b"!")

    outcome = start(
        tmp_path,
        f"""
        {failure}
        os.close(1)
        os.write(2, b"before\\n")
        os.read({gate[0]}, 1)
        os.write(2, b"after\\nand half a line")
        """,
        pass_fds=[gate[0]],
        on_line=open_the_gate,
    )
    for fd in gate:
        os.close(fd)
    assert outcome.failure is not None
    assert outcome.failure.kind is kind
    assert outcome.last_lines[:2] == ["before", "after"]
    assert "stderr: and half a line\n" in outcome.log


def test_stderr_that_stays_open_after_a_failure_is_not_waited_for_long(tmp_path: Path) -> None:
    outcome = start(tmp_path, 'say("nonsense"); os.write(2, b"before\\n"); signal.pause()', timeout=20)
    assert outcome.failure is not None
    assert outcome.failure.kind is FailureKind.PROTOCOL_BROKEN
    assert outcome.last_lines == ["before"]


def test_after_ready_stdout_is_left_to_fill_while_the_log_is_slow(
    tmp_path: Path, pipe: tuple[int, int]
) -> None:
    read_end, write_end = pipe
    heard = asyncio.Event()

    async def print_while_the_gate_is_shut(process: WrappedProcess, ready: Ready) -> None:
        process._log.gate.shut()
        process.close_stdin()
        assert os.read(read_end, 1) == b"x", "it has printed"
        for _ in range(3):
            await asyncio.sleep(0)  # turns of the loop, in which it reads whatever it watches
        assert not heard.is_set()
        process._log.gate.open()
        await asyncio.wait_for(heard.wait(), 30)

    start(
        tmp_path,
        f"""
        {READY}
        sys.stdin.read()
        print("printed", flush=True)
        os.write({write_end}, b"x")
        signal.pause()
        """,
        pass_fds=[write_end],
        on_line=lambda line: heard.set() if line == "stdout: printed" else None,
        whilst=print_while_the_gate_is_shut,
    )
    os.close(write_end)
    os.close(read_end)
