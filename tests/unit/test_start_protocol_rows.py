"""The rows of both tables of the stdio channel that need no process, with tests named after them.

`tests/process/test_start_protocol_rows.py` has the others.
"""

import pytest

from coachman.protocol.lines import CUT
from coachman.protocol.lines import LINE_LIMIT as CUT_AT
from coachman.protocol.stdio import LINE_LIMIT, AdvertisedSocket
from coachman.protocol.supervisor_half import (
    CONTROL_LIMIT,
    ERROR_TEXT_LIMIT,
    FIELD_LIMIT,
    Broken,
    Ended,
    Event,
    Output,
    Ready,
    Refused,
    Send,
    Step,
    SupervisorHalf,
)
from coachman.protocol.wrapper_half import WrapperHalf

CONTROL = b"!> I have control 1.0\n"
SOCKET = b"!> socket: main;unix:/run/x/s.1;session;1\n"


def decision(*stream: bytes) -> Event:
    """Return the one event that decides the start, given all that arrives on stdout, then its end."""
    half = SupervisorHalf({"app_root": "/srv/app"})
    events = [event for data in (*filter(None, stream), b"") for event in half.receive(data)]
    (decided,) = [event for event in events if not isinstance(event, Send | Output)]
    return decided


def broken(*stream: bytes) -> str:
    decided = decision(*stream)
    assert isinstance(decided, Broken), decided
    return decided.reason


# Keys sent.


def test_keys_sent_that_a_wrapper_does_not_know_reach_it_and_disturb_nothing() -> None:
    supervisor, wrapper = SupervisorHalf({"app_root": "/srv/app", "of our own": "x: y"}), WrapperHalf()
    (send,) = supervisor.receive(wrapper.greeting())
    assert isinstance(send, Send)
    wrapper.receive(send.data)
    assert wrapper.complete
    assert wrapper.request == {"app_root": "/srv/app", "of our own": "x: y"}


def test_keys_sent_are_refused_where_a_line_cannot_carry_them() -> None:
    for key, value in (("a\nb", ""), ("a", "b\nc"), ("a: b", "c"), ("", "a"), ("a", "b" * LINE_LIMIT)):
        with pytest.raises(ValueError, match=r"cannot carry|longer than"):
            SupervisorHalf({key: value})


# Keys received.


def test_keys_received_that_nobody_knows_are_kept() -> None:
    decided = decision(CONTROL, b"!> Ready\n", SOCKET, b"!> colour: blue: light\n!> \n")
    assert isinstance(decided, Ready)
    assert decided.fields == {"colour": "blue: light"}


def test_keys_received_without_end_break_the_start() -> None:
    fields = b"".join(b"!> key%d: x\n" % number for number in range(FIELD_LIMIT + 1))
    assert f"more than {FIELD_LIMIT} fields" in broken(CONTROL, b"!> Ready\n", fields)


def test_the_pid_received_is_the_number_of_a_process() -> None:
    for pid in (b"x", b"0", b"-1", b"1.5", b"99999999999", b"4 711", b"\xd9\xa1"):
        assert "not the number of a process" in broken(CONTROL, b"!> Ready\n!> pid: ", pid, b"\n!> \n")


# Repeated "I have control".


def test_a_repeated_i_have_control_restarts_the_handshake() -> None:
    half = SupervisorHalf({})
    first, output, second = half.receive(CONTROL + b"executing another interpreter\n" + CONTROL)
    assert first == second == Send(b"You have control 1.0\n\n")
    assert output == Output(b"executing another interpreter")
    assert half.step is Step.STARTING


def test_repeated_i_have_control_is_bounded() -> None:
    half = SupervisorHalf({})
    assert len(half.receive(CONTROL * CONTROL_LIMIT)) == CONTROL_LIMIT
    (event,) = half.receive(CONTROL)
    assert isinstance(event, Broken)


def test_i_have_control_after_ready_is_out_of_place() -> None:
    assert "out of place" in broken(CONTROL, b"!> Ready\n", CONTROL)


# Socket line.


@pytest.mark.parametrize(
    "address", ["unix:/run/x/s.1", "tcp://127.0.0.1:3000", "tcp://[::1]:3000", "tcp://localhost:3000"]
)
@pytest.mark.parametrize("concurrency", [0, 1, 4096])
def test_a_socket_line_has_exactly_four_fields(address: str, concurrency: int) -> None:
    line = f"!> socket: main;{address};session;{concurrency}\n".encode()
    assert decision(CONTROL, b"!> Ready\n", line, b"!> \n") == Ready(
        (AdvertisedSocket("main", address, "session", concurrency),), {}
    )


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"main",
        b"main;unix:/s;session",
        b"main;unix:/s;session;1;",
        b"main;unix:relative;session;1",
        b"main;unix:/run/../s;session;1",
        b"main;tcp://127.0.0.1;session;1",
        b"main;http://127.0.0.1:80;session;1",
        b"main;unix:/s;session;many",
        b"main;unix:/s;session;1.5",
        b"main;unix:/s;session;-1",
        b"main;unix:/s;session; 1",
        b"main;unix:/s;session;\xc2\xb2",
    ],
)
def test_a_malformed_socket_line_breaks_the_start_and_is_quoted(value: bytes) -> None:
    assert repr(value.decode()) in broken(CONTROL, b"!> Ready\n!> socket: ", value, b"\n!> \n")


