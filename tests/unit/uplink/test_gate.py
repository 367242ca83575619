import asyncio

from edge_agent.uplink.gate import Gate


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_many_are_inside_together_and_one_waits_until_they_have_left() -> None:
    gate = Gate()
    leave = [asyncio.Event(), asyncio.Event()]
    log: list[str] = []

    async def share(number: int) -> None:
        async with gate.shared():
            log.append(f"in {number}")
            await leave[number].wait()

    async def rename() -> None:
        async with gate.alone():
            log.append("alone")
            await turns()
            log.append("done")

    async with asyncio.TaskGroup() as group:
        group.create_task(share(0))
        group.create_task(share(1))
        await turns()
        group.create_task(rename())
        await turns()
        leave[0].set()
        await turns()
        late = group.create_task(share(1))
        await turns()
        assert log == ["in 0", "in 1"]
        leave[1].set()
        await late
    assert log == ["in 0", "in 1", "alone", "done", "in 1"]


async def test_who_gives_up_waiting_to_be_alone_leaves_the_gate_open() -> None:
    gate = Gate()
    inside = asyncio.Event()

    async def share() -> None:
        async with gate.shared():
            await inside.wait()

    async def alone() -> None:
        async with gate.alone():
            raise AssertionError("somebody is inside")

    async with asyncio.TaskGroup() as group:
        group.create_task(share())
        await turns()
        waiting = group.create_task(alone())
        await turns()
        waiting.cancel()
        await turns()
        async with gate.shared():
            inside.set()


async def test_two_are_alone_one_after_the_other() -> None:
    gate = Gate()
    inside = 0

    async def alone() -> None:
        nonlocal inside
        async with gate.alone():
            inside += 1
            assert inside == 1
            await turns()
            inside -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(alone())
