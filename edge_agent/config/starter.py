"""The commented file that `edge-agent init` writes. Pure."""

from typing import Final

from edge_agent.config.environment import TOKEN_SECRET
from edge_agent.config.sample import flow

_BUFFER_BESIDE: Final = "path: buffer.db            # beside this file"
_BUFFER_OF_SERVICE: Final = "path: /var/lib/holdfast/buffer.db  # where the unit lets it write"


def starter(
    *,
    device: str,
    host: str,
    port: int,
    unit_id: int,
    central: str | None = None,
    driver: str = "modbus",
    service: bool = False,
) -> str:
    """A config with one connection, one group and six tags to be replaced.

    central: address of the centre; None for an agent that works alone. service: for the unit of systemd,
    which lets the agent write in its own directories alone.
    """
    return f"""\
# The config of edge-agent on this device. Every setting: config/edge-agent.yaml in the documentation.
# What is wrong with it:  edge-agent check       Take a change over:  edge-agent reload

agent:
  id: {flow(device)}
  labels: {{}}                 # such as {{site: north, line: a}}: for finding this device at the centre

{_central(central)}
buffer:
  {_BUFFER_OF_SERVICE if service else _BUFFER_BESIDE}
  flush_interval: 1s         # 10s spares an SD card; a power cut loses at most this much
  max_bytes: 2GiB            # of which a quarter is for what the centre already has

# What the centre may replace here; nothing until you say so: [connections]
remote:
  manage: []

connections:
  - name: plc1
    driver: {flow(driver)}
    transport:
      host: {flow(host)}
      port: {port}
      unit_id: {unit_id}             # station behind a gateway; a group may name another one
      timeout: 2s
    groups:
      - name: main
        interval: 1s
        # Replace these. Addresses count from zero; 40001 in a manual is holding:0.
        tags:
          - {{name: temperature, address: "holding:0", type: int16, scale: 0.1, unit: °C}}
          - {{name: speed, address: "holding:1", type: uint16, unit: 1/min}}
          # One line for many: zone1 … zone4, each with one register of the range.
          - {{name: "zone[1..4]", address: "holding:10..13", type: uint16}}
"""


def _central(url: str | None) -> str:
    if url is None:
        return """\
# The agent works alone. To send what it collects to a centre: edge-agent enroll --token-file FILE
# with an enrolment token of that centre, which adds the section `central:` to this file.
"""
    return f"""\
# The device's token belongs into the file secrets/{TOKEN_SECRET} beside this one (chmod 600).
central:
  url: {flow(url)}
  token: !secret {TOKEN_SECRET}
"""
