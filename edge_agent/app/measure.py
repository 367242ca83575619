"""Times one real round of every group, for `edge-agent plan --measure`. Reads only."""

import asyncio
from collections.abc import Callable, Iterable

from edge_agent.app.offline import line_of
from edge_agent.config.load import Loaded
from edge_agent.config.models import ConnectionSettings
from edge_agent.contracts.driver import Driver, Plan
from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers import registry
from edge_agent.pipeline.build import groups_of, located, plan_group
from edge_agent.runtime.clock import SystemClock
from edge_agent.runtime.logging import hush_libraries

Seconds = dict[tuple[str, str], float]


async def measure(loaded: Loaded, warn: Callable[[str], None]) -> Seconds:
    """Seconds of one round by (connection, group). Lines go side by side, what shares a line in turn.

    A group that was not read is left out, and `warn` gets a line with the reason.
    """
    hush_libraries()
    lines: dict[str, list[ConnectionSettings]] = {}
    for settings in loaded.document.connections:
        if settings.enabled:
            lines.setdefault(line_of(settings), []).append(settings)
    found = await asyncio.gather(
        *(_measure_line(connections, loaded, warn) for connections in lines.values())
    )
    return {name: seconds for line in found for name, seconds in line.items()}


async def _measure_line(
    connections: Iterable[ConnectionSettings], loaded: Loaded, warn: Callable[[str], None]
) -> Seconds:
    found: Seconds = {}
    for settings in connections:
        spec = registry.lookup(settings.driver)
        plans = [plan_group(spec, settings, group) for group in groups_of(settings)]
        driver: Driver = spec.factory(located(settings, loaded.directory, loaded.state_directory))
        try:
            await driver.connect()
            for plan in plans:
                await _measure_group(driver, plan, found, warn)
        except NotConnected as error:
            warn(f"{settings.name}: not measured: {error}")
        finally:
            await driver.close()
    return found


async def _measure_group(driver: Driver, plan: Plan, found: Seconds, warn: Callable[[str], None]) -> None:
    clock = SystemClock()
    name = (plan.schema.connection, plan.schema.group)
    began = clock.monotonic()
    reading = await driver.read(plan)
    if reading.unanswered:
        warn(f"{'.'.join(name)}: not measured: unit {plan.schema.unit_id} does not answer")
    else:
        found[name] = clock.monotonic() - began
