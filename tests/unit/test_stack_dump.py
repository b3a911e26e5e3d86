"""The supervisor's question where a worker's threads are, with a worker that is only a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from coachman.supervisor.process import stack_dump
from coachman.supervisor.process.stack_dump import StackDump


@pytest.fixture
def file() -> Iterator[int]:
    fd = os.memfd_create("stacks")
    yield fd
    os.close(fd)


def living() -> asyncio.Future[None]:
    """What is done when the worker has ended."""
    return asyncio.get_running_loop().create_future()


def test_a_worker_that_ends_upon_the_question_has_told_what_it_could(file: int) -> None:
    async def main() -> None:
        exited = living()

        def end() -> None:
            os.write(file, b"from C")
            exited.set_result(None)

        dump = StackDump(file, end, exited)
        assert await dump.text() == "from C"

    asyncio.run(main())


def test_the_answer_of_python_counts(file: int) -> None:
    async def main() -> None:
        dump = StackDump(file, lambda: os.write(file, b"from C"), living())
        for answer in (b"first", b"second"):
            asking = asyncio.create_task(dump.text())
            await asyncio.sleep(0)
            dump.answered(answer)
            assert await asking == answer.decode()
        dump.answered(b"one that nobody asked for")

    asyncio.run(main())


def test_without_it_that_of_c_counts_and_never_an_older_one(
    file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_dump, "ANSWER_SECONDS", 0.01)
    texts = iter((b"a long first one", b"second", b""))

    async def main() -> None:
        dump = StackDump(file, lambda: os.write(file, next(texts)), living())
        assert await dump.text() == "a long first one"
        dump.answered(b"too late")
        assert await dump.text() == "second"
        assert await dump.text() == ""

    asyncio.run(main())


def test_who_asks_after_somebody_who_went_away_gets_no_older_answer(file: int) -> None:
    signals: list[None] = []

    async def main() -> None:
        dump = StackDump(file, lambda: signals.append(None), living())
        impatient = asyncio.create_task(dump.text())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(signals) == 1
        impatient.cancel()
        await asyncio.wait([impatient])
        dump.answered(b"to nobody")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asking = asyncio.create_task(dump.text())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(signals) == 2
        dump.answered(b"fresh")
        assert await asking == "fresh"

    asyncio.run(main())


def test_who_asks_at_the_same_time_gets_the_same_answer(file: int) -> None:
    signals: list[None] = []

    async def main() -> None:
        dump = StackDump(file, lambda: signals.append(None), living())
        asking = [asyncio.create_task(dump.text()) for _ in range(3)]
        await asyncio.sleep(0)
        dump.answered(b"here")
        assert await asyncio.gather(*asking) == ["here"] * 3

    asyncio.run(main())
    assert len(signals) == 1
