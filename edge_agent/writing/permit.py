"""What may be written: an entry of the allow-list, made for one tag as it is now. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from edge_agent.config.models import Document
from edge_agent.config.pins import Place, must_pin, places, refusal
from edge_agent.config.writes import WriteAllowance
from edge_agent.contracts.driver import DriverSpec
from edge_agent.contracts.errors import ConfigError
from edge_agent.wire.frame import JsonValue
from edge_agent.wire.schema import TagSchema, ValueType
from edge_agent.writing import values
from edge_agent.writing.errors import NotAllowed


@dataclass(frozen=True, slots=True)
class Permit:
    """target: the driver's. revision: of the connection that it was made for. Picklable."""

    entry: WriteAllowance
    connection: str
    revision: str
    unit_id: int | None
    tag: TagSchema
    target: Any

    def judge(self, given: JsonValue) -> JsonValue:
        """The raw value. Raises NotAllowed for what is no value of the tag or is not permitted."""
        raw = values.raw_value(self.tag, given)
        listed = self.entry.values
        only = None if listed is None else [values.raw_element(self.tag, each) for each in listed]
        for each, put in zip(_items(given), _items(raw), strict=True):
            self._check_bounds(each, put, only)
        return raw

    def _check_bounds(self, given: JsonValue, raw: JsonValue, only: Sequence[JsonValue] | None) -> None:
        entry = self.entry
        if only is not None and raw not in only:
            permitted = ", ".join(map(str, (entry.values or ())[:20]))
            raise NotAllowed("out_of_range", f"{entry.tag} may be set to {permitted} alone")
        if entry.min is not None and entry.max is not None:
            value = self._number(given, raw)
            if not Fraction(repr(entry.min)) <= value <= Fraction(repr(entry.max)):
                raise NotAllowed(
                    "out_of_range", f"{entry.tag} may be set from {entry.min:.15g} to {entry.max:.15g}"
                )

    def _number(self, given: JsonValue, raw: JsonValue) -> Fraction:
        """What is permitted is judged by the value that was meant; a name of an enum by its number."""
        if any(given == name for _, name in self.tag.enum):
            return Fraction(str(values.shown(self.tag, raw)))
        return values.exact(self.tag, given)

    def agrees(self, raw: JsonValue, seen: JsonValue) -> bool:
        """Whether what was read back is what was written, within the tolerance."""
        if raw == seen:
            return True
        pairs = list(zip(_items(raw), _items(seen), strict=False))
        if len(_items(raw)) != len(_items(seen)) or self.tag.type in (ValueType.STRING, ValueType.BOOL):
            return False
        limit = self.entry.tolerance
        return all(
            isinstance(a, int | float)
            and isinstance(b, int | float)
            and (a == b or abs(a - b) * abs(self.tag.scale) <= limit)
            for a, b in pairs
        )


# For each tag of the allow-list, by name: what permits it, or why nothing does.
Permits = Mapping[str, Permit | str]


def permits_of(document: Document, revisions: Mapping[str, str], specs: Mapping[str, DriverSpec]) -> Permits:
    """revisions: of the connections. specs: of the drivers that they name."""
    entries = document.writes.allow
    found = places(document)
    made: dict[str, Permit | str] = {}
    for entry in entries:
        place = found.get(entry.tag)
        problem = refusal(entry, place, must_pin=must_pin(document))
        if place is None or problem:
            made[entry.tag] = problem
        elif not place[0].enabled:
            made[entry.tag] = f"the connection {place[0].name} is not enabled"
        else:
            made[entry.tag] = _permit(entry, place, revisions[place[0].name], specs[place[0].driver])
    return made


def _permit(entry: WriteAllowance, place: Place, revision: str, spec: DriverSpec) -> Permit | str:
    connection, group, tag = place
    if spec.target is None:
        return f"the driver {spec.name} does not write"
    try:
        target = spec.target(connection, group, tag)
        # As the driver tells it to the pipeline; of a group of this tag alone, since there may be thousands.
        schema = spec.plan(connection, group.model_copy(update={"tags": [tag]})).schema
        for each in entry.values or ():
            values.raw_element(schema.tags[0], each)
    except (ConfigError, NotAllowed) as error:
        return str(error)
    return Permit(entry, connection.name, revision, schema.unit_id, schema.tags[0], target)


def _items(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else [value]
