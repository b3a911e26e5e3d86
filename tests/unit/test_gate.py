import asyncio

from coachman.supervisor.log.gate import Gate


def test_whoever_waits_goes_on_when_the_gate_opens_and_only_then() -> None:
    gate = Gate()
    went_on: list[str] = []
    gate.shut()
    gate.at_opening(lambda: went_on.append("one"))
    gate.at_opening(lambda: went_on.append("another"))
    assert went_on == []
    gate.open()
    gate.open()
    assert went_on == ["one", "another"]


def test_waiting_ends_with_the_time_or_with_the_opening() -> None:
    async def main() -> None:
        gate = Gate()
        await gate.wait_open(1000)
        gate.shut()
        await gate.wait_open(0)
        await gate.wait_open(0.001)
        waiting = asyncio.create_task(gate.wait_open(1000))
        asyncio.get_running_loop().call_soon(gate.open)
        await waiting

    asyncio.run(asyncio.wait_for(main(), 10))


def test_one_who_shuts_the_gate_again_keeps_it_shut_for_the_next() -> None:
    gate = Gate()
    gate.shut()

    def shut_again() -> None:
        gate.shut()
        gate.at_opening(shut_again)

    gate.at_opening(shut_again)
    gate.open()
    assert not gate.is_open
