"""One write from its order to its end: permitted, journalled, sent once, read back, told."""

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from edge_agent.config.writes import WriteAllowance
from edge_agent.contracts.errors import NotConnected, Unsupported, WriteRefused, WriteUnknown
from edge_agent.contracts.writing import WriteOrder, WriteReport
from edge_agent.runtime.manual_clock import ManualClock
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.messages import Event
from edge_agent.wire.schema import TagSchema, ValueType
from edge_agent.writing.journal import NAME, WriteJournal
from edge_agent.writing.permit import Permit
from edge_agent.writing.writer import Rules, Writer


class FakeLink:
    """A PLC of one register. fails: what a write raises, before or after the register has it."""

    def __init__(self, journal: Path) -> None:
        self.holds: JsonValue = 7
        self.sent: list[JsonValue] = []
        self.fails: Exception | None = None
        self.unreadable: Exception | None = None
        self.alters: Callable[[Any], Any] = lambda value: value
        self.when_read: Callable[[], None] = lambda: None
        self.hold = asyncio.Event()
        self.hold.set()
        self.journalled: list[bytes] = []
        self._journal = journal

    async def write(self, _unit: int | None, target: Any, value: JsonValue, _seconds: float) -> None:
        assert target == "target"
        self.journalled.append(self._journal.read_bytes())
        self.sent.append(value)
        await self.hold.wait()
        if self.fails is not None:
            raise self.fails
        self.holds = self.alters(value)

    async def read_target(self, _unit: int | None, _target: Any, _seconds: float) -> JsonValue:
        self.when_read()
        if self.unreadable is not None:
            raise self.unreadable
        return self.holds


class House:
    def __init__(self, directory: Path, **entry: Any) -> None:
        self.clock = ManualClock()
        self.path = directory / NAME
        self.link: FakeLink = FakeLink(self.path)
        self.polled = True
        self.events: list[Event] = []
        self.hidden = ""
        self.permits: dict[str, Permit | str] = {}
        self.interval = 0.0
        self.permit(**{"min": 0, "max": 50, "interval": "0s", **entry})
        self.writer = self.start()

    def permit(self, **entry: Any) -> None:
        allowed = WriteAllowance.model_validate({"tag": "plc.set", **entry})
        schema = TagSchema("set", ValueType.UINT16, scale=0.1)
        self.permits["plc.set"] = Permit(allowed, "plc", "r1", 1, schema, "target")

    def start(self) -> Writer:
        return Writer(
            lambda: Rules(self.permits, self.interval),
            lambda permit: self.link if self.polled and permit.revision == "r1" else None,
            WriteJournal(self.path),
            self.clock,
            self.events.append,
            lambda permit: permit.tag.name == self.hidden,
        )

    async def write(self, value: JsonValue, tag: str = "plc.set") -> WriteReport:
        return await self.writer.write(WriteOrder(tag=tag, value=value, by="ada", source="here"), 10.0)

    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.path.read_bytes().splitlines()]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_a_write_is_journalled_before_it_is_sent_and_after_and_told(house: House) -> None:
    report = await house.write("4.5")
    assert (report.state, report.value, report.raw) == ("confirmed", 4.5, 45)
    assert (report.before, report.after) == (0.7, 4.5)
    assert house.link.sent == [45]
    begin, end = house.lines()
    assert orjson.loads(house.link.journalled[0]) == begin
    assert (begin["phase"], begin["tag"], begin["raw"], begin["by"]) == ("begin", "plc.set", 45, "ada")
    assert (end["phase"], end["id"], end["state"]) == ("end", begin["id"], "confirmed")
    [event] = house.events
    assert (event.code, event.connection) == ("write", "plc")
    assert event.message == "plc.set = 4.5 by ada: confirmed"
    assert event.data is not None
    assert event.data["source"] == "here"


