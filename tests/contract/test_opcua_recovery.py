"""What becomes of an OPC UA subscription that is cut, ended or refused: once each, or told as lost."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua.ua.uatypes import Variant, VariantType

from edge_agent.contracts.driver import Driver, Plan, Reading
from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.opcua.client import OpcUaDriver
from edge_agent.drivers.registry import lookup
from edge_agent.wire.quality import Quality
from tests.contract.opcua_server import OpcUaServer

SERVED_WITHIN_SECONDS = 5.0


def number(value: float) -> Variant:
    return Variant(value, VariantType.Double)


class Site:
    """A server with one number, and a driver that has subscribed to it."""

    def __init__(self) -> None:
        self.server = OpcUaServer({"ns=1;s=a": number(0.0)}, datetime.now(UTC))
        self.driver: Driver
        self.plan: Plan
        self.asleep = 0.0  # for how long this process has stood still
        self.lost: list[str] = []
        self.values: list[float] = []

    def configure(self, tag: dict[str, Any] | None = None) -> None:
        address = "nsu=urn:holdfast:contract;s=a"
        tags = [{"name": "a", "address": address, "type": "float64", **(tag or {})}]
        settings: Any = {
            "name": "c",
            "transport": {"url": f"opc.tcp://127.0.0.1:{self.server.port}", "timeout": "300ms"},
            "groups": [{"name": "g", "interval": "20ms", "tags": tags}],
        }
        spec = lookup("opcua")
        made: Any = spec.settings.model_validate(settings)
        self.plan = spec.plan(made, made.groups[0])
        self.driver = OpcUaDriver(made, lambda: time.monotonic() + self.asleep)

    async def read(self) -> Reading | None:
        """None where the link had to be opened again."""
        try:
            reading = await self.driver.read(self.plan)
        except NotConnected:
            await self.driver.connect()
            return None
        self.lost += reading.lost
        for part in reading.news or ():
            if part.row:
                self.values.append(struct.unpack("<d", part.row)[0])
        return reading

    async def until_value(self, value: float) -> None:
        async with asyncio.timeout(SERVED_WITHIN_SECONDS):
            while value not in self.values:
                await self.read()
                await asyncio.sleep(0.005)

    def change(self, value: float) -> None:
        self.server.changed("ns=1;s=a", number(value))


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    await made.server.start()
    made.configure()
    await made.driver.connect()
    await made.until_value(0.0)
    yield made
    await made.driver.close()
    await made.server.stop()


async def swallowed(site: Site, value: float) -> None:
    """A change whose message is sent and never arrives."""
    (held,) = site.server.subscriptions.values()
    site.server.loses_notifications = True
    before = held.sequence
    site.change(value)
    async with asyncio.timeout(SERVED_WITHIN_SECONDS):
        while held.sequence == before:
            await asyncio.sleep(0.005)
    site.server.loses_notifications = False


async def test_what_was_sent_in_vain_is_asked_for_over_the_next_link(site: Site) -> None:
    await swallowed(site, 1.0)
    site.server.cut()
    site.change(2.0)
    await site.until_value(2.0)
    assert site.values == [0.0, 0.0, 1.0, 2.0]  # what it was is told again with the new link
    assert site.lost == []


async def test_what_the_server_does_not_keep_is_told_as_lost(site: Site) -> None:
    site.server.keeps_sent = False
    await swallowed(site, 1.0)
    site.server.cut()
    site.change(2.0)
    await site.until_value(2.0)
    assert 1.0 not in site.values
    assert site.lost[0] == "messages 2 to 2 of the server (1) did not come"


async def test_a_value_that_was_in_a_missing_message_is_fetched_though_it_does_not_change_again(
    site: Site,
) -> None:
    """Else the value before it would stay good for as long as the tag does not change."""
    site.server.keeps_sent = False
    await swallowed(site, 1.0)
    await site.until_value(1.0)
    missing, gap = site.lost
    assert missing == "messages 2 to 2 of the server (1) did not come"
    assert gap.endswith("the subscription was made anew, as messages were missing")
    assert len(site.server.subscriptions) == 1, "the one before is not left behind"
    site.change(2.0)
    await site.until_value(2.0)
    assert len(site.lost) == 2


async def test_a_server_that_leaves_out_numbers_does_not_get_a_subscription_for_each(site: Site) -> None:
    made = site.server.made
    for value in (1.0, 2.0, 3.0, 4.0):
        for held in site.server.subscriptions.values():
            held.sequence += 1
        site.change(value)
        await site.until_value(value)
    assert site.server.made == made + 1


async def test_a_session_that_is_over_hands_its_subscription_to_the_next(site: Site) -> None:
    made = site.server.made
    site.server.forgets_sessions = True
    site.server.cut()
    site.change(1.0)
    await site.until_value(1.0)
    assert site.server.made == made
    assert site.lost == []


@pytest.mark.parametrize("tells", [True, False])
async def test_a_subscription_of_another_client_is_not_taken_for_ours_after_a_restart(
    site: Site, tells: bool
) -> None:
    """A server counts from the beginning again: our number may be somebody else's by now."""
    before = site.server.started
    site.server.forgets_sessions = True
    site.server.started = before + timedelta(seconds=9) if tells and before is not None else None
    site.server.values["ns=1;s=b"] = number(77.0)
    (held,) = site.server.subscriptions.values()
    held.items = {0: "ns=1;s=b"}
    held.waiting.append((0, number(77.0)))
    site.server.cut()
    site.change(4.0)
    await site.until_value(4.0)
    assert 77.0 not in site.values
    assert len(site.lost) == 1


