"""The upper part of the live view: the agent as a whole. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from edge_agent.cli import figures
from edge_agent.cli.live.figures import Backlog, Figures, Quantile
from edge_agent.cli.text import Styled
from edge_agent.contracts.status import SinkReport
from edge_agent.runtime.health import ILL_HOOK_STATES
from edge_agent.wire.messages import HookReport

Labelled: TypeAlias = tuple[str, list[Styled]]

_BAR_COLUMNS: Final = 16
_CLOCK: Final = {True: "clock synchronised", False: "clock not synchronised", None: "clock not known"}


def head(shown: Figures) -> list[Styled]:
    return [
        Styled(shown.device, "bold"),
        Styled(shown.state, "good" if shown.state == "online" else "bad"),
        Styled(f"holdfast {shown.version}", ""),
        Styled(f"up {figures.span(shown.uptime_seconds)}", ""),
        Styled(f"CPU {figures.percent(shown.cpu_percent)}", ""),
        Styled(f"memory {figures.size(shown.memory_bytes)}", ""),
        Styled(_CLOCK[shown.clock_sync], "" if shown.clock_sync else "warn"),
        Styled(figures.time(shown.time)[11:19] + "Z", "dim"),
    ]


def summary(shown: Figures) -> Iterator[Labelled]:
    rates = shown.rates
    yield (
        "samples/s",
        [
            Styled(f"{name} {rate(value)}", "")
            for name, value in (
                ("read", rates.read),
                ("suppressed", rates.suppressed),
                ("framed", rates.framed),
                ("stored", rates.stored),
                ("acknowledged", rates.acknowledged),
            )
        ],
    )
    yield (
        "latency",
        [
            Styled(f"cycles late p50 {bound(shown.lateness.p50)}, p99 {bound(shown.lateness.p99)}", ""),
            Styled(f"sample to acknowledged {_delay(shown.delay_ms)}", ""),
        ],
    )
    yield "buffer", _buffer(shown.backlog, shown.time)
    for sink in shown.sinks:
        yield f"{sink.name:.9}", _sink(sink, shown.time)
    lost = f"{figures.plural(shown.lost_samples, 'sample')} lost" if shown.lost_samples else "none"
    yield "losses", [Styled(lost, "bad" if shown.lost_samples else "")]
    if shown.hooks:
        yield "hooks", _hooks(shown.hooks)


def _hooks(hooks: Sequence[HookReport]) -> list[Styled]:
    ill = [report for report in hooks if report.state in ILL_HOOK_STATES]
    running = sum(report.state == "running" for report in hooks)
    bad = sum(report.bad_samples for report in hooks)
    items = [Styled(f"{running} of {len(hooks)} running", "bad" if ill else "")]
    items += [Styled(f"{report.name} {report.state}: {report.error}", "bad") for report in ill]
    if bad:
        items.append(Styled(f"{figures.plural(bad, 'sample')} bad_hook", "warn"))
    return items


def rate(value: float | None) -> str:
    """Samples a second: `1,234`, `0.4`."""
    if value is None:
        return figures.NONE
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def bound(value: Quantile | None) -> str:
    if value is None:
        return figures.NONE
    return f"{'>' if value.above else '≤'} {value.ms:g} ms"


def _delay(value_ms: int | None) -> str:
    return figures.NONE if value_ms is None else figures.span(value_ms / 1_000)


def bar(share: float, columns: int = _BAR_COLUMNS) -> str:
    """`[####............]`; over 1 it is full. What is not nothing shows."""
    full = min(columns, round(share * columns))
    if share > 0:
        full = max(1, full)
    return f"[{'#' * full}{'.' * (columns - full)}]"


def _buffer(backlog: Backlog, now_ms: int) -> list[Styled]:
    share = backlog.size_bytes / backlog.quota_bytes if backlog.quota_bytes else 0.0
    items = [
        Styled(
            f"{bar(share)} {figures.size(backlog.size_bytes)} of {figures.size(backlog.quota_bytes)}",
            "warn" if share > 0.5 else "",
        ),
        Styled(f"{figures.plural(backlog.batches, 'batch')} wait", ""),
    ]
    if backlog.batches and backlog.oldest:
        items.append(Styled(f"oldest {figures.age(backlog.oldest, now_ms)}", ""))
    if backlog.catch_up_seconds is not None:
        items.append(Styled(f"caught up in {figures.span(backlog.catch_up_seconds)}", "good"))
    elif backlog.trend == "growing":
        items.append(Styled("not shrinking", "warn"))
    return items


def _sink(sink: SinkReport, now_ms: int) -> list[Styled]:
    items = [Styled(sink.state, "good" if sink.state == "ok" else "bad")]
    if sink.detail:
        items.append(Styled(sink.detail, ""))
    if sink.last_success:
        items.append(Styled(f"last success {figures.age(sink.last_success, now_ms)} ago", ""))
    items.append(Styled(f"{figures.plural(sink.backlog_batches, 'batch')} behind", ""))
    if sink.failed_posts:
        items.append(Styled(f"{sink.failed_posts:,} failed", "warn"))
    return items
