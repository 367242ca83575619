"""A tag list, CSV in any of its dialects, as the items of a group's `tags`. Pure.

Two kinds of tables are read: plain ones, a column a setting (`columns`), and Kepware's exports
(`kepware`). The rows are mappings as those of YAML are, so ranges, defaults, checks and messages are the
same for both; a row's places are looked up in the sheet when something is wrong with it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

from edge_agent.config import kepware
from edge_agent.config.columns import DEADBAND_PARTS, Use, converters, deadband, meaning, squeezed
from edge_agent.config.csv_text import Sheet, SheetError, decode
from edge_agent.config.errors import Place, Problem
from edge_agent.config.tree import PlacedList, PlacedMap

MAX_ROWS: Final = 200_000
MAX_COLUMNS: Final = 200
SUFFIXES: Final = (".csv", ".tsv", ".txt")


def is_tag_list(file: str) -> bool:
    """Whether an included file of this name is a tag list; others are YAML."""
    return PurePath(file).suffix.lower() in SUFFIXES


@dataclass(slots=True)
class TagList:
    """tags: a `TagRow` for each row that could be read. warnings: what was left out and is told."""

    tags: PlacedList
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)


class TagRow(PlacedMap):
    """A row as a mapping of settings. columns: the index of the cell that each setting came from."""

    __slots__ = ("_columns", "_sheet")

    def __init__(
        self, settings: Mapping[str, Any], sheet: Sheet, place: Place, columns: Mapping[str, int]
    ) -> None:
        super().__init__(place)
        self.update(settings)
        self._sheet = sheet
        self._columns = columns

    def where(self, key: str) -> tuple[Place, Place] | None:
        """The places of the column's heading and of the cell."""
        index = self._columns.get(key)
        if index is None:
            return super().where(key)
        return self._sheet.heading_place(index), self._sheet.cell_place(self.place.line or 1, index)

    def twin(self) -> "TagRow":
        return TagRow(self, self._sheet, self.place, self._columns)


def parse_tags(data: bytes, file: str, encoding: str | None = None) -> TagList:
    """Reads a tag list. encoding: as the config names it, or None to recognise it. Never raises."""
    result = TagList(PlacedList(Place(file)))
    try:
        decoded = decode(data, file, encoding)
        result.warnings += decoded.doubts
        sheet = Sheet(decoded.text, file)
        if len(sheet.headings) > MAX_COLUMNS:
            place = sheet.row_place(sheet.heading_line)
            raise SheetError(Problem(place, "", f"the table has more than {MAX_COLUMNS} columns"))
        rows = _Exported(sheet) if kepware.is_export(sheet.headings) else _Plain(sheet)
        if not rows.problems:
            _read_rows(sheet, rows, result.tags)
            if isinstance(rows, _Exported):
                rows.end()
    except SheetError as error:
        result.problems.append(error.problem)
        return result
    result.problems += rows.problems
    result.warnings += rows.remarks.problems(sheet)
    if sheet.commented_rows:
        message = (
            f"begins with # and is a comment ({sheet.commented_rows} such in all): "
            "a name like that needs quotes, or another column before it"
        )
        result.warnings.append(Problem(sheet.row_place(sheet.commented_line), "", message))
    return result


def _read_rows(sheet: Sheet, rows: "_Plain | _Exported", tags: PlacedList) -> None:
    width = len(sheet.headings)
    for line, written in sheet.rows():
        if len(tags) >= MAX_ROWS:
            raise SheetError(Problem(sheet.row_place(line), "", f"the list has more than {MAX_ROWS} rows"))
        cells = [cell.strip() for cell in written]
        if len(cells) > width and any(cells[width:]):
            index = next(index for index in range(width, len(cells)) if cells[index])
            rows.problems.append(_problem(sheet, line, index, "there is no heading over this cell"))
        cells += [""] * (width - len(cells))
        place = sheet.row_place(line)
        tags.add(rows.take(line, place, cells), place)


