"""The peers that every driver is held to the contract with: one module each."""

from collections.abc import Callable
from pathlib import Path

from tests.contract.peers import host, http, modbus, mqtt, opcua, s7, xgt
from tests.contract.peers.contract import Peer

# Each takes a directory of its own.
PEERS: dict[str, Callable[[Path], Peer]] = {
    **modbus.PEERS,
    **mqtt.PEERS,
    **http.PEERS,
    **host.PEERS,
    **xgt.PEERS,
    **s7.PEERS,
    **opcua.PEERS,
}
# Those of them that let a tag be written, and those whose groups are subscriptions.
WRITING: tuple[str, ...] = (
    "modbus-tcp",
    "modbus-rtu-over-tcp",
    "modbus-udp",
    "modbus-serial",
    "xgt-tcp",
    "xgt-udp",
    "s7",
    "s7-one-job",
    *opcua.PEERS,
)
SUBSCRIBING: tuple[str, ...] = (*mqtt.PEERS, "opcua-subscribe")
