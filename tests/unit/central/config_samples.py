"""Documents that agents take, in their smallest form."""

from typing import Any

import orjson


def connection(
    name: str = "press1", host: str = "192.0.2.10", tags: int = 1, **changes: Any
) -> dict[str, Any]:
    listed = [{"name": f"t{number}", "address": f"holding:{number}"} for number in range(tags)]
    plain: dict[str, Any] = {
        "name": name,
        "driver": "modbus",
        "transport": {"type": "tcp", "host": host},
        "groups": [{"name": "fast", "interval": "1s", "tags": listed}],
    }
    return {**plain, **changes}


def sections(*connections: dict[str, Any]) -> bytes:
    return orjson.dumps({"connections": list(connections)})