@pytest.mark.parametrize(
    ("value", "tag", "code"),
    [
        ("50.1", "plc.set", "out_of_range"),
        ("-0.1", "plc.set", "out_of_range"),
        ("4.55", "plc.set", "bad_value"),
        ("1", "plc.other", "not_writable"),
    ],
)
async def test_what_is_not_permitted_is_neither_sent_nor_journalled(
    house: House, value: str, tag: str, code: str
) -> None:
    problem = house.writer.problem(tag, value)
    assert problem is not None
    assert problem.code == code
    report = await house.write(value, tag)
    assert (report.state, report.code) == ("refused", code)
    assert house.link.sent == []
    assert not house.path.exists()


async def test_without_an_allow_list_nothing_may_be_written(house: House) -> None:
    house.permits.clear()
    report = await house.write("1")
    assert (report.code, house.link.sent) == ("not_writable", [])
    assert "writes.allow" in report.message


async def test_a_tag_that_is_not_what_it_was_pinned_to_says_why(house: House) -> None:
    house.permits["plc.set"] = "plc.set is not what it was pinned to"
    report = await house.write("1")
    assert (report.code, report.message) == ("not_writable", "plc.set is not what it was pinned to")


async def test_what_was_judged_by_other_settings_than_are_polled_is_not_sent(house: House) -> None:
    house.polled = False
    report = await house.write("1")
    assert (report.state, report.code, house.link.sent) == ("refused", "not_connected", [])


async def test_only_the_values_that_are_listed(tmp_path: Path) -> None:
    house = House(tmp_path, min=None, max=None, values=[0, "2.5"])
    assert (await house.write("2.5")).state == "confirmed"
    report = await house.write("1")
    assert (report.code, report.message) == ("out_of_range", "plc.set may be set to 0, 2.5 alone")


async def test_not_more_often_than_permitted_for_one_tag_and_for_all(tmp_path: Path) -> None:
    house = House(tmp_path, interval="10s")
    house.interval = 2.0
    assert (await house.write("1")).state == "confirmed"
    house.clock.stand_still(9.0)
    report = await house.write("2")
    assert (report.code, "again in 1.0 s" in report.message) == ("too_often", True)
    house.clock.stand_still(1.0)
    assert (await house.write("2")).state == "confirmed"
    house.permits["plc.two"] = house.permits["plc.set"]
    report = await house.write("2", "plc.two")
    assert report.code == "too_often"
    assert house.link.sent == [10, 20]


async def test_a_tag_whose_write_waits_for_its_turn_takes_no_second_one(tmp_path: Path) -> None:
    """Else those that were ordered while a PLC was slow would be sent one straight after the other."""
    house = House(tmp_path, interval="1s")
    house.link.hold.clear()
    waiting = asyncio.ensure_future(house.write("1"))
    while not house.link.sent:
        await asyncio.sleep(0.001)
    house.clock.stand_still(5.0)
    report = await house.write("2")
    assert (report.code, report.message) == ("too_often", "a write of plc.set is under way already")
    house.link.hold.set()
    assert (await waiting).state == "confirmed"
    assert (await house.write("2")).code == "too_often"
    house.clock.stand_still(1.0)
    assert (await house.write("2")).state == "confirmed"
    assert house.link.sent == [10, 20]