async def test_a_subscription_that_the_server_ended_is_made_anew_and_the_gap_told(site: Site) -> None:
    site.server.end_subscriptions()
    async with asyncio.timeout(SERVED_WITHIN_SECONDS):
        while not site.lost:
            await site.read()
            await asyncio.sleep(0.005)
    (text,) = site.lost
    assert text.startswith("changes from 20")
    assert text.endswith("the server kept no subscription (BadTimeout (0x800A0000))")
    site.change(3.0)
    await site.until_value(3.0)


async def test_a_server_that_forgot_everything_gets_a_new_subscription_and_the_gap_is_told(
    site: Site,
) -> None:
    site.server.subscriptions.clear()
    site.server.cut()
    site.change(4.0)
    await site.until_value(4.0)
    assert len(site.lost) == 1


async def test_a_subscription_that_died_without_a_word_is_made_anew_and_the_gap_told(site: Site) -> None:
    """tb#1641, telegraf#18454: connected, and the subscription is dead."""
    site.server.kill_subscriptions()
    site.change(8.0)
    await site.until_value(8.0)
    assert len(site.lost) == 1


async def test_a_process_that_stood_still_goes_on_with_its_subscription(site: Site) -> None:
    site.asleep += 60.0
    site.change(1.0)
    await site.until_value(1.0)
    assert site.values == [0.0, 1.0]
    assert site.lost == []


async def test_a_namespace_that_was_numbered_anew_is_found_by_its_uri(site: Site) -> None:
    await site.server.stop()
    site.server.namespaces.insert(1, "urn:another")
    site.server.values = {"ns=2;s=a": number(5.0)}
    await site.server.start()
    await site.driver.close()
    await site.driver.connect()
    await site.until_value(5.0)


async def test_a_namespace_that_is_not_there_makes_its_tag_bad_alone(site: Site) -> None:
    await site.driver.close()
    site.configure({"address": "nsu=urn:nobody;s=a"})
    await site.driver.connect()
    reading = await site.driver.read(site.plan)
    ((run,),) = [part.quality for part in reading.news or ()]
    assert (run.quality, run.status) == (Quality.BAD_CONFIG, 0x80340000)
    await site.driver.close()


@pytest.mark.parametrize("refuses", [False, True])
async def test_a_deadband_is_asked_of_the_server_in_its_own_numbers(site: Site, refuses: bool) -> None:
    site.server.refuses_bands = refuses
    await site.driver.close()
    site.configure({"scale": 0.1, "deadband": {"absolute": 2.0}})
    await site.driver.connect()
    site.change(6.0)
    await site.until_value(6.0)
    assert site.server.bands == ([] if refuses else [pytest.approx(20.0, rel=1e-5)])
    assert all(band < 20.0 for band in site.server.bands)  # so that the agent's own filter decides


async def test_a_deadband_with_a_least_interval_is_the_agents_alone(site: Site) -> None:
    await site.driver.close()
    site.configure({"deadband": {"absolute": 2.0, "min_interval": "1s"}})
    await site.driver.connect()
    site.change(7.0)
    await site.until_value(7.0)
    assert site.server.bands == []


async def test_keepalives_come_as_often_as_wanted_of_a_server_that_publishes_more_rarely(site: Site) -> None:
    """Counted in its own intervals they would come when values are stale already."""
    site.server.shortest_interval = 0.1
    await site.driver.close()
    await site.driver.connect()
    site.values.clear()
    await site.until_value(0.0)
    (held,) = site.server.subscriptions.values()
    assert held.keepalive * held.interval <= 0.2


async def test_a_session_is_not_taken_up_when_it_must_be_over(site: Site) -> None:
    """Its client may be refused for good by then: by a certificate that was renewed meanwhile."""
    sessions = site.server.sessions
    await site.server.stop()
    with pytest.raises(NotConnected):
        await site.driver.connect()
    site.asleep += 121.0
    await site.server.start()
    await site.driver.connect()
    assert site.server.sessions == sessions + 1
    site.server.cut()
    await site.driver.connect()
    assert site.server.sessions == sessions + 1, "and one that cannot be over is"
