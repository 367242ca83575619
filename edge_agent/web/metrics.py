"""Prometheus text from an agent's status, by prometheus_client's exposition. Pure."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from edge_agent.contracts.status import AgentStatus
from edge_agent.web.families import FAMILIES, Family

PREFIX: Final = "holdfast_"
# The format that every Prometheus, VictoriaMetrics, Telegraf and Grafana Alloy reads.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def render(status: AgentStatus) -> bytes:
    """The whole exposition of one snapshot."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(status))
    return generate_latest(registry)


class _StatusCollector(Collector):
    def __init__(self, status: AgentStatus) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            yield _metric(family, self._status)


def _metric(family: Family, status: AgentStatus) -> Metric:
    name = PREFIX + family.name
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(name, family.help, labels=family.labels)
    for labels, value in family.read(status):
        if value is not None:
            metric.add_metric([_storable(label) for label in labels], float(value))
    return metric


def _storable(label: str) -> str:
    """A label's value as UTF-8 can carry it: a lone surrogate, from a name that is not text, cannot."""
    return label.encode("utf-8", "replace").decode()