class _Remarks:
    """What is told once for a whole table: the first cell that it is about, and how many there are."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], list[int]] = {}

    def add(self, message: str, line: int, index: int) -> None:
        self._found.setdefault((message, index), [line, 0])[1] += 1

    def problems(self, sheet: Sheet) -> list[Problem]:
        return [
            _problem(sheet, line, index, f"{message} ({count} {'row' if count == 1 else 'rows'})")
            for (message, index), (line, count) in self._found.items()
        ]


class _Plain:
    """Rows of a table with a column for each setting."""

    def __init__(self, sheet: Sheet) -> None:
        self.problems: list[Problem] = []
        self.remarks = _Remarks()
        self._sheet = sheet
        meanings = [meaning(heading) for heading in sheet.headings]
        self._columns = {key: index for index, key in enumerate(meanings) if isinstance(key, str)}
        self._noted = [index for index, use in enumerate(meanings) if use is Use.NOTED]
        self._unnamed = [index for index, heading in enumerate(sheet.headings) if not heading]
        self._convert = converters(list(self._columns), sheet.delimiter)
        self._has_deadband = any(part in self._columns for part in DEADBAND_PARTS)
        # In the order of the columns, as in YAML.
        self._taken = [(index, key) for key, index in self._columns.items() if key not in DEADBAND_PARTS]
        self.problems += _heading_problems(sheet, [key if isinstance(key, str) else "" for key in meanings])

    def take(self, line: int, place: Place, cells: list[str]) -> TagRow:
        settings: dict[str, Any] = {key: cells[index] for index, key in self._taken if cells[index]}
        for key, convert in self._convert.items():
            if key in settings:
                settings[key] = self._converted(convert, settings[key], line, self._columns[key])
        columns: Mapping[str, int] = self._columns
        if self._has_deadband and (band := self._deadband(line, place, cells)):
            settings["deadband"] = band
            columns = {**columns, "deadband": min(band.indexes)}
        for index in self._noted:
            if cells[index]:
                heading = self._sheet.headings[index]
                self.remarks.add(f"the column '{heading}' is ignored: the config says it", line, index)
        for index in self._unnamed:
            if cells[index]:
                message = "there is no heading over this cell"
                self.problems.append(_problem(self._sheet, line, index, message))
        return TagRow(settings, self._sheet, place, columns)

    def _converted(self, convert: Callable[[str], Any], cell: str, line: int, index: int) -> Any:
        try:
            return convert(cell)
        except ValueError as error:
            self.problems.append(_problem(self._sheet, line, index, str(error)))
            return {}

    def _rule(self, cell: str) -> dict[str, Any]:
        return deadband(cell, self._sheet.delimiter)

    def _deadband(self, line: int, place: Place, cells: list[str]) -> "_Band | None":
        settings: dict[str, Any] = {}
        columns: dict[str, int] = {}
        for part in DEADBAND_PARTS:
            index = self._columns.get(part)
            if index is None or not cells[index]:
                continue
            values: Any = {part: cells[index]}
            if part == "deadband":
                values = self._converted(self._rule, cells[index], line, index)
            settings |= values
            columns |= dict.fromkeys(values, index)
        if not settings:
            return None
        return _Band(settings, self._sheet, place, columns)


class _Band(TagRow):
    """The settings of a deadband, each with its own cell."""

    __slots__ = ()

    @property
    def indexes(self) -> Iterable[int]:
        return self._columns.values()


class _Exported:
    """Rows of a Kepware export. What their cells have in common is worked out once."""

    def __init__(self, sheet: Sheet) -> None:
        self.problems: list[Problem] = []
        self.remarks = _Remarks()
        self._sheet = sheet
        keys = [squeezed(heading) for heading in sheet.headings]
        self._indexes = {key: index for index, key in enumerate(keys)}
        self.problems += _heading_problems(sheet, keys, "tagname")
        if "address" not in self._indexes:
            place = sheet.row_place(sheet.heading_line)
            self.problems.append(Problem(place, "", "the column 'Address' is missing"))
        self.problems += [
            Problem(sheet.heading_place(index), "", f"unknown column '{heading}' of a Kepware export")
            for index, heading in enumerate(sheet.headings)
            if heading and not kepware.is_known(heading)
        ]
        self._own = [self._indexes.get(key, 0) for key in ("tagname", "address")]
        self._shared = [key for key in kepware.SHARED if key in self._indexes]
        self._shared_indexes = [self._indexes[key] for key in self._shared]
        self._rows: dict[tuple[str, ...], tuple[kepware.Row, dict[str, int]]] = {}
        self._cut = kepware.CutZeros()
        self._doubtful_line = 0

    def take(self, line: int, place: Place, cells: list[str]) -> TagRow:
        name, address = (cells[index] for index in self._own)
        row, columns = self._of_shared(tuple([cells[index] for index in self._shared_indexes]))
        self._tell(row.findings, line)
        settings = {"name": name, **row.settings} if name else dict(row.settings)
        if address:
            own = kepware.address(address)
            self._tell(own.findings, line)
            self._note(address, line)
            settings = {**own.settings, **settings}
            if len(own.settings) > 1:
                columns = {**dict.fromkeys(own.settings, self._own[1]), **columns}
        return TagRow(settings, self._sheet, place, columns)

    def end(self) -> None:
        """After the last row."""
        if refusal := self._cut.refusal(self._doubtful_line > 0):
            self._tell([refusal], self._doubtful_line)

    def _note(self, address: str, line: int) -> None:
        if kepware.has_five_digits(address):
            self._doubtful_line = self._doubtful_line or line
        if finding := self._cut.note(address):
            self._tell([finding], line)

    def _of_shared(self, cells: tuple[str, ...]) -> tuple[kepware.Row, dict[str, int]]:
        known = self._rows.get(cells)
        if known is None:
            named = {key: cell for key, cell in zip(self._shared, cells, strict=True) if cell}
            row = kepware.shared(named, self._sheet.delimiter)
            own = dict(zip(("name", "address"), self._own, strict=True))
            known = row, own | {key: self._indexes.get(column, 0) for key, column in row.columns.items()}
            self._rows[cells] = known
        return known

    def _tell(self, findings: Iterable[kepware.Finding], line: int) -> None:
        for finding in findings:
            index = self._indexes.get(finding.column, 0)
            if finding.refused:
                self.problems.append(_problem(self._sheet, line, index, finding.message))
            else:
                self.remarks.add(finding.message, line, index)


def _heading_problems(sheet: Sheet, keys: Sequence[str], needed: str = "name") -> list[Problem]:
    problems: list[Problem] = []
    first: dict[str, str] = {}
    for index, key in enumerate(keys):
        if key and key in first:
            message = f"the column '{sheet.headings[index]}' is there twice: '{first[key]}' is the same"
            problems.append(Problem(sheet.heading_place(index), "", message))
        first.setdefault(key, sheet.headings[index])
    if needed not in first:
        message = "no column is called name (or Tag Name, 이름): the first line must hold the headings"
        problems.append(Problem(sheet.row_place(sheet.heading_line), "", message))
    return problems


def _problem(sheet: Sheet, line: int, index: int, message: str) -> Problem:
    place = sheet.cell_place(line, index)
    return Problem(place, "", f"{message}, column {place.cell}")
