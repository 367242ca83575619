"""The HTTP driver: polls documents (JSON, text, Prometheus' exposition, Shelly's status) over HTTP and HTTPS.

settings and address → plan (pure) → client (I/O) → body (pure, bounded) and documents (pure) → values. It
reads: one GET a path and cycle serves all tags of that path. It writes nothing.
"""

from typing import TYPE_CHECKING, Final

from edge_agent.contracts.driver import Capability, DriverSpec
from edge_agent.drivers.http.plan import plan
from edge_agent.drivers.http.settings import HttpConnection

if TYPE_CHECKING:
    from edge_agent.contracts.driver import Driver


def _driver(settings: HttpConnection) -> "Driver":
    """The client's library is loaded where somebody polls over HTTP."""
    from edge_agent.drivers.http.client import HttpDriver

    return HttpDriver(settings)


SPEC: Final = DriverSpec(
    name="http",
    summary="JSON, text, Prometheus metrics and Shelly meters, polled over HTTP and HTTPS",
    settings=HttpConnection,
    capabilities=frozenset({Capability.READ}),
    plan=plan,
    factory=_driver,
    requires=("aiohttp",),
)
