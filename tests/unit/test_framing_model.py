"""The framing against a model: any items, any bytes, cut anywhere, come out as they went in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from coachman.protocol.messages import Decoder, encode_array, encode_scalar

elements = st.binary(max_size=300).map(
    lambda data: data.replace(b"\0", b"0").decode("utf-8", "surrogateescape")
)
arrays = st.lists(elements, min_size=1, max_size=8)
items = st.one_of(
    arrays.map(lambda message: ("array", message)),
    st.binary(max_size=2000).map(lambda data: ("scalar", data)),
    st.just(("marker", True)),
)


def encode(kind: str, value: object) -> bytes:
    if kind == "array":
        assert isinstance(value, list)
        return encode_array(tuple(value))
    if kind == "scalar":
        assert isinstance(value, bytes)
        return encode_scalar(value)
    return b"\0"


def ask(decoder: Decoder, kind: str) -> object:
    if kind == "array":
        return decoder.array()
    return decoder.scalar() if kind == "scalar" else decoder.marker()


@given(st.lists(items, max_size=12), st.data())
def test_any_split_of_any_mix_comes_out_as_it_went_in(
    sent: list[tuple[str, object]], data: st.DataObject
) -> None:
    stream = b"".join(encode(kind, value) for kind, value in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if a < b]
    decoder = Decoder()
    received = []
    for kind, _ in sent:
        while (value := ask(decoder, kind)) is None:
            decoder.feed(chunks.pop(0))
        received.append((kind, value))
    assert received == sent
    assert not chunks
    decoder.end()


class FramingModel(RuleBasedStateMachine):
    """The decoder, and a queue of what it owes, are asked the same questions."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = Decoder()
        self.owed: list[tuple[str, object]] = []
        self.unfed = b""
        self.fed = self.taken = 0

    @rule(item=items)
    def send(self, item: tuple[str, object]) -> None:
        self.owed.append(item)
        self.unfed += encode(*item)

    @precondition(lambda self: self.unfed)
    @rule(size=st.integers(1, 3000))
    def feed(self, size: int) -> None:
        self.decoder.feed(self.unfed[:size])
        self.fed += len(self.unfed[:size])
        self.unfed = self.unfed[size:]

    @precondition(lambda self: self.owed)
    @rule()
    def take(self) -> None:
        kind, value = self.owed[0]
        needed = len(encode(kind, value))
        received = ask(self.decoder, kind)
        if self.fed - self.taken < needed:
            assert received is None
        else:
            assert received == value
            self.taken += needed
            self.owed.pop(0)

    @invariant()
    def no_byte_is_lost(self) -> None:
        assert self.decoder.buffered == self.fed - self.taken


TestFramingModel = FramingModel.TestCase
