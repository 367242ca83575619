"""Who may send when a broker says who it is, and who is gone when its last will comes."""

import pytest

from central_sync.services.devices.admission import Admission
from central_sync.services.devices.health import DeviceState
from central_sync.services.devices.presence import Presence
from central_sync.services.devices.registry import RegistryView
from central_sync.services.devices.roll import Entry, Roll
from central_sync.services.errors import Forbidden
from tests.unit.central.conftest import FakeClock

ENTRY = Entry(1, b"", DeviceState.ONLINE, None, None, None)


class Registry:
    """Implements admission.Known. asked: how often the database was."""

    def __init__(self) -> None:
        self.asked = 0
        self.views: dict[str, RegistryView] = {}

    def add(self, device: str, decommissioned: int | None = None) -> None:
        self.views[device] = RegistryView.of(
            device_id=device, name="", labels={}, notes="", created=1, decommissioned=decommissioned
        )

    async def registry(self, device: str) -> RegistryView | None:
        self.asked += 1
        return self.views.get(device)


async def test_a_device_that_nobody_registered_is_refused() -> None:
    with pytest.raises(Forbidden) as refused:
        await Admission(Roll(), Registry()).require("stranger")
    assert refused.value.code == "unknown_device"


async def test_a_device_out_of_service_is_refused_from_the_commit_on_that_ended_it() -> None:
    known, roll = Registry(), Roll()
    known.add("dev-1")
    roll.put("dev-1", ENTRY)
    admission = Admission(roll, known)
    await admission.require("dev-1")
    known.add("dev-1", decommissioned=5)
    roll.forget("dev-1")
    with pytest.raises(Forbidden) as refused:
        await admission.require("dev-1")
    assert refused.value.code == "decommissioned"


async def test_a_fleet_in_service_costs_the_database_nothing() -> None:
    known, roll = Registry(), Roll()
    roll.put("dev-1", ENTRY)
    for _ in range(100):
        await Admission(roll, known).require("dev-1")
    assert known.asked == 0


async def test_a_registered_device_may_come_before_its_first_heartbeat() -> None:
    known = Registry()
    known.add("dev-1")
    await Admission(Roll(), known).require("dev-1")


def test_a_device_whose_last_will_came_is_overdue_until_it_is_heard() -> None:
    presence = Presence(FakeClock(), 30.0)
    presence.heard("dev-1", 30.0)
    assert presence.overdue() == []
    presence.gone("dev-1")
    assert presence.is_overdue("dev-1")
    presence.heard("dev-1", 30.0)
    assert presence.overdue() == []
