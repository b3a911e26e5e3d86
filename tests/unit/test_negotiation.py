"""The two halves of the negotiation, joined in memory."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coachman.protocol import supervisor_half, wrapper_half
from coachman.protocol.stdio import AdvertisedSocket, Line
from coachman.protocol.supervisor_half import (
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
from coachman.protocol.wrapper_half import NegotiationError, WrapperEvent, WrapperHalf, WrapperState

REQUEST = {"app_root": "/srv/app", "startup_file": "passenger_wsgi.py"}
SOCKET = AdvertisedSocket("main", "tcp://127.0.0.1:8000", "http", 4)
GREETING = b"!> I have control 1.0\n"
READY = b"!> Ready\n!> socket: main;tcp://127.0.0.1:8000;http;4\n!> pid: 4711\n!> \n"


def joined() -> tuple[SupervisorHalf, WrapperHalf]:
    """Return both halves after the request has been exchanged."""
    ours, theirs = SupervisorHalf(REQUEST), WrapperHalf()
    (send,) = ours.receive(theirs.greeting())
    assert isinstance(send, Send)
    theirs.receive(send.data)
    return ours, theirs


def started() -> SupervisorHalf:
    return joined()[0]


def test_the_request_arrives_whole() -> None:
    _, theirs = joined()
    assert theirs.complete
    assert theirs.request == REQUEST


def test_the_bytes_of_the_request_are_those_of_the_protocol() -> None:
    (send,) = SupervisorHalf(REQUEST).receive(GREETING)
    assert send == Send(b"You have control 1.0\napp_root: /srv/app\nstartup_file: passenger_wsgi.py\n\n")


def test_ready_carries_sockets_and_fields() -> None:
    ours, theirs = joined()
    assert theirs.ready([SOCKET], pid=4711) == READY
    assert ours.receive(READY) == [Ready((SOCKET,), {"pid": "4711"})]
    assert ours.step is Step.READY


def test_an_unknown_field_is_kept() -> None:
    (ready,) = started().receive(b"!> Ready\n!> colour: blue\n!> \n")
    assert ready == Ready((), {"colour": "blue"})


def test_an_error_carries_its_text_to_the_end_of_the_stream() -> None:
    ours, theirs = joined()
    assert ours.receive(theirs.error("no module\nnamed x\n")) == []
    assert ours.receive(b"more\n!> Ready\n") == []
    assert ours.receive(b"") == [Refused("no module\nnamed x\nmore\n!> Ready\n", html=False)]


def test_an_error_may_be_html() -> None:
    ours, theirs = joined()
    ours.receive(theirs.error("<p>no</p>", html=True))
    assert ours.receive(b"") == [Refused("<p>no</p>", html=True)]


def test_an_error_may_be_the_very_first_line() -> None:
    ours = SupervisorHalf(REQUEST)
    ours.receive(b"!> Error\n!> \nno control")
    assert ours.receive(b"") == [Refused("no control", html=False)]


def test_an_error_may_come_after_ready_and_before_the_end() -> None:
    ours = started()
    assert ours.receive(b"!> Ready\n!> pid: 1\n!> Error\n!> \nthe port is taken") == []
    assert ours.receive(b"") == [Refused("the port is taken", html=False)]


def test_lines_without_the_prefix_are_output() -> None:
    ours = SupervisorHalf(REQUEST)
    events = ours.receive(b"hello\n!>\n !> Ready\n" + GREETING + b"loading\n")
    assert [e for e in events if isinstance(e, Output)] == [
        Output(b"hello"),
        Output(b"!>"),
        Output(b" !> Ready"),
        Output(b"loading"),
    ]


def test_after_ready_every_line_is_output() -> None:
    ours = started()
    assert ours.receive(READY + b"!> Ready\n!> nonsense\nhalf") == [
        Ready((SOCKET,), {"pid": "4711"}),
        Output(b"!> Ready"),
        Output(b"!> nonsense"),
    ]
    assert ours.rest() == b"half"


def test_an_application_that_executes_itself_again_gets_the_request_again() -> None:
    ours = started()
    assert len(ours.receive(GREETING)) == 1
    assert ours.receive(READY) == [Ready((SOCKET,), {"pid": "4711"})]


def test_an_application_that_executes_itself_for_ever_is_stopped() -> None:
    ours = SupervisorHalf(REQUEST)
    *answers, last = ours.receive(GREETING * (supervisor_half.CONTROL_LIMIT + 1))
    assert all(isinstance(answer, Send) for answer in answers)
    assert isinstance(last, Broken)
    assert "more than 16 times" in last.reason


@pytest.mark.parametrize(
    ("line", "quoted"),
    [
        (b"!> I have control 2.0\n", "I have control 2.0"),
        (b"!> Ready\n!> socket: here\n", "socket 'here'"),
        (b"!> Ready\n!> nonsense\n", "nonsense"),
        (b"!> \n", "'!> '"),
        (b"!> pid: 3\n", "pid: 3"),
    ],
)
def test_a_line_out_of_place_is_quoted(line: bytes, quoted: str) -> None:
    (broken,) = started().receive(line)
    assert isinstance(broken, Broken)
    assert quoted in broken.reason


@pytest.mark.parametrize("end", [b"\n", b""])
def test_an_endless_protocol_line_is_an_error(end: bytes) -> None:
    (broken,) = SupervisorHalf(REQUEST).receive(b"!> " + b"x" * 20_000 + end)
    assert isinstance(broken, Broken)
    assert "16384 bytes" in broken.reason


def test_a_long_line_of_output_is_no_error() -> None:
    assert SupervisorHalf(REQUEST).receive(b"x" * 20_000 + b"\n") == [Output(b"x" * 20_000)]


@pytest.mark.parametrize(
    ("before", "step"),
    [(b"", Step.GREETING), (GREETING, Step.STARTING), (GREETING * 2, Step.STARTING)],
)
def test_an_early_end_of_the_stream_names_the_step(before: bytes, step: Step) -> None:
    ours = SupervisorHalf(REQUEST)
    if before:
        ours.receive(before)
    assert ours.receive(b"") == [Ended(step)]


def test_an_end_inside_a_protocol_line_quotes_it() -> None:
    ours = started()
    ours.receive(b"!> Rea")
    assert ours.receive(b"") == [
        Output(b"!> Rea"),
        Broken("the stream ended inside the line '!> Rea'"),
    ]


@given(st.lists(st.binary(max_size=40) | st.sampled_from([GREETING, READY, b"!> Error\n", b"!> \n", b"\n"])))
def test_no_input_confuses_the_supervisor(chunks: list[bytes]) -> None:
    ours = SupervisorHalf(REQUEST)
    decisions: list[Event] = []
    for chunk in [*filter(None, chunks), b"", b""]:
        decisions += [e for e in ours.receive(chunk) if not isinstance(e, Output | Send)]
    assert len(decisions) == 1
    assert ours.decided


@given(st.data())
def test_any_split_of_the_stream_gives_the_same(data: st.DataObject) -> None:
    stream = b"a\n" + GREETING + b"b\n" + READY + b"c\nd"
    ours = SupervisorHalf(REQUEST)
    events: list[Event] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        events += ours.receive(stream[:size])
        stream = stream[size:]
    assert [e for e in events if isinstance(e, Output)] == [Output(b"a"), Output(b"b"), Output(b"c")]
    assert sum(isinstance(e, Ready) for e in events) == 1
    assert ours.rest() == b"d"


def test_the_wrapper_refuses_what_is_no_request() -> None:
    for data in (b"You have control 2.0\n", b"You have control 1.0\nnonsense\n", b"x" * 20_000):
        with pytest.raises(NegotiationError):
            WrapperHalf().receive(data)


def test_the_wrapper_reports_once() -> None:
    _, theirs = joined()
    theirs.ready([SOCKET])
    with pytest.raises(NegotiationError, match="out of place"):
        theirs.error("too late")


def test_no_state_and_no_event_is_forgotten() -> None:
    assert set(supervisor_half.TRANSITIONS) == set(Step)
    assert {line for row in supervisor_half.TRANSITIONS.values() for line in row} == set(Line)
    assert set(wrapper_half.TRANSITIONS) == set(WrapperState)
    assert {event for row in wrapper_half.TRANSITIONS.values() for event in row} == set(WrapperEvent)


def test_what_the_supervisor_table_forbids_breaks_the_start() -> None:
    lines = {
        Line.CONTROL: b"I have control 1.0",
        Line.READY: b"Ready",
        Line.ERROR: b"Error",
        Line.FIELD: b"key: value",
        Line.END: b"",
    }
    reading = [Step.GREETING, Step.STARTING, Step.READY_FIELDS, Step.ERROR_FIELDS]
    for step, line in product(reading, Line):
        ours = SupervisorHalf(REQUEST)
        ours.step = step
        events = ours.receive(b"!> " + lines[line] + b"\n")
        allowed = line in supervisor_half.TRANSITIONS[step]
        assert any(isinstance(e, Broken) for e in events) != allowed, (step, line)
