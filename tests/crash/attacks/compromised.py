"""A worker whose interpreter is the attacker's: confined as the real one, it then runs payloads by name.

Started by `stand` under `python -I` with the agent's process id and the layers to take on.
"""

import os
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[3]))

from edge_agent.hooks.protocol import HEAD, decode, encode
from edge_agent.hooks.worker.sandbox import confine
from tests.crash.attacks import kernel_payloads, payloads

MODULES = (payloads, kernel_payloads)


def found() -> dict[str, payloads.Payload]:
    """Every function of theirs that takes facts and is no tool."""
    return {
        name: each
        for module in MODULES
        for name, each in vars(module).items()
        if getattr(each, "__module__", "") == module.__name__
        and getattr(each, "__annotations__", {}).get("facts") is payloads.Facts
    }


def tell(data: bytes) -> None:
    while data:
        data = data[os.write(0, data) :]


def request() -> tuple[int, Any]:
    data = b""
    while len(data) < HEAD.size or len(data) < HEAD.size + HEAD.unpack_from(data)[0]:
        part = os.read(0, 65536)
        if not part:
            os._exit(0)
        data += part
    return HEAD.unpack_from(data)[1], decode(data[HEAD.size :])[0]


def main() -> None:
    attacks = found()
    tell(encode(0, {"layers": confine(int(sys.argv[1]), sys.argv[2:])}))
    while True:
        number, order = request()
        try:
            answer = {"reached": attacks[order["attack"]](order["facts"])}
        except (OSError, ValueError, MemoryError, RuntimeError, payloads.Held) as held:
            answer = {"held": f"{type(held).__name__}: {held}"}
        tell(encode(number, answer))


if __name__ == "__main__":
    main()
