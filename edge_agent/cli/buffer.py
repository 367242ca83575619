"""`edge-agent buffer`: what the buffer holds, whether it is sound, and its samples as text.

Works while the agent runs and while it does not, on a connection that changes no byte. Exit code 1:
`verify` found something, or `export` had to leave something out. 3: the file is not there or cannot be read.
"""

import argparse
import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from edge_agent.cli import config_path, figures
from edge_agent.cli.context import Context, StoredBuffer, UsageError
from edge_agent.cli.text import Palette, printable, table
from edge_agent.contracts.exit_codes import ExitCode
from edge_agent.contracts.stored import SampleQuery, StoredSample

NAME: Final = "buffer"
HELP: Final = "look into the buffer: sums and sizes, soundness, samples as NDJSON or CSV"
EXAMPLE: Final = "edge-agent buffer stats"

_AGO: Final = re.compile(r"(\d+)(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_COLUMNS: Final = (
    "time", "source_time", "connection", "group", "unit_id", "tag", "value", "unit", "quality", "run", "n",
)  # fmt: skip
_BOM: Final = "\ufeff"
_PROGRESS_EVERY: Final = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(
        dest="buffer_command", metavar="COMMAND", required=True, help="what to do with it"
    )
    for name, about, example, runs, extend in _COMMANDS:
        text, line = f"{about[0].upper()}{about[1:]}.", f"example: {example}"
        child = commands.add_parser(name, help=about, description=text, epilog=line)
        config_path.add_argument(child)
        child.add_argument("--from", dest="source", metavar="FILE", help=_FROM)
        extend(child)
        child.set_defaults(buffer_run=runs)


def run(args: argparse.Namespace, context: Context) -> int:
    source = None if args.source is None else Path(args.source)
    path = None if source is not None else config_path.existing(args.config, context.environ)
    code: int = args.buffer_run(args, context, context.app.stored_buffer(path, source))
    return code


# --- stats ---------------------------------------------------------------------------------------------


def _stats_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print everything as one JSON document")


def _stats(args: argparse.Namespace, context: Context, stored: StoredBuffer) -> int:
    with _progress(context, "batches") as progress:
        found = stored.stats(progress)
    if args.json:
        context.print_json(found)
    else:
        for line in render(found, context.wall_ms(), Palette(context.colours)):
            context.print(line)
    return ExitCode.GOOD


def render(found: Mapping[str, Any], now_ms: int, palette: Palette) -> list[str]:
    """The sums for people."""
    sizes, batches, samples = found["bytes"], found["batches"], found["samples"]
    quota = found["quota_bytes"]
    parts = ", ".join(f"{name} {figures.size(sizes[name])}" for name in sizes if name != "all")
    share = "" if not quota else f" of {figures.size(quota)} ({figures.percent(100 * sizes['all'] / quota)})"
    lines = [
        palette.paint(printable(found["path"]), "bold"),
        f"size: {figures.size(sizes['all'])}{share}: {parts}",
        f"oldest to be sent: {figures.age(found['oldest_held'], now_ms)}",
        "",
    ]
    rows = [
        [name.replace("_", " "), f"{batches[name]:,}", f"{samples[name]:,}"]
        for name in ("held", "delivered", "written_off")
    ]
    lines += [*table(("state", "batches", "samples"), rows, {"batches", "samples"}, palette), ""]
    rows = [
        [str(each["no"]), each["id"], each["why"], *(f"{each[name]:,}" for name in ("floor", "next", "held"))]
        for each in found["epochs"]
    ]
    lines += table(("epoch", "id", "why", "floor", "next", "held"), rows, {"floor", "next", "held"}, palette)
    names = ("read", "suppressed", "framed", "held", "delivered", "lost")
    rows = [
        [each["run"], printable(each["connection"]), *(f"{each[name]:,}" for name in names)]
        for each in found["sums"]
    ]
    if rows:
        lines += ["", *table(("run", "connection", *names), rows, set(names), palette)]
    if found["unreadable_batches"]:
        count = figures.plural(found["unreadable_batches"], "batch")
        lines += ["", palette.paint(f"{count} cannot be opened: edge-agent buffer verify", "bad")]
    lines += [_loss(each) for each in found["losses"]]
    lines += [_kept(each, now_ms) for each in found["quarantine"]]
    return lines


def _loss(found: Mapping[str, Any]) -> str:
    most = f", and at most {found['at_most']:,} more" if found["at_most"] else ""
    records = figures.plural(found["records"], "record")
    return f"lost ({found['reason']}): {found['samples']:,} samples{most}, in {records}"


def _kept(found: Mapping[str, Any], now_ms: int) -> str:
    size, age = figures.size(found["bytes"]), figures.age(found["time"], now_ms)
    return printable(f"quarantined {age} ago ({found['stage']}): {found['database']}, {size}: {found['why']}")


# --- verify --------------------------------------------------------------------------------------------


def _verify(args: argparse.Namespace, context: Context, stored: StoredBuffer) -> int:
    palette = Palette(context.colours)
    found = []
    with _progress(context, "batches") as progress:
        for fault in stored.verify(progress):
            found.append(fault)
            if not args.json:
                progress.clear()
                context.print(
                    f"{palette.paint('✗', 'bad')} {printable(fault.where)}: {printable(fault.what)}"
                )
                context.print(f"    → {printable(fault.remedy)}")
    if args.json:
        faults = [fault._asdict() for fault in found]
        context.print_json({"path": str(stored.path), "sound": not found, "faults": faults})
    elif not found:
        context.print(f"{printable(str(stored.path))}: sound: pages, hashes, batches, frame numbers, account")
    return ExitCode.FOUND if found else ExitCode.GOOD