async def test_the_rate_of_all_tags_holds_over_a_restart(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.interval = 3_600.0
    await house.write("1")
    house.permits["plc.two"] = house.permits["plc.set"]
    house.writer = house.start()
    assert (await house.write("2", "plc.two")).code == "too_often"


async def test_a_journal_of_anything_stops_nobody(house: House) -> None:
    lines = [
        b'{"phase":"begin","id":1,"time":"soon","tag":"' + b"x" * 400 + b'","by":"' + b"y" * 400 + b'"}',
        b'{"phase":"kept","last":7}', b'{"phase":"kept","last":{"a.b":null}}', b"[]", b"\xff\0", b"",
    ]  # fmt: skip
    house.path.write_bytes(b"\n".join(lines))
    assert (await house.write("1")).state == "confirmed"
    assert [event.message.partition(": ")[2] for event in house.events][1:] == ["confirmed"]


async def test_what_was_not_sent_counts_for_no_rate(tmp_path: Path) -> None:
    house = House(tmp_path, interval="10s")
    house.link.fails = NotConnected("no link")
    assert (await house.write("1")).code == "not_connected"
    house.link.fails = None
    assert (await house.write("1")).state == "confirmed"
    assert (await house.write("1")).code == "too_often"


async def test_the_rate_holds_over_a_restart_and_a_clock_that_was_set_back(tmp_path: Path) -> None:
    house = House(tmp_path, interval="10s")
    await house.write("1")
    house.clock.step_wall(-3_600_000)
    house.writer = house.start()
    assert (await house.write("2")).code == "too_often"
    house.clock.stand_still(10.0)
    assert (await house.write("2")).state == "confirmed"


@pytest.mark.parametrize(
    ("fails", "state", "code"),
    [
        (NotConnected("no link"), "refused", "not_connected"),
        (WriteRefused("illegal data value"), "refused", "device_refused"),
        (WriteUnknown("no answer"), "unknown", "unknown"),
    ],
)
async def test_what_the_link_says_is_how_it_ends_and_nothing_is_sent_again(
    house: House, fails: Exception, state: str, code: str
) -> None:
    house.link.fails = fails
    report = await house.write("1")
    assert (report.state, report.code, report.message) == (state, code, str(fails))
    assert house.link.sent == [10]
    assert house.lines()[-1]["state"] == state
    assert house.events[-1].message.endswith(f"{state}: {fails}")


async def test_another_value_than_was_written_is_told_with_what_it_is(house: House) -> None:
    house.link.alters = lambda _: 44
    report = await house.write("4.5")
    assert (report.state, report.code, report.after) == ("differs", "differs", 4.4)
    house.permit(min=0, max=50, interval="0s", tolerance=0.1)
    assert (await house.write("4.5")).state == "confirmed"


async def test_what_a_script_keeps_back_is_told_to_nobody_who_writes_it(house: House) -> None:
    house.hidden = "set"
    await house.write("4.5")
    assert (await house.write("4.5")).state == "confirmed"
    house.link.alters = lambda _: 44
    report = await house.write("4.5")
    assert (report.state, report.before, report.after) == ("differs", None, None)
    assert "4.4" not in f"{report}{house.events}{house.lines()}"


async def test_what_cannot_be_read_back_is_unconfirmed_and_says_why(house: House) -> None:
    house.link.unreadable = Unsupported("write only")
    report = await house.write("1")
    assert (report.state, report.before) == ("unconfirmed", None)
    assert "could not be read back: write only" in report.message


async def test_a_plc_that_does_not_answer_what_it_holds_is_not_written(house: House) -> None:
    house.link.unreadable = NotConnected("no answer within 2 s")
    report = await house.write("1")
    assert (report.state, report.code, house.link.sent) == ("refused", "not_connected", [])
    assert [line["phase"] for line in house.lines()] == ["begin", "end"]


@pytest.mark.parametrize("change", ["removed", "narrowed", "other"])
async def test_a_write_that_waits_while_its_permit_is_taken_back_is_not_sent(
    house: House, change: str
) -> None:
    def take_back() -> None:
        if change == "removed":
            del house.permits["plc.set"]
        elif change == "narrowed":
            house.permit(min=0, max=0.5, interval="0s")
        else:  # a reload that says the same of this tag
            house.permit(min=0, max=50, interval="0s")

    house.link.when_read = take_back
    report = await house.write("1")
    if change == "other":
        assert report.state == "confirmed"
    else:
        assert (report.state, report.code, house.link.sent) == ("refused", "not_writable", [])


async def test_where_confirmation_is_not_wanted_nothing_is_read(tmp_path: Path) -> None:
    house = House(tmp_path, confirm="none")
    house.link.unreadable = AssertionError("nobody reads")
    report = await house.write("1")
    assert (report.state, report.message) == ("unconfirmed", "")


async def test_a_journal_that_cannot_be_written_lets_nothing_be_sent(house: House) -> None:
    house.path.mkdir()
    report = await house.write("1")
    assert (report.state, report.code, house.link.sent) == ("refused", "not_journalled", [])


async def test_what_was_begun_goes_on_when_whoever_waits_is_cancelled(house: House) -> None:
    house.link.hold.clear()
    waiting = asyncio.ensure_future(house.write("1"))
    while not house.link.sent:
        await asyncio.sleep(0.001)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    house.link.hold.set()
    await house.writer.close(10.0)
    assert house.lines()[-1]["state"] == "confirmed"
    assert (await house.write("2")).code == "not_connected"


async def test_a_write_that_a_kill_cut_off_is_told_as_unknown_at_the_next_start_once(house: House) -> None:
    await house.write("1")
    whole = house.path.read_bytes()
    begin = whole.splitlines(keepends=True)[0]
    house.path.write_bytes(begin + b'{"phase":"end","id":"no')
    house.events.clear()
    for _ in range(2):
        house.writer = house.start()
        await house.writer.look_back()
    [event] = house.events
    assert event.message == "plc.set = 1.0 by ada: unknown: the agent ended in the middle of it"
    assert house.link.sent == [10]
    last = house.path.read_bytes().splitlines()[-1]
    assert orjson.loads(last)["state"] == "unknown"


async def test_many_writes_of_one_tag_do_not_make_the_rate_of_another_be_forgotten(tmp_path: Path) -> None:
    journal = WriteJournal(tmp_path / NAME, max_bytes=2_000)
    journal.append({"phase": "begin", "id": "first", "tag": "plc.set", "time": 5})
    for number in range(200):
        journal.append({"phase": "begin", "id": str(number), "tag": "plc.two", "time": number})
    assert WriteJournal(tmp_path / NAME).look_back().last_ms == {"plc.set": 5, "plc.two": 199}


async def test_what_waits_while_the_journal_is_set_aside_goes_into_the_new_one(tmp_path: Path) -> None:
    journal = WriteJournal(tmp_path / NAME)
    journal.append({"phase": "begin", "id": "old", "tag": "plc.set", "time": 5})
    with journal.path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = asyncio.ensure_future(asyncio.to_thread(journal.append, {"phase": "end", "id": "old"}))
        while _open_files().count(str(journal.path)) < 2:
            await asyncio.sleep(0.001)
        journal.path.rename(tmp_path / f"{NAME}.1")
    await waiting
    assert orjson.loads(journal.path.read_bytes()) == {"phase": "end", "id": "old"}


def _open_files() -> list[str]:
    return [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]


async def test_the_journal_stays_below_its_bound_and_forgets_nothing_open(tmp_path: Path) -> None:
    journal = WriteJournal(tmp_path / NAME, max_bytes=2_000)
    for number in range(200):
        journal.append({"phase": "begin", "id": str(number), "tag": "plc.two", "time": number})
        journal.append({"phase": "end", "id": str(number)})
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 4_200
    journal.append({"phase": "begin", "id": "open", "tag": "plc.set", "time": 5})
    for number in range(200, 220):
        journal.append({"phase": "begin", "id": str(number), "tag": "plc.two", "time": number})
        journal.append({"phase": "end", "id": str(number)})
    assert len(list(tmp_path.iterdir())) == 2
    past = WriteJournal(tmp_path / NAME, max_bytes=2_000).look_back()
    assert [line["id"] for line in past.open] == ["open"]
    assert past.last_ms == {"plc.set": 5, "plc.two": 219}
