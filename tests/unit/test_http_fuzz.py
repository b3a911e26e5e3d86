"""Bytes that nobody has thought of: however they come, they mean one thing or are refused."""

from __future__ import annotations

import h11
from hypothesis import given
from hypothesis import strategies as st

from coachman.worker.wsgi.request import BadRequest, RequestParser
from coachman.worker.wsgi.scratch_files import ScratchFiles

PIECES = [
    b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"PUT /4 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\n",
    b"POST /p HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"GET http://h/ HTTP/1.0\r\n",
    b"Host: x\r\n",
    b"host:y\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"content-length:3 \r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: Chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive, x\r\n",
    b"Expect: 100-continue\r\n",
    b"X-Long: " + b"y" * 100 + b"\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b" ",
    b"\t",
    b":",
    b";",
    b"\x00",
    b"\xff",
    b"5\r\nhello\r\n",
    b"3\r\nabc\r\n",
    b"3;x=y\r\nabc\r\n",
    b"0\r\n",
    b"0\r\n\r\n",
    b"hello",
    b"ffffffffffffffff\r\n",
]
streams = st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=30).map(b"".join)


def outcome(pieces: list[bytes]) -> tuple[list[tuple[str, str, bytes]], str]:
    """Return the requests that a parser makes of the bytes, and the status of the refusal."""
    parser = RequestParser(ScratchFiles())
    refused = ""
    try:
        for piece in pieces:
            parser.feed(piece)
    except BadRequest as refusal:
        refused = refusal.status
    requests = [
        (r.method, r.target, r.body.opened_at_start().read() if r.body else b"") for r in parser.complete
    ]
    parser.close()
    return requests, refused


@given(streams, st.data())
def test_a_stream_means_the_same_however_it_is_split(stream: bytes, data: st.DataObject) -> None:
    pieces, rest = [], stream
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        pieces.append(rest[:size])
        rest = rest[size:]
    whole, split = outcome([stream] if stream else []), outcome(pieces)
    assert split[0] == whole[0]
    assert bool(split[1]) == bool(whole[1])


requests = st.lists(
    st.tuples(
        st.sampled_from(["GET", "POST", "PURGE"]),
        st.text(st.sampled_from("abc/?&=%20"), max_size=10).map(lambda text: "/" + text),
        st.binary(max_size=200) | st.just(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"),
        st.lists(st.integers(1, 50)) | st.none(),
    ),
    max_size=5,
)


@given(requests, st.integers(1, 200))
def test_no_body_is_taken_for_a_request(
    sent: list[tuple[str, str, bytes, list[int] | None]], size: int
) -> None:
    stream = b""
    for method, target, body, chunk_sizes in sent:
        stream += f"{method} {target} HTTP/1.1\r\nHost: x\r\n".encode()
        if chunk_sizes is None:
            stream += b"Content-Length: %d\r\n\r\n" % len(body) + body
        else:
            stream += b"Transfer-Encoding: chunked\r\n\r\n" + in_chunks(body, chunk_sizes)
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert outcome(pieces) == ([(method, target, body) for method, target, body, _ in sent], "")


def in_chunks(body: bytes, sizes: list[int]) -> bytes:
    data = b""
    for size in sizes:
        if body:
            data += b"%X;extension\r\n%b\r\n" % (len(body[:size]), body[:size])
            body = body[size:]
    if body:
        data += b"%x\r\n%b\r\n" % (len(body), body)
    return data + b"0\r\nTrailer: x\r\n\r\n"


@given(streams)
def test_another_parser_reads_the_same_in_what_is_taken(stream: bytes) -> None:
    # Two opinions on where a body ends are how requests are smuggled.
    ours, refused = outcome([stream])
    peer = h11.Connection(h11.SERVER)
    theirs: list[tuple[str, str, bytes]] = []
    try:
        peer.receive_data(stream)
        while True:
            event = peer.next_event()
            if isinstance(event, h11.Request):
                theirs.append((event.method.decode(), event.target.decode(), b""))
            elif isinstance(event, h11.Data):
                method, target, body = theirs[-1]
                theirs[-1] = (method, target, body + bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                peer.send(h11.Response(status_code=204, headers=[]))
                peer.send(h11.EndOfMessage())
                if peer.our_state is h11.MUST_CLOSE:
                    break
                peer.start_next_cycle()
            else:
                theirs = theirs[: len(ours)]  # the last one is not complete
                break
    except h11.RemoteProtocolError:
        theirs = theirs[: len(ours)]
    if not refused:
        assert ours[: len(theirs)] == theirs[: len(ours)]
