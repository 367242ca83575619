from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from edge_agent.contracts.status import AgentStatus
from edge_agent.web.families import FAMILIES
from edge_agent.web.metrics import PREFIX, render
from edge_agent.wire.messages import ConnectionReport

Key = tuple[str, frozenset[tuple[str, str]]]


def _samples(status: AgentStatus) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for family in text_string_to_metric_families(render(status).decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, "each series is there once"
            found[key] = sample.value
    return found


def _key(name: str, **labels: str) -> Key:
    return f"{PREFIX}{name}", frozenset(labels.items())


def test_figures_are_in_base_units(well: AgentStatus) -> None:
    found = _samples(well)
    assert found[_key("build_info", version="0.1.0", device="press-shop-01")] == 1
    assert found[_key("start_time_seconds")] == 1_767_225_600
    assert found[_key("host_cpu_ratio")] == 0.125
    assert found[_key("clock_offset_seconds")] == -0.0035
    assert found[_key("clock_synchronised")] == 1
    assert found[_key("buffer_commits_total")] == 11_519
    assert found[_key("connection_latency_seconds", connection="press1")] == 0.0024
    assert found[_key("connection_up", connection="press1")] == 1
    assert found[_key("samples_suppressed_total", connection="press1")] == 1_843_200
    assert found[_key("unit_good_cycles_total", connection="press1", unit="1")] == 23_040
    assert found[_key("unit_state", connection="oven", unit="", state="ok")] == 1
    assert found[_key("sink_delivered_bytes_total", sink="central")] == 35_651_584
    assert found[_key("config_state", state="applied")] == 1
    assert found[_key("config_state", state="rejected")] == 0
    assert found[_key("component_restarts_total", component="uploader")] == 1


def test_what_is_not_known_has_no_sample(ill: AgentStatus) -> None:
    found = _samples(ill)
    assert _key("host_cpu_ratio") not in found
    assert found[_key("clock_synchronised")] == 0
    measured = [labels for name, labels in found if name == "holdfast_connection_latency_seconds"]
    assert measured == [frozenset({("connection", "press1")})]


def test_labels_carry_any_text(ill: AgentStatus) -> None:
    name = '프레스 "2" \\ 한글'
    found = _samples(ill)
    assert found[_key("connection_up", connection=name)] == 0
    assert found[_key("component_running", component="poller 프레스\n2")] == 0


def test_a_name_that_is_no_text_costs_nobody_else_a_figure(well: AgentStatus) -> None:
    broken = ConnectionReport.model_construct(name="a\ud800b", driver="modbus", state="down", units=[])
    found = _samples(well.model_copy(update={"connections": [broken, *well.connections]}))
    assert found[_key("connection_up", connection="a?b")] == 0
    assert found[_key("connection_up", connection="press1")] == 1


def test_every_family_has_help_type_and_at_least_a_sample(well: AgentStatus, ill: AgentStatus) -> None:
    text = render(well).decode()
    found = {name for status in (well, ill) for name, _ in _samples(status)}
    for family in FAMILIES:
        name = PREFIX + family.name
        assert f"# HELP {name} " in text
        assert f"# TYPE {name} {family.kind}\n" in text
        assert name in found


def test_names_follow_the_conventions() -> None:
    assert max(Counter(family.name for family in FAMILIES).values()) == 1
    for family in FAMILIES:
        assert (family.kind == "counter") is family.name.endswith("_total")
        assert family.help.endswith((".", "1"))


def test_a_hundred_connections_are_a_hundred_series(well: AgentStatus) -> None:
    many = [well.connections[0].model_copy(update={"name": f"press{n}"}) for n in range(100)]
    found = _samples(well.model_copy(update={"connections": many, "accounting": []}))
    assert sum(name == "holdfast_connection_up" for name, _ in found) == 100
