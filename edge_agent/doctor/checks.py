"""The checks in their order."""

from edge_agent.doctor.centre import Centre
from edge_agent.doctor.clock import Clock
from edge_agent.doctor.config import Config
from edge_agent.doctor.connections import Asker, Connections
from edge_agent.doctor.disk import Disk
from edge_agent.doctor.examination import Check
from edge_agent.doctor.hooks import Hooks, Trier
from edge_agent.doctor.names import Names
from edge_agent.doctor.rights import Rights
from edge_agent.doctor.tls import Tls


def checks(asker: Asker, trier: Trier, *, direct: bool) -> list[Check]:
    """Named as in contracts.check_names.CHECKS. direct: ask PLCs although an agent runs."""
    return [
        Config(), Clock(), Disk(), Rights(), Hooks(trier), Names(), Tls(), Centre(),
        Connections(asker, direct=direct),
    ]  # fmt: skip
