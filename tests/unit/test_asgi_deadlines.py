"""Many things that have the same time, and one timer."""

from __future__ import annotations

import asyncio

from coachman.worker.asgi.deadlines import Deadlines

TIMEOUT = 20.0


def test_one_that_fails_when_its_time_is_up_does_not_stop_the_clock_for_others() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        failures: list[BaseException] = []
        loop.set_exception_handler(lambda _loop, context: failures.append(context["exception"]))
        expired: dict[str, asyncio.Event] = {name: asyncio.Event() for name in ("second", "later")}

        def expire(name: str) -> None:
            if name == "first":
                raise LookupError("as it should")
            expired[name].set()

        deadlines = Deadlines(loop, 0.001, expire)
        deadlines.watch("first")
        deadlines.watch("second")
        await asyncio.wait_for(expired["second"].wait(), TIMEOUT)
        deadlines.watch("later")
        await asyncio.wait_for(expired["later"].wait(), TIMEOUT)
        deadlines.close()
        assert [type(failure) for failure in failures] == [LookupError]

    asyncio.run(main())
