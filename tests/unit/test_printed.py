"""What a failing process printed, within bounds."""

from coachman.supervisor.failures.printed import HEAD_BYTES, LINE_BYTES, TAIL_BYTES, Printed, PrintedLine


def test_both_streams_are_kept_in_the_order_of_arrival() -> None:
    printed = Printed()
    printed.add("stdout", [b"one"])
    printed.add("stderr", [b"two \xff"])
    assert printed.lines() == (PrintedLine("stdout", "one"), PrintedLine("stderr", "two \udcff"))


def test_of_much_output_the_beginning_and_the_end_are_kept() -> None:
    printed = Printed()
    for number in range(100_000):
        printed.add("stdout", [b"line %d" % number])
    lines = printed.lines()
    assert lines[0].text == "line 0"
    assert lines[-1].text == "line 99999"
    (remark,) = [line.text for line in lines if not line.stream]
    omitted = int(remark.removeprefix("[").split()[0])
    assert omitted + len(lines) - 1 == 100_000
    assert sum(len(line.text) for line in lines) < HEAD_BYTES + TAIL_BYTES


def test_a_long_line_is_shortened() -> None:
    printed = Printed()
    printed.add("stderr", [b"x" * 1_000_000])
    (line,) = printed.lines()
    assert line.text == "x" * LINE_BYTES + f"... [{1_000_000 - LINE_BYTES} bytes more]"