# EOF where Ready was expected.


@pytest.mark.parametrize(
    ("stream", "step"), [([], Step.GREETING), ([b"text\n"], Step.GREETING), ([CONTROL], Step.STARTING)]
)
def test_eof_where_ready_was_expected_leaves_it_to_the_process_to_name_it(
    stream: list[bytes], step: Step
) -> None:
    assert decision(*stream) == Ended(step)


# EOF inside headers; a line without newline; a header without ": ".


@pytest.mark.parametrize("last", [b"!> Ready\n", b"!> Error\n", b"!> Ready\n!> colour: blue\n"])
def test_eof_inside_headers_quotes_the_last_line(last: bytes) -> None:
    quoted = last.splitlines()[-1].decode()
    assert broken(CONTROL, last) == f"the stream ended after the line {quoted!r}"


def test_eof_inside_headers_quotes_the_protocols_line_and_not_the_applications() -> None:
    assert broken(CONTROL, b"!> Ready\n", b"an application's line\n").endswith("after the line '!> Ready'")


@pytest.mark.parametrize("line", [b"!> ", b"!> Rea", b"!> Ready", b"!> socket: main"])
def test_a_line_without_newline_is_quoted(line: bytes) -> None:
    assert broken(CONTROL, line) == f"the stream ended inside the line {line.decode()!r}"


@pytest.mark.parametrize("start", [b"!> Ready\n", b"!> Error\n"])
def test_a_header_without_separator_is_quoted(start: bytes) -> None:
    assert "'!> pid:4711'" in broken(CONTROL, start, b"!> pid:4711\n!> \n")


# Line limit.


@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize("start", [b"", CONTROL, CONTROL + b"!> Ready\n", CONTROL + b"!> Error\n"])
def test_the_line_limit_holds_for_every_protocol_line(start: bytes, end: bytes) -> None:
    line = b"!> key: ".ljust(LINE_LIMIT + 1, b"x")
    assert f"over {LINE_LIMIT} bytes" in broken(start, line, end)


def test_a_protocol_line_may_be_as_long_as_the_line_limit() -> None:
    line = b"!> key: ".ljust(LINE_LIMIT, b"x")
    decided = decision(CONTROL, b"!> Ready\n", line, b"\n!> \n")
    assert isinstance(decided, Ready)
    assert len(decided.fields["key"]) == LINE_LIMIT - len("!> key: ")


def test_the_line_limit_does_not_hold_for_log_lines() -> None:
    line = b"x" * (1024 * 1024)
    assert SupervisorHalf({}).receive(line + b"\n" + CONTROL) == [
        Output(line),
        Send(b"You have control 1.0\n\n"),
    ]


@pytest.mark.parametrize("rest", [b"!> Ready", b"!> " + b"x" * (2 * LINE_LIMIT)])
def test_the_rest_of_a_log_line_that_had_to_be_cut_is_never_the_protocols(rest: bytes) -> None:
    half = SupervisorHalf({})
    outputs = half.receive(b"x" * CUT_AT) + half.receive(rest) + half.receive(b"\n")
    assert outputs == [Output(b"x" * CUT_AT + CUT), Output(rest)]
    assert half.receive(CONTROL) == [Send(b"You have control 1.0\n\n")]


# Bytes buffered behind the final "!> "; after Ready.


def test_bytes_buffered_behind_the_end_are_log() -> None:
    half = SupervisorHalf({})
    events = half.receive(CONTROL + b"!> Ready\n!> \nserving\nhalf a l")
    assert events[1:] == [Ready((), {}), Output(b"serving")]
    assert half.rest() == b"half a l"


def test_after_ready_a_line_with_the_prefix_is_plain_log() -> None:
    half = SupervisorHalf({})
    half.receive(CONTROL + b"!> Ready\n!> \n")
    assert half.receive(b"!> Error\n!> " + b"x" * LINE_LIMIT + b"\n") == [
        Output(b"!> Error"),
        Output(b"!> " + b"x" * LINE_LIMIT),
    ]
    assert half.receive(b"") == []


# Failure, at any point before the end.


@pytest.mark.parametrize("before", [b"", CONTROL, CONTROL * 2, CONTROL + b"!> Ready\n" + SOCKET])
@pytest.mark.parametrize("html", [True, False])
def test_an_error_may_come_at_any_point_before_the_end(before: bytes, html: bool) -> None:
    field = b"!> html: true\n" if html else b""
    assert decision(before, b"!> Error\n", field, b"!> \n", b"no\nmodule\xff\n!> \n") == Refused(
        "no\nmodule\udcff\n!> \n", html
    )


def test_fields_of_a_ready_that_was_not_finished_say_nothing_of_the_error() -> None:
    unfinished = CONTROL + b"!> Ready\n!> html: true\n"
    assert decision(unfinished, b"!> Error\n!> \n", b"<text>") == Refused("<text>", html=False)


@pytest.mark.parametrize("pieces", [0, 1, 3])
def test_of_an_endless_error_text_the_beginning_is_kept(pieces: int) -> None:
    text = b"x" * (ERROR_TEXT_LIMIT // 2)
    half = SupervisorHalf({})
    half.receive(b"!> Error\n!> \n" + text * (4 - pieces))
    for _ in range(pieces):
        half.receive(text)
    assert half.receive(b"") == [Refused("x" * ERROR_TEXT_LIMIT, html=False)]
