from hypothesis import given
from hypothesis import strategies as st

from coachman.protocol.lines import CUT, LINE_LIMIT, TAIL_LIMIT, LastLines, LineBlocks, LineSplitter


@given(
    st.lists(st.binary(max_size=8).map(lambda line: line.replace(b"\n", b" "))),
    st.binary(max_size=8).map(lambda line: line.replace(b"\n", b" ")),
    st.data(),
)
def test_lines_come_out_whole_however_the_stream_was_split(
    lines: list[bytes], last: bytes, data: st.DataObject
) -> None:
    stream = b"".join(line + b"\n" for line in lines) + last
    splitter = LineSplitter()
    found: list[bytes] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += splitter.feed(stream[:size])
        stream = stream[size:]
    assert found == lines
    assert splitter.flush() == ([last] if last else [])


def test_the_unfinished_last_line_is_flushed_once() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"one\ntwo") == [b"one"]
    assert splitter.flush() == [b"two"]
    assert splitter.flush() == []


def test_a_line_that_somebody_else_began_goes_on() -> None:
    assert LineSplitter(b"begun ").feed(b"and ended\n") == [b"begun and ended"]


def test_a_line_over_the_limit_is_cut_and_marked_and_loses_nothing() -> None:
    long = b"x" * (2 * LINE_LIMIT + 5)
    splitter = LineSplitter()
    pieces = []
    for start in range(0, len(long), 65536):
        pieces += splitter.feed(long[start : start + 65536])
    pieces += splitter.feed(b"\nnext\n")
    assert [piece.endswith(CUT) for piece in pieces] == [True, True, False, False]
    assert b"".join(piece.removesuffix(CUT) for piece in pieces[:-1]) == long
    assert pieces[-1] == b"next"


def test_a_line_over_the_limit_in_one_read_is_cut_as_well() -> None:
    pieces = LineSplitter().feed(b"x" * (LINE_LIMIT + 1) + b"\nnext\n")
    assert pieces == [b"x" * LINE_LIMIT + CUT, b"x", b"next"]


@given(st.lists(st.binary(max_size=8) | st.just(b"\n"), max_size=30))
def test_blocks_hold_whole_lines_and_every_byte(reads: list[bytes]) -> None:
    stream = b"".join(reads)
    blocks = LineBlocks()
    whole = [block for data in reads if (block := blocks.feed(data))]
    assert all(block.endswith(b"\n") for block in whole)
    assert b"".join(whole) == stream[: stream.rfind(b"\n") + 1]
    assert blocks.partial == stream[stream.rfind(b"\n") + 1 :]


def test_a_line_of_exactly_the_limit_is_not_cut() -> None:
    line = b"x" * LINE_LIMIT
    assert LineBlocks().feed(line + b"\n") == line + b"\n"
    blocks = LineBlocks(line)
    assert blocks.feed(b"\n") == line + b"\n"


def test_the_last_lines_are_those_of_all_blocks() -> None:
    lines = LastLines()
    lines.add(b"one\ntwo\n")
    lines.add(b"three\n")
    assert lines.last(2) == [b"two", b"three"]
    assert lines.last(5) == [b"one", b"two", b"three"]
    assert LastLines().last(5) == []


def test_of_the_last_lines_only_so_many_bytes_are_kept() -> None:
    lines = LastLines()
    lines.add(b"x" * TAIL_LIMIT + b"\n")
    lines.add(b"the end\n")
    found = lines.last(20)
    assert found[-1] == b"the end"
    assert sum(len(line) + 1 for line in found) == TAIL_LIMIT