# --- export --------------------------------------------------------------------------------------------


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    times = "UTC, as 2026-01-31T08:00 or with a zone; or how long ago: 90s, 30m, 2h, 7d"
    parser.add_argument("--start", metavar="TIME", help=f"samples from this time on: {times}")
    parser.add_argument("--end", metavar="TIME", help="samples before this time")
    parser.add_argument("--connection", metavar="NAME", help="samples of this connection alone")
    parser.add_argument(
        "--tag", metavar="NAME", action="append", default=[],
        help="samples of this tag alone, or of those that a pattern with * and ? fits; may be repeated",
    )  # fmt: skip
    parser.add_argument("--out", metavar="FILE", help="write to this file; default: the standard output")
    parser.add_argument("--csv", action="store_true", help="CSV with a head in place of NDJSON")
    parser.add_argument(
        "--bom", action="store_true", help="begin with the mark by which Excel knows UTF-8 (한글); with --csv"
    )
    parser.add_argument("--json", action="store_true", help="NDJSON, a sample a line; as without --csv")


def _export(args: argparse.Namespace, context: Context, stored: StoredBuffer) -> int:
    if args.csv and args.json:
        raise UsageError("--csv and --json exclude each other")
    if args.bom and not args.csv:
        raise UsageError("--bom is of use with --csv alone")
    now_ms = context.wall_ms()
    query = SampleQuery(_time(args.start, now_ms), _time(args.end, now_ms), args.connection, tuple(args.tag))
    count, left_out = 0, 0
    with _output(args.out, context) as stream:
        write = _csv(stream, bom=args.bom) if args.csv else _ndjson(stream)
        for sample in stored.samples(query):
            if isinstance(sample, str):
                left_out += 1
                context.warn(sample)
            else:
                count += 1
                write(sample)
    if args.out:
        context.warn(f"{figures.plural(count, 'sample')} written to {args.out}")
    return ExitCode.FOUND if left_out else ExitCode.GOOD


def _ndjson(stream: TextIO) -> Callable[[StoredSample], None]:
    import orjson

    def write(sample: StoredSample) -> None:
        stream.write(orjson.dumps(_record(sample, "T")).decode() + "\n")

    return write


def _csv(stream: TextIO, *, bom: bool) -> Callable[[StoredSample], None]:
    import orjson

    stream.write(_BOM if bom else "")
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(_COLUMNS)

    def write(sample: StoredSample) -> None:
        record = _record(sample, " ")
        value = record["value"]
        if isinstance(value, list | dict | bool):
            record["value"] = orjson.dumps(value).decode()
        writer.writerow([record[name] for name in _COLUMNS])

    return write


def _record(sample: StoredSample, separator: str) -> dict[str, Any]:
    source = None if sample.source_ms is None else _iso(sample.source_ms, separator)
    return {"time": _iso(sample.time_ms, separator), "source_time": source, **dict(_fields(sample))}


def _fields(sample: StoredSample) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(sample, name)) for name in _COLUMNS[2:])


def _iso(time_ms: int, separator: str) -> str:
    """With a blank and without the zone's letter a spreadsheet takes it for a time."""
    moment = datetime.fromtimestamp(time_ms // 1_000, UTC)
    zone = "Z" if separator == "T" else ""
    return f"{moment:%Y-%m-%d}{separator}{moment:%H:%M:%S}.{time_ms % 1_000:03d}{zone}"


def _time(text: str | None, now_ms: int) -> int | None:
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now_ms - int(ago[1]) * _SECONDS[ago[2]] * 1_000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no time; write 2026-01-31T08:00 (UTC) or 2h for two hours ago"
        ) from error
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1_000)


@contextmanager
def _output(name: str | None, context: Context) -> Iterator[TextIO]:
    if name is None:
        yield context.out
        return
    with Path(name).open("w", encoding="utf-8", newline="") as stream:
        yield stream


# --- progress ------------------------------------------------------------------------------------------


class _Progress:
    """How far it is, on a terminal."""

    def __init__(self, context: Context, what: str) -> None:
        self._stream = context.err if context.err.isatty() else None
        self._what = what

    def __call__(self, done: int, total: int) -> None:
        if self._stream is not None and done % _PROGRESS_EVERY == 0:
            text = f"{done:,} of {total:,} {self._what}" if total else "checking every page"
            self._stream.write(f"\r\x1b[2K{text}")
            self._stream.flush()

    def clear(self) -> None:
        if self._stream is not None:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()


@contextmanager
def _progress(context: Context, what: str) -> Iterator[_Progress]:
    progress = _Progress(context, what)
    try:
        yield progress
    finally:
        progress.clear()


_FROM: Final = "this buffer file, as one from a quarantine, in place of the config's"
_Run = Callable[[argparse.Namespace, Context, StoredBuffer], int]
_Extend = Callable[[argparse.ArgumentParser], None]
_COMMANDS: Final[Sequence[tuple[str, str, str, _Run, _Extend]]] = (
    (
        "stats", "show sizes, batches by state, epochs, and the sums of each run and connection",
        "edge-agent buffer stats", _stats, _stats_arguments,
    ),
    (
        "verify", "check every page, hash, batch and frame number, and the account; say what to do",
        "edge-agent buffer verify", _verify, _stats_arguments,
    ),
    (
        "export", "write samples as NDJSON or CSV: engineering values, quality and both times",
        "edge-agent buffer export --csv --bom --start 24h --out yesterday.csv", _export, _export_arguments,
    ),
)  # fmt: skip
