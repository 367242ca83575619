"""How long large configs take: the load by itself, and `edge-agent check` as people start it; beside the
library that parses the same file and makes nothing of it.
"""

import asyncio
import csv
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson
import yaml

from bench.figure import Beside, Order, Outcome
from edge_agent.demo.children import output_of

_LEAST_RUNS: Final = 3
_MOST_RUNS: Final = 9
_RANGE_TAGS: Final = 1000
_GROUP_TAGS: Final = 1000
_LIST_TAGS: Final = 5000
# Of uint16 tags in one area.
_REGISTERS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Sample:
    """A config file, the files that it includes, and what the peer reads."""

    config: Path
    tags: int
    parse: Callable[[], object]
    peer: str


async def csv_20000(order: Order) -> list[Outcome]:
    tags = 20_000
    paths = [order.directory / f"tags-{start}.csv" for start in range(0, tags, _LIST_TAGS)]
    for index, path in enumerate(paths):
        await asyncio.to_thread(_write_csv, path, range(index * _LIST_TAGS, (index + 1) * _LIST_TAGS))
    groups = [_group(path.stem, [{"include": path.name}]) for path in paths]
    config = _config(order.directory, [_connection("press", groups)])
    sample = Sample(config, tags, partial(_read_csv, paths), "csv.reader on the same lists")
    shape = f"a group for each CSV list of {_LIST_TAGS:,}"
    return [await _measure("config_csv_20000", shape, sample, order, 1.0)]


async def block_5000(order: Order) -> list[Outcome]:
    tags = 5_000
    return [await _yaml("config_block_5000", tags, order, 1.0, flow=False)]


async def flow_20000(order: Order) -> list[Outcome]:
    tags = 20_000
    return [await _yaml("config_flow_20000", tags, order, 8.0, flow=True)]


async def ranges_100000(order: Order) -> list[Outcome]:
    """The reference line's config: a hundred connections of one range each."""
    tags = {"name": f"t[0..{_RANGE_TAGS - 1}]", "address": f"holding:0..{_RANGE_TAGS - 1}", "type": "uint16"}
    config = _config(
        order.directory, [_connection(f"plc{index:03d}", [_group("all", [tags])]) for index in range(100)]
    )
    sample = Sample(
        config, 100 * _RANGE_TAGS, partial(_read_yaml, config), "yaml.CSafeLoader on the same file"
    )
    return [await _measure("config_ranges_100000", "100 connections of one range", sample, order, None)]


async def _yaml(name: str, tags: int, order: Order, goal: float, *, flow: bool) -> Outcome:
    groups = [
        _group(f"g{start}", [_tag(index) for index in range(start, start + _GROUP_TAGS)])
        for start in range(0, tags, _GROUP_TAGS)
    ]
    config = _config(order.directory, [_connection("press", groups)], flow=flow)
    sample = Sample(config, tags, partial(_read_yaml, config), "yaml.CSafeLoader on the same file")
    style = "flow style, one tag a line" if flow else "block style, one setting a line"
    return await _measure(name, f"tags in YAML, {style}", sample, order, goal)


async def _measure(name: str, shape: str, sample: Sample, order: Order, goal: float | None) -> Outcome:
    """The load and its peer take turns, so that both meet the same disturbances."""
    loads: list[float] = []
    peers: list[float] = []
    end = time.monotonic() + order.seconds
    while len(loads) < _LEAST_RUNS or (len(loads) < _MOST_RUNS and time.monotonic() < end):
        peers.append(await asyncio.to_thread(_cpu_seconds, sample.parse))
        loads.append(await _load(sample))
    begin = time.monotonic()
    await output_of("edge_agent", "check", "-c", str(sample.config))
    wall = time.monotonic() - begin
    load, peer = median(loads), median(peers)
    return Outcome(
        name, round(load, 3), "s of CPU", "" if goal is None else f"≤ {goal:g}",
        None if goal is None else load <= goal,
        f"{sample.tags:,} tags: {shape}; CPU time to read and validate in a fresh process, without the start "
        "of Python; median",
        Beside(sample.peer, round(peer, 4), "s of CPU", round(load / peer, 2)),
        {
            "runs": len(loads),
            "loads": [round(each, 3) for each in loads],
            "check_wall_seconds": round(wall, 3),
            "bytes": sum(path.stat().st_size for path in sample.config.parent.iterdir() if path.is_file()),
        },
    )  # fmt: skip


async def _load(sample: Sample) -> float:
    found = orjson.loads(await output_of("bench.figures.configs", str(sample.config)))
    if found["tags"] != sample.tags:
        raise ValueError(f"{sample.config} has {found['tags']} tags instead of {sample.tags}")
    return float(found["seconds"])


def _cpu_seconds(work: Callable[[], object]) -> float:
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


def _read_csv(paths: Sequence[Path]) -> int:
    rows = 0
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            rows += len(list(csv.reader(file)))
    return rows


def _read_yaml(path: Path) -> object:
    with path.open("rb") as file:
        return yaml.load(file, yaml.CSafeLoader)


# --- the files --------------------------------------------------------------------------------------------


def _tag(index: int) -> dict[str, Any]:
    return {
        "name": f"tag_{index}", "address": _address(index), "type": "uint16", "scale": 0.1, "unit": "°C",
    }  # fmt: skip


def _address(index: int) -> str:
    return f"holding:{index % _REGISTERS}"


def _write_csv(path: Path, indices: Iterable[int]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "address", "type", "scale", "unit"])
        writer.writerows(_tag(index).values() for index in indices)


def _group(name: str, tags: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "interval": "1s", "tags": list(tags)}


def _connection(name: str, groups: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "driver": "modbus",
        "transport": {"type": "tcp", "host": "127.0.0.1", "port": 1502},
        "groups": list(groups),
    }


def _config(directory: Path, connections: Sequence[dict[str, Any]], *, flow: bool = True) -> Path:
    """flow: each tag is `{name: …, …}` on a line of its own."""
    path = directory / "edge-agent.yaml"
    document = {"agent": {"id": "bench"}, "connections": list(connections)}
    with path.open("w", encoding="utf-8") as file:
        # Without a choice PyYAML writes maps of scalars in flow style, and all others in block style.
        yaml.dump(
            document, file, yaml.CSafeDumper, default_flow_style=None if flow else False,
            allow_unicode=True, sort_keys=False, width=10_000,
        )  # fmt: skip
    return path


def main() -> None:
    """Loads a config and prints what it cost; a process of its own, since nothing may be warm."""
    from edge_agent.app.settings import load_config

    path = Path(sys.argv[1])
    begin = time.process_time()
    loaded = load_config(path)
    spent = time.process_time() - begin
    connections: list[Any] = list(loaded.document.connections)  # of a class that the driver defines
    tags = sum(len(group.tags) for each in connections for group in each.groups)
    print(orjson.dumps({"seconds": spent, "tags": tags}).decode())


if __name__ == "__main__":
    main()
