import io
import sys

import pytest

from coachman.worker.streams import flush_streams


class Broken:
    def flush(self) -> None:
        raise LookupError


def test_what_is_buffered_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    buffered = io.TextIOWrapper(written)
    buffered.write("half a line")
    monkeypatch.setattr(sys, "stderr", buffered)
    flush_streams()
    assert written.getvalue() == b"half a line"


@pytest.mark.parametrize("stream", [None, Broken(), object()], ids=["none", "broken", "no stream"])
def test_a_stream_that_cannot_be_flushed_does_not_cost_the_other(
    monkeypatch: pytest.MonkeyPatch, stream: object
) -> None:
    written = io.BytesIO()
    buffered = io.TextIOWrapper(written)
    buffered.write("half a line")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", buffered)
    flush_streams()
    assert written.getvalue() == b"half a line"
