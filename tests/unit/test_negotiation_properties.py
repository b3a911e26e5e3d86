"""The negotiation under any split, order and garbage."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coachman.protocol.stdio import PREFIX, AdvertisedSocket, decode_field, encode_field
from coachman.protocol.supervisor_half import (
    TRANSITIONS,
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
from coachman.protocol.wrapper_half import NegotiationError, WrapperHalf, WrapperState

LINES = [
    b"!> I have control 1.0\n",
    b"!> Ready\n",
    b"!> Error\n",
    b"!> \n",
    b"!> colour: blue\n",
    b"!> pid: 4711\n",
    b"!> socket: main;unix:/run/x/s.1;session;1\n",
    b"!> html: true\n",
    b"!>\n",
    b"> !\n",
    b"an application's line\n",
    b"\n",
]
no_newline = st.binary(max_size=30).map(lambda data: data.replace(b"\n", b" "))
garbage = no_newline.map(lambda data: data + b"\n")
prefixed_garbage = no_newline.map(lambda data: PREFIX + data + b"\n")
streams = st.lists(st.sampled_from(LINES) | garbage | prefixed_garbage, max_size=12).map(b"".join)
key = st.text(min_size=1, max_size=10).filter(lambda text: "\n" not in text and ":" not in text)
value = st.text(max_size=20).filter(lambda text: "\n" not in text)


def in_pieces(data: st.DataObject, stream: bytes) -> list[bytes]:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(stream) - 1)), max_size=8)))
    bounds = [0, *cuts, len(stream)]
    return [piece for start, end in itertools.pairwise(bounds) if (piece := stream[start:end])]


def all_that_follows(pieces: list[bytes]) -> list[Event | bytes]:
    """Return every event of a stream and its end, and the log's bytes behind the decision."""
    half = SupervisorHalf({"app_root": "/srv/app"})
    events: list[Event | bytes] = []
    for piece in pieces:
        events += half.receive(piece)
    if half.decided:
        return [*events, half.rest()]
    return [*events, *half.receive(b"")]


@given(streams, st.data())
def test_any_split_of_any_stream_has_the_same_consequences(stream: bytes, data: st.DataObject) -> None:
    assert all_that_follows(in_pieces(data, stream)) == all_that_follows([stream] if stream else [])


@given(streams)
def test_any_stream_is_decided_exactly_once_and_only_output_follows(stream: bytes) -> None:
    events = all_that_follows([stream] if stream else [])
    decisions = [e for e in events if isinstance(e, Ready | Refused | Broken | Ended)]
    assert len(decisions) == 1
    behind = events[events.index(decisions[0]) + 1 :]
    assert all(isinstance(e, Output | bytes) for e in behind)


@given(st.lists(st.sampled_from(LINES) | garbage, max_size=12))
def test_no_line_of_the_application_is_lost_or_out_of_order(lines: list[bytes]) -> None:
    half = SupervisorHalf({})
    printed: list[bytes] = []
    expected: list[bytes] = []
    for line in lines:
        assume(half.step is not Step.ERROR_TEXT)
        was_decided = half.decided
        printed += [e.line for e in half.receive(line) if isinstance(e, Output)]
        if was_decided or not line.startswith(PREFIX):
            expected.append(line.removesuffix(b"\n"))
    assert printed == expected


@given(st.lists(garbage, max_size=4), st.lists(garbage, max_size=4), st.data())
def test_both_halves_agree_whatever_is_printed_in_between(
    before: list[bytes], between: list[bytes], data: st.DataObject
) -> None:
    request = data.draw(st.dictionaries(key, value, max_size=5))
    socket = AdvertisedSocket("main", "tcp://127.0.0.1:3000", "http", data.draw(st.integers(0, 99)))
    ours, theirs = SupervisorHalf(request), WrapperHalf()
    events: list[Event] = []
    for piece in in_pieces(data, b"".join(before) + theirs.greeting() + b"".join(between)):
        for event in ours.receive(piece):
            if isinstance(event, Send):
                for part in in_pieces(data, event.data):
                    theirs.receive(part)
            else:
                events.append(event)
    assume(not ours.decided)  # garbage may be a line of the protocol
    assert theirs.request == request
    for piece in in_pieces(data, theirs.ready([socket], pid=4711)):
        events += ours.receive(piece)
    assert events[-1] == Ready((socket,), {"pid": "4711"})


@given(st.lists(st.sampled_from(LINES), max_size=8))
def test_the_supervisor_is_where_its_table_says(lines: list[bytes]) -> None:
    half = SupervisorHalf({})
    for line in lines:
        before = half.step
        half.receive(line)
        allowed = {before, Step.FAILED} | set(TRANSITIONS[before].values())
        assert half.step in allowed


@given(st.lists(st.binary(min_size=1, max_size=40)), st.booleans())
def test_any_answer_is_a_request_or_a_negotiation_error(pieces: list[bytes], acknowledged: bool) -> None:
    half = WrapperHalf()
    try:
        for piece in ([b"You have control 1.0\n"] if acknowledged else []) + pieces:
            half.receive(piece)
    except NegotiationError:
        return
    assert half.state in (WrapperState.ASKING, WrapperState.LISTENING, WrapperState.STARTING)


@given(key, value)
def test_any_field_that_is_sent_is_received(field: str, content: str) -> None:
    assert decode_field(encode_field(field, content).removesuffix(b"\n")) == (field, content)


@pytest.mark.parametrize("report", [lambda half: half.ready([]), lambda half: half.error("no")])
@given(st.integers(0, 3))
def test_the_wrapper_may_report_at_any_point_but_only_once(
    report: Callable[[WrapperHalf], bytes], received: int
) -> None:
    half = WrapperHalf()
    for line in [b"You have control 1.0\n", b"app_root: /srv/app\n", b"\n"][:received]:
        half.receive(line)
    report(half)
    with pytest.raises(NegotiationError):
        report(half)
