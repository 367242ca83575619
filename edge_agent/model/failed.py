"""Samples that a hook failed on: marked, with or without their values. Pure."""

from dataclasses import replace

from edge_agent.wire.frame import Frame
from edge_agent.wire.quality import Quality, QualityRun


def mark_failed(frame: Frame, tags: int, *, withhold: bool) -> Frame:
    """The frame with every sample as `bad_hook`; what was bad before keeps its reason.

    tags: of its schema. withhold: no sample has a value any more. Numbers, times and counts stay.
    """
    runs: list[QualityRun] = []
    end = 0
    for run in frame.quality:
        _add(runs, QualityRun(end, run.first - end, Quality.BAD_HOOK, withhold))
        # Uncertain and stale values, and good ones that are null, are no better for a hook that failed.
        was_bad = run.quality >= Quality.BAD_CONFIG
        marked = run if was_bad else run._replace(quality=Quality.BAD_HOOK, status=0)
        _add(runs, marked._replace(null=run.null or withhold))
        end = run.first + run.count
    _add(runs, QualityRun(end, tags - end, Quality.BAD_HOOK, withhold))
    if not withhold:
        return replace(frame, quality=tuple(runs))
    text = None if frame.text is None else (None,) * len(frame.text)
    return replace(frame, quality=tuple(runs), row=b"", text=text)


def _add(runs: list[QualityRun], run: QualityRun) -> None:
    """Joins it to the last where both say the same."""
    if run.count < 1:
        return
    last = runs[-1] if runs else None
    if last is not None and last.first + last.count == run.first and last[2:] == run[2:]:
        runs[-1] = last._replace(count=last.count + run.count)
    else:
        runs.append(run)
