"""What `check` says of an OPC UA connection that works and is unwise, and that it never says the password."""

from pathlib import Path

import pytest

from edge_agent.app.settings import load_config

CONFIG = """\
agent: {{id: gate-1}}
connections:
  - name: press1
    driver: opcua
    enabled: {enabled}
    transport:
      url: opc.tcp://192.0.2.20
      security:
        user: holdfast
        password: geheim-4711
        {more}
    groups:
      - {{name: a, interval: 1s, tags: [{{name: t, address: i=2258}}]}}
"""


def warnings(directory: Path, more: str, enabled: str = "true") -> list[str]:
    path = directory / "edge-agent.yaml"
    path.write_text(CONFIG.format(more=more, enabled=enabled))
    return [str(each).removeprefix(f"{directory}/") for each in load_config(path).warnings]


@pytest.mark.parametrize(
    ("more", "place", "word"),
    [
        (
            "policy: none",
            "edge-agent.yaml:9:15: connections[press1].transport.security.user: ",
            "not encrypted",
        ),
        ("clear_text: allow", "edge-agent.yaml:11:21: ", "everybody on the way can read the password"),
        ("{policy: basic256sha256, mode: sign}", "edge-agent.yaml:9:15: ", "not encrypted"),
        ("{policy: aes128_sha256_rsaoaep, trust: none}", "edge-agent.yaml:12:16: ", "any server is taken"),
        ("{policy: basic256sha256, tolerate: [time]}", "edge-agent.yaml:12:19: ", "in spite of their time"),
    ],
)
def test_it_is_told_where_it_stands(tmp_path: Path, more: str, place: str, word: str) -> None:
    lines = more.strip("{}").replace(", ", "\n        ") if more.startswith("{") else more
    (found,) = warnings(tmp_path, lines)
    assert found.startswith(place)
    assert word in found
    assert "geheim" not in found


def test_what_is_safe_or_switched_off_is_not_doubted(tmp_path: Path) -> None:
    assert warnings(tmp_path, "policy: aes256_sha256_rsapss") == []
    assert warnings(tmp_path, "policy: none", enabled="false") == []
