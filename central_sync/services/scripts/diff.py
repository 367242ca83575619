"""What differs between two versions of a script: its settings by name, its source by lines. Pure."""

import difflib

from central_sync.services.scripts.views import ScriptDiff, SettingChange
from edge_agent.wire.scripts import Script

_SOURCE = {"source", "version", "signatures"}


def diff(before: Script | None, after: Script, versions: tuple[int, int]) -> ScriptDiff:
    """before: None where there was nothing. versions: the numbers of both."""
    old = before.model_dump(mode="json", exclude=_SOURCE) if before else {}
    new = after.model_dump(mode="json", exclude=_SOURCE)
    settings = [
        SettingChange(name=name, before=old.get(name), after=value)
        for name, value in new.items()
        if old.get(name) != value
    ]
    # Sources are bounded (MAX_SOURCE_BYTES), and so is the time that their diff takes.
    lines = list(
        difflib.unified_diff(
            before.source.splitlines() if before else [], after.source.splitlines(),
            f"version {versions[0]}", f"version {versions[1]}", lineterm="",
        )
    )  # fmt: skip
    body = lines[2:]
    return ScriptDiff.model_validate(
        {
            "from": versions[0], "to": versions[1], "settings": settings,
            "text": "\n".join(lines) + "\n" if lines else "",
            "added": sum(line.startswith("+") for line in body),
            "removed": sum(line.startswith("-") for line in body),
        }
    )  # fmt: skip
