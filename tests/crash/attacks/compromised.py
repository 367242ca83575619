"""A worker whose interpreter is the attacker's: confined as the real one, it then runs payloads by name.

Started by `stand` under `python -I` with the agent's process id and the layers to take on.
"""

import json
import os
import struct
import sys
from typing import Any

# Neither pathlib nor the agent's codec: a hundred of these are begun.
sys.path.append(os.path.abspath(__file__).rsplit("/tests/", 1)[0])  # noqa: PTH100

from edge_agent.hooks.worker.sandbox import confine
from tests.crash.attacks import kernel_payloads, payloads

HEAD = struct.Struct("!III")
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


def tell(number: int, head: Any) -> None:
    text = json.dumps(head).encode()
    data = HEAD.pack(4 + len(text), number, len(text)) + text
    while data:
        data = data[os.write(0, data) :]


def request() -> tuple[int, Any]:
    data = b""
    while len(data) < HEAD.size or len(data) < 8 + HEAD.unpack_from(data)[0]:
        part = os.read(0, 65536)
        if not part:
            os._exit(0)
        data += part
    return HEAD.unpack_from(data)[1], json.loads(data[HEAD.size :])


def main() -> None:
    attacks = found()
    tell(0, {"layers": confine(int(sys.argv[1]), sys.argv[2:])})
    while True:
        number, order = request()
        try:
            answer = {"reached": attacks[order["attack"]](order["facts"])}
        except (OSError, ValueError, MemoryError, RuntimeError, payloads.Held) as held:
            answer = {"held": f"{type(held).__name__}: {held}"}
        tell(number, answer)


if __name__ == "__main__":
    main()
