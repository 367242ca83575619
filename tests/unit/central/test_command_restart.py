"""The centre's restart between any two steps of a command: nothing is stranded, nothing is decided twice
(thingsboard#11642: a restart left commands in their states for ever)."""

import shutil
from collections.abc import Awaitable, Callable

import pytest

from central_sync.services.commands.clock import CommandClock
from tests.unit.central.conftest import FakeClock, House, OpenHouse
from tests.unit.central.hands import Hands, cancel, command, meet, pass_time, show, state

Step = Callable[[House, Hands, str], Awaitable[object]]


def _reports(state: str) -> Step:
    """The report's answer is lost, and the report sent again."""

    async def step(house: House, hands: Hands, known: str) -> None:
        await hands.report(known, state)
        assert (await hands.send(known, state, hands.numbers[known])).status == 204

    return step


async def _fetch(house: House, hands: Hands, known: str) -> None:
    assert await hands.offered() == [known]


async def _cancel(house: House, hands: Hands, known: str) -> None:
    assert (await cancel(house, known)).status == 200


async def _told(house: House, hands: Hands, known: str) -> None:
    assert await hands.cancels() == [known]


STORIES: dict[str, list[Step]] = {
    "succeeded": [_fetch, *map(_reports, ("delivered", "accepted", "running", "succeeded"))],
    "rejected": [_fetch, *map(_reports, ("delivered", "rejected"))],
    "cancelled": [_fetch, *map(_reports, ("delivered", "running")), _cancel, _told, _reports("cancelled")],
    "failed": [_fetch, _cancel, _told, *map(_reports, ("delivered", "failed"))],
}


@pytest.mark.parametrize("end", STORIES)
async def test_states_survive_a_restart_between_any_two_steps(open_house: OpenHouse, end: str) -> None:
    known, numbers, seen = "", dict[str, int](), list[str]()
    async with open_house() as house:
        await meet(house)
        known = await command(house)
    for step in STORIES[end]:
        async with open_house() as house:
            await step(house, Hands(house, numbers=numbers), known)
            seen.append(await state(house, known))
        async with open_house() as house:
            assert await state(house, known) == seen[-1]
    async with open_house() as house:
        shown = await show(house, known)
        assert shown["state"] == end
        assert [one["no"] for one in shown["history"]] == list(range(1, len(shown["history"]) + 1))
        assert len({one["state"] for one in shown["history"]}) == len(shown["history"])
        board = house.centre.commands.board
        assert (board.waiting("dev-1"), board.next_due) == (0, None)


async def test_what_waits_for_a_device_is_known_again_after_a_restart(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        queued, stopping = await command(house), await command(house)
        await Hands(house).report(stopping, "delivered", "running")
        await cancel(house, stopping)
    async with open_house() as house:
        assert house.centre.commands.board.waiting("dev-1") == 2
        found = await Hands(house).offers(wait=60)
        assert ([offer["id"] for offer in found["commands"]], found["cancel"]) == ([queued], [stopping])


async def test_deadlines_go_on_through_a_restart(open_house: OpenHouse) -> None:
    async with open_house() as house:
        await meet(house)
        queued = await command(house, expires_seconds=60)
        running = await command(house, expires_seconds=60)
        await Hands(house).report(running, "delivered", "running")
        await pass_time(house, 30)
        house.clock.advance(31)
    async with open_house() as house:
        await house.centre.commands.watch.look()
        assert [await state(house, one) for one in (queued, running)] == ["expired", "running"]
        house.clock.advance(250)
    async with open_house() as house:
        await house.centre.commands.watch.look()
        assert await state(house, running) == "unknown"
        await Hands(house, numbers={running: 2}).report(running, "succeeded")
    async with open_house() as house:
        assert await state(house, running) == "succeeded"


async def test_a_clock_set_while_the_centre_runs_is_no_time_that_passed_at_its_restart(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await meet(house)
        known = await command(house, expires_seconds=3_600)
        house.clock.set_wall(86_400)
        await pass_time(house, 61)
    async with open_house() as house:
        await pass_time(house, 1)
        (offer,) = (await Hands(house).offers())["commands"]
        assert (offer["id"], offer["start_seconds"]) == (known, 3_600 - 62)


def test_the_command_clock_goes_forward_alone() -> None:
    clock = FakeClock()
    commands = CommandClock(clock)
    commands.resume((5_000, clock.wall_ms() - 2_000))
    assert commands.now() == 7_000
    clock.set_wall(-100)
    clock.advance(1)
    assert commands.now() == 8_000
    again = CommandClock(clock)
    again.resume((8_000, clock.wall_ms() + 60_000))
    assert again.now() == 8_000


async def test_the_output_and_the_file_survive_a_restart_and_what_a_crash_left_is_deleted(
    open_house: OpenHouse,
) -> None:
    async with open_house() as house:
        await meet(house)
        known, hands = await command(house, kind="collect_logs"), Hands(house)
        await hands.report(known, "delivered", "running", log={"offset": 0, "text": "reads"})
        assert (await hands.put(known, b"lines\n")).status == 201
        folder = house.data / "artifacts"
        (kept,) = folder.iterdir()
        shutil.copy(kept, folder / "cmd-0000000000000000-00")
        shutil.copy(kept, folder / f"{known}.1.part")
    async with open_house() as house:
        assert list(folder.iterdir()) == [kept]
        assert (await house.get(f"/api/fleet/commands/{known}/log"))["text"] == "reads"
        answer = await house.ask("GET", f"/api/fleet/commands/{known}/artifact", "viewer")
        assert (answer.status, answer.body) == (200, b"lines\n")
