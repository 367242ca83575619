"""What `edge-agent browse` asks of a server."""

from collections.abc import Callable

from edge_agent.config.load import Loaded
from edge_agent.config.models import ConnectionSettings
from edge_agent.contracts.driver import Browsed, Browsing, Capability, Driver
from edge_agent.contracts.errors import ConfigError, NotConnected, Unsupported
from edge_agent.drivers import registry
from edge_agent.pipeline.build import located
from edge_agent.runtime.logging import hush_libraries


async def browse(
    loaded: Loaded, connection: str, start: str, depth: int, progress: Callable[[int], None]
) -> list[Browsed]:
    """What stands under `start` of a connection's server, over a link of its own.

    progress: gets the number of things found so far. Raises NotConnected; ConfigError for a connection or a
    start that cannot be, and Unsupported for a protocol that does not tell what there is.
    """
    hush_libraries()
    settings = _chosen(loaded, connection)
    spec = registry.lookup(settings.driver)
    driver: Driver = spec.factory(located(settings, loaded.directory, loaded.state_directory))
    if Capability.BROWSE not in spec.capabilities or not isinstance(driver, Browsing):
        raise Unsupported(
            f"{connection}: {spec.name} cannot tell what there is: take the addresses from the device's "
            "documents or its project"
        )
    found: list[Browsed] = []
    try:
        await driver.connect()
        async for each in driver.browse(start, depth):
            found.append(each)
            progress(len(found))
    except NotConnected as error:
        raise NotConnected(f"{connection}: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{connection}: {error}") from error
    finally:
        await driver.close()
    return found


def _chosen(loaded: Loaded, name: str) -> ConnectionSettings:
    """Also one that is switched off: its tags may still have to be found."""
    for settings in loaded.document.connections:
        if settings.name == name:
            return settings
    known = ", ".join(each.name for each in loaded.document.connections) or "none"
    raise ConfigError(f"there is no connection {name!r}; there are: {known}")
