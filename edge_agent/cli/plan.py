"""`edge-agent plan`: which requests serve which tags, and whether their intervals can be kept.

`headroom` judges, this prints. Exit code 1: the wire's physics forbid an interval, and an agent polls as
often as it can. 2: there is no plan, as no agent takes the config; among it a serial line that cannot carry
its intervals at its baud rate, which the driver refuses.
"""

import argparse
from collections.abc import Sequence
from typing import Any, Final

from edge_agent.cli import config_path, figures, headroom
from edge_agent.cli.context import Context, GroupPlan
from edge_agent.cli.live.grid import Column, grid, painted
from edge_agent.cli.text import Palette, Styled, printable, table
from edge_agent.contracts.exit_codes import ExitCode

NAME: Final = "plan"
HELP: Final = "print the requests that a config leads to, their bytes, bus time and headroom"
EXAMPLE: Final = "edge-agent plan --requests"

# On a narrow terminal columns of the highest rank are left out first; pipes and --json have them all.
_HEAD: Final = (
    Column("connection", least=12), Column("group", least=8), Column("unit", 5, right=True),
    Column("interval", 2, right=True), Column("tags", 6, right=True), Column("requests", 3, right=True),
    Column("bytes", 7, right=True), Column("bus ms", 4, right=True), Column("cycle ms", 2, right=True),
    Column("of the interval", 1), Column("headroom", right=True),
)  # fmt: skip
_LINE_HEAD: Final = (
    Column("line", least=16), Column("type", 4), Column("groups", 5, right=True),
    Column("units", 6, right=True), Column("requests/s", 3, right=True), Column("bytes/s", 7, right=True),
    Column("bus", 2, right=True), Column("of the time", 1), Column("busy", right=True),
)  # fmt: skip
_NO_LIMIT: Final = 1 << 20
_NOTES: Final = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    config_path.add_argument(parser)
    parser.add_argument("--requests", action="store_true", help="list every request below its group")
    parser.add_argument(
        "--notes", action="store_true", help="show every note on how an address was understood"
    )
    parser.add_argument(
        "--measure", action="store_true",
        help="connect and time one real round of each group, reads only, instead of assuming the answers",
    )  # fmt: skip
    parser.add_argument(
        "--json", action="store_true", help="print {groups, lines, totals, errors, warnings, …}"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    app = context.app
    loaded = app.load_config(config_path.existing(args.config, context.environ))
    plans = app.plans(loaded)
    verdict = headroom.judge(plans, _measured(context, loaded) if args.measure else None)
    if args.json:
        context.print_json(_document(plans, verdict))
    else:
        for line in render(
            plans, verdict, Palette(context.colours), with_requests=args.requests, all_notes=args.notes,
            columns=context.columns,
        ):  # fmt: skip
            context.print(line)
    return ExitCode.FOUND if verdict.errors else ExitCode.GOOD


def _measured(context: Context, loaded: Any) -> headroom.Measured:
    import asyncio

    if context.app.running_agent(loaded) is not None:
        context.warn("an agent is running: its requests to the same PLCs are part of what is measured")
    return asyncio.run(context.app.measure(loaded, context.warn))


def totals(plans: Sequence[GroupPlan]) -> dict[str, float]:
    """Sums over all groups: per cycle, and per second with each group at its own interval."""
    return {
        "groups": len(plans),
        "tags": sum(plan.tags for plan in plans),
        "requests": sum(len(plan.requests) for plan in plans),
        "bytes": sum(plan.bytes for plan in plans),
        "requests_per_second": round(sum(len(plan.requests) / plan.interval_seconds for plan in plans), 3),
        "bytes_per_second": round(sum(plan.bytes / plan.interval_seconds for plan in plans), 3),
        "samples_per_second": round(sum(plan.tags / plan.interval_seconds for plan in plans), 3),
    }


def notes(plans: Sequence[GroupPlan]) -> list[str]:
    """How addresses were understood: `press1.fast: oil_temp: 40001 means holding:0`."""
    return [f"{plan.connection}.{plan.group}: {text}" for plan in plans for text in plan.notes]


def note_lines(plans: Sequence[GroupPlan], *, everything: bool = False) -> list[str]:
    """The notes for people. A list from Kepware has one for each of its tags: then the first few say it."""
    found = notes(plans)
    shown = found if everything or len(found) <= _NOTES + 1 else found[:_NOTES]
    lines = [f"note: {printable(text)}" for text in shown]
    if len(shown) < len(found):
        left = f"{len(found) - len(shown):,}"
        lines.append(f"note: … and {left} more like these (`edge-agent plan --notes` shows all)")
    return lines


def render(
    plans: Sequence[GroupPlan],
    verdict: headroom.Verdict,
    palette: Palette,
    *,
    with_requests: bool = False,
    all_notes: bool = False,
    columns: int | None = None,
) -> list[str]:
    """The groups, their lines, totals, what was found, and the requests where they are asked for.

    columns: of the terminal, which the tables must fit.
    """
    if not plans:
        return ["nothing is polled: the config has no connection with a group"]
    sums = totals(plans)
    total = (
        "total", f"{sums['groups']:,}", "", "", f"{sums['tags']:,}", f"{sums['requests']:,}",
        f"{sums['bytes']:,}", "", "", "", "",
    )  # fmt: skip
    rows = [*(_row(load) for load in verdict.groups), [Styled(text, "") for text in total]]
    room = columns or _NO_LIMIT
    lines = [*painted(grid(_HEAD, rows, room), palette), ""]
    lines += [*painted(grid(_LINE_HEAD, [_line(line) for line in verdict.lines], room), palette), ""]
    lines.append(
        f"per second: {sums['requests_per_second']:,.1f} requests, "
        f"{figures.size(round(sums['bytes_per_second']))}, {sums['samples_per_second']:,.0f} samples"
    )
    lines += _assumption(verdict)
    lines += note_lines(plans, everything=all_notes)
    lines += [f"{palette.paint('error:', 'bad')} {printable(text)}" for text in verdict.errors]
    lines += [f"{palette.paint('warning:', 'warn')} {printable(text)}" for text in verdict.warnings]
    if with_requests:
        lines += _requests(plans, palette)
    return lines


def _assumption(verdict: headroom.Verdict) -> list[str]:
    assumed = sum(load.measured_seconds is None for load in verdict.groups)
    if not assumed:
        return []
    whom = (
        "" if assumed == len(verdict.groups) else f" of the {figures.plural(assumed, 'group')} not measured"
    )
    answer = figures.milliseconds(headroom.ASSUMED_ANSWER_SECONDS).removesuffix(".0")
    return [
        f"assumed: {answer} ms for the network's and the PLC's answer to each request{whom}; "
        "--measure asks the PLC"
    ]


def _style(share: float) -> str:
    headroom_percent = 100 * (1 - share)
    return "bad" if headroom_percent < 0 else "warn" if headroom_percent < headroom.TIGHT_PERCENT else ""


def _row(load: headroom.GroupLoad) -> list[Styled]:
    plan, style = load.plan, _style(load.share)
    about = "" if load.measured_seconds is not None else "~"
    cells = (
        plan.connection,
        plan.group,
        figures.NONE if plan.unit_id is None else str(plan.unit_id),
        figures.interval(plan.interval_seconds),
        f"{plan.tags:,}",
        f"{len(plan.requests):,}",
        f"{plan.bytes:,}",
        figures.milliseconds(plan.bus_seconds),
        f"{about}{figures.milliseconds(load.expected_seconds)}",
    )
    return [
        *(Styled(text, "") for text in cells),
        Styled(headroom.bar(load.share), style),
        Styled(figures.percent(load.headroom_percent), style),
    ]


def _line(line: headroom.LineLoad) -> list[Styled]:
    style = _style(line.share)
    cells = (
        line.line,
        line.transport or figures.NONE,
        f"{len(line.loads):,}",
        f"{line.units:,}",
        f"{line.requests_per_second:,.1f}",
        f"{line.bytes_per_second:,.0f}",
        figures.percent(100 * line.bus_share),
    )
    return [
        *(Styled(text, "") for text in cells),
        Styled(headroom.bar(line.share), style),
        Styled(figures.percent(100 * line.share), style),
    ]


def _requests(plans: Sequence[GroupPlan], palette: Palette) -> list[str]:
    lines: list[str] = []
    for plan in plans:
        lines += ["", palette.paint(printable(f"{plan.connection}.{plan.group}"), "bold")]
        rows = [
            [request.text, f"{request.tags:,}", f"{request.sent_bytes:,}", f"{request.received_bytes:,}",
             figures.milliseconds(request.bus_seconds)]
            for request in plan.requests
        ]  # fmt: skip
        head = ("request", "tags", "sent", "received", "bus ms")
        lines += table(head, rows, frozenset(head[1:]), palette, indent="  ")
    return lines


def _document(plans: Sequence[GroupPlan], verdict: headroom.Verdict) -> dict[str, Any]:
    return {
        "groups": [_record(load) for load in verdict.groups],
        "lines": [_line_record(line) for line in verdict.lines],
        "totals": totals(plans),
        "assumed_answer_seconds": headroom.ASSUMED_ANSWER_SECONDS,
        "errors": verdict.errors,
        "warnings": verdict.warnings,
        "notes": notes(plans),
    }


def _line_record(line: headroom.LineLoad) -> dict[str, Any]:
    return {
        "line": line.line,
        "transport": line.transport,
        "connections": line.connections,
        "groups": len(line.loads),
        "units": line.units,
        "requests_per_second": round(line.requests_per_second, 3),
        "bytes_per_second": round(line.bytes_per_second, 3),
        "bus_percent": round(100 * line.bus_share, 3),
        "busy_percent": round(100 * line.share, 3),
    }


def _record(load: headroom.GroupLoad) -> dict[str, Any]:
    plan = load.plan
    return {
        "connection": plan.connection,
        "group": plan.group,
        "line": plan.line,
        "unit_id": plan.unit_id,
        "interval_seconds": plan.interval_seconds,
        "tags": plan.tags,
        "bytes": plan.bytes,
        "bus_seconds": plan.bus_seconds,
        "measured_seconds": load.measured_seconds,
        "expected_seconds": load.expected_seconds,
        "headroom_percent": load.headroom_percent,
        "requests": [
            {
                "text": request.text,
                "tags": request.tags,
                "sent_bytes": request.sent_bytes,
                "received_bytes": request.received_bytes,
                "bus_seconds": request.bus_seconds,
            }
            for request in plan.requests
        ],
    }
