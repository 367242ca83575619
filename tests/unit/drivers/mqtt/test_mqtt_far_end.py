"""A broker takes any number of clients: two connections to one are nothing to warn of."""

from pathlib import Path

from edge_agent.app.settings import load_config

CONNECTION = """
  - name: {name}
    driver: mqtt
    transport: {{host: broker.plant.example, port: 8883, tls: {{}}}}
    groups: [{{name: g, interval: 1s, tags: [{{name: a, topic: plant/a}}]}}]
"""


def test_two_connections_to_one_broker_are_not_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.yaml"
    connections = "".join(CONNECTION.format(name=name) for name in ("press", "oven"))
    path.write_text(f"agent: {{id: a}}\nconnections:{connections}")
    assert load_config(path).warnings == ()
