"""What differs between two documents: the least that applying the new one has to touch. Pure."""

from dataclasses import dataclass
from typing import Any, Final

from edge_agent.config.outline import Outline

SECTIONS: Final = ("agent", "central", "buffer", "remote", "commands", "hooks", "secrets")
# A running agent has given these away: the buffer is open, the device's batches bear its id.
_FIXED: Final = {"agent": ("id", "runtime_dir"), "buffer": ("path",)}


@dataclass(frozen=True, slots=True)
class Diff:
    """Connections by name, in the new document's order (`removed` in the old one's), compared whole.

    sections: those of SECTIONS that differ; the centre's tokens are no difference, as a running agent takes
    them up at once. needs_restart: settings that differ and take effect with the
    next start alone (`agent.id`); what runs keeps their old values until then. hooks: scripts that are new,
    gone or differ.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.removed or self.changed or self.sections or self.hooks)


def diff(old: Outline, new: Outline) -> Diff:
    before, after = old.connections, new.connections
    both = [name for name in after if name in before]
    return Diff(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(name for name in both if after[name] != before[name]),
        unchanged=tuple(name for name in both if after[name] == before[name]),
        sections=tuple(name for name in SECTIONS if _said(old, name) != _said(new, name)),
        needs_restart=tuple(
            f"{section}.{key}"
            for section, keys in _FIXED.items()
            for key in keys
            if getattr(getattr(old.head, section), key) != getattr(getattr(new.head, section), key)
        ),
        hooks=tuple(
            name
            for name in dict.fromkeys([*new.scripts, *old.scripts])
            if new.scripts.get(name) != old.scripts.get(name)
        ),
    )


def _said(outline: Outline, section: str) -> Any:
    said = getattr(outline.head, section)
    if section != "central" or said is None:
        return said
    return said.model_copy(update={"token": None, "enrol_token": None})
