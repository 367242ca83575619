"""Text of a spreadsheet to cells that know where they stand. Pure; what the cells mean is elsewhere.

Reads what Excel, LibreOffice and OPC servers write: UTF-8 with or without a byte order mark, UTF-16 with
one (Excel's "Unicode text"), CP949 (Korean Excel's "CSV"); commas, semicolons or tabs; quoted cells with
line breaks in them. Places are computed when something is wrong, and cost nothing until then.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge_agent.config.errors import Place, Problem

_DELIMITERS: Final = (",", ";", "\t")
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_KOREAN: Final = "cp949"
# Excel's own first line: it names the delimiter, and is no row.
_SEPARATOR_LINE: Final = re.compile(r'"?sep=([,;\t])"?\s*', re.IGNORECASE)
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')
_LINE_BREAK: Final = re.compile(r"\r\n|\r|\n")
# What two Western letters in a row become. A lone syllable beside a Latin letter is seldom a Korean word.
_WESTERN: Final = re.compile(
    "[\u4e00-\u9fff\uf900-\ufaff]"
    "|(?<=[A-Za-z])[\uac00-\ud7a3](?![\uac00-\ud7a3])"
    "|(?<![\uac00-\ud7a3])[\uac00-\ud7a3](?=[A-Za-z])"
)


class SheetError(Exception):
    """The text cannot be read on; `problem` says why and where."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, and what is doubtful about how it was read."""

    text: str
    doubts: tuple[Problem, ...] = ()


def decode(data: bytes, file: str, encoding: str | None = None) -> Decoded:
    """The text of a file. encoding: what the config says it has; without it, it is recognised.

    Raises SheetError for bytes that are no text in that encoding, or in none of those that are tried.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return Decoded(_strict(data, file, name))
    if encoding is not None:
        return Decoded(_strict(data, file, encoding))
    try:
        return Decoded(data.decode())
    except UnicodeDecodeError:
        text = _strict(data, file, _KOREAN)
    return Decoded(text, tuple(_doubts(text, file)))


def _strict(data: bytes, file: str, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeError as error:
        place = _place_of(error, data, file, encoding)
        what = "neither UTF-8 nor CP949" if encoding == _KOREAN else f"not {encoding}"
        message = f"this is {what}: save the file as 'CSV UTF-8', or name its encoding: beside the include"
        raise SheetError(Problem(place, "", message)) from None
    except LookupError:
        message = f"unknown character set '{encoding}': such as utf-8, cp949, utf-16, cp1252"
        raise SheetError(Problem(Place(file), "", message)) from None


def _place_of(error: UnicodeError, data: bytes, file: str, encoding: str) -> Place:
    try:
        readable = data[: error.start] if isinstance(error, UnicodeDecodeError) else b""
        before = _LINE_BREAK.split(readable.decode(encoding, "replace"))
    except UnicodeError:  # of codecs that know no «replace», as that of domain names
        return Place(file)
    return Place(file, len(before), len(before[-1]) + 1)


def _doubts(text: str, file: str) -> Iterator[Problem]:
    """The first character that Western text may have become which happens to be CP949, too.

    `°C` is a syllable of CP949's extension, `ß` behind `ö` an ideograph, `Ä` before `Ö` a common syllable:
    that is doubted only where it stands alone beside a Latin letter.
    """
    for number, line in enumerate(_LINE_BREAK.split(text), 1):
        if line.isascii():
            continue
        found = _WESTERN.search(line)
        before = line[: found.start()] if found else line
        extended = (index for index, character in enumerate(before) if _is_of_extension(character))
        index = next(extended, found.start() if found else None)
        if index is not None:
            message = (
                f"the file is not UTF-8 and is read as Korean (CP949), where this is '{line[index]}'; "
                "if that is wrong, name its encoding: beside the include, such as cp1252"
            )
            yield Problem(Place(file, number, index + 1), "", message)
            return


def _is_of_extension(character: str) -> bool:
    return character > "\x7f" and any(byte < 0xA1 for byte in character.encode(_KOREAN))


class Sheet:
    """A table with headings in its first line that is neither blank nor a comment.

    headings: as written, without blanks around them. rows: after the headings. Lines that begin with `#`
    are comments. `comments` counts those that look like rows, by the line of the first.
    """

    def __init__(self, text: str, file: str) -> None:
        """Raises SheetError where there is no line of headings."""
        self.file = file
        self.commented_line = 0
        self.commented_rows = 0
        self._lines = list(io.StringIO(text, newline=""))
        self._first = 0
        self.delimiter = self._delimiter()
        self._records = self._read()
        header = next(self._records, None)
        if header is None:
            message = "the file is empty: its first line holds the headings (name, address, type …)"
            raise SheetError(Problem(Place(file), "", message))
        self.heading_line, headings = header
        self.headings = [heading.strip() for heading in headings]

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row's first line and its cells as written. Raises SheetError where a quote is not closed."""
        return self._records

    def row_place(self, line: int) -> Place:
        return Place(self.file, line, 1)

    def cell_place(self, line: int, index: int) -> Place:
        """Where cell `index` (from 0) of the row that begins in `line` was written."""
        row = self._row(line)
        offset = _offset(row, index, self.delimiter)
        before = _LINE_BREAK.split(row[:offset])
        heading = self.headings[index] if index < len(self.headings) else ""
        cell = f"{letters(index)} '{heading}'" if heading else letters(index)
        return Place(self.file, line + len(before) - 1, len(before[-1]) + 1, cell)

    def heading_place(self, index: int) -> Place:
        return self.cell_place(self.heading_line, index)

    def _row(self, line: int) -> str:
        """The text of the row that begins there: on to the line in which its quotes are closed."""
        end = line
        quotes = self._lines[line - 1].count('"')
        while quotes % 2 and end < len(self._lines):
            quotes += self._lines[end].count('"')
            end += 1
        return "".join(self._lines[line - 1 : end])

    def _delimiter(self) -> str:
        for number, line in enumerate(self._lines):
            if line.isspace() or line.startswith("#"):
                continue
            if found := _SEPARATOR_LINE.fullmatch(line):
                self._first = number + 1
                return found[1]
            bare = _QUOTED.sub("", line)
            return max(_DELIMITERS, key=bare.count)
        return _DELIMITERS[0]

    def _read(self) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(self._lines[self._first :], delimiter=self.delimiter, strict=True)
        line = self._first + 1
        try:
            for cells in reader:
                # Blank is what holds nothing, delimiters or not.
                if any(map(str.strip, cells)) and not self._is_comment(line, cells):
                    yield line, cells
                line = self._first + reader.line_num + 1
        except csv.Error:
            place = Place(self.file, min(line, len(self._lines)), 1)
            message = 'a quoted cell of this row does not end, or text follows its end: write " as "" in it'
            raise SheetError(Problem(place, "", message)) from None

    def _is_comment(self, line: int, cells: list[str]) -> bool:
        # A cell in quotes is none, and a tag may be called "#1 pump".
        if not cells[0].startswith("#") or not self._lines[line - 1].startswith("#"):
            return False
        if sum(cell != "" for cell in cells) > 1 and self.delimiter in self._lines[line - 1]:
            self.commented_line = self.commented_line or line
            self.commented_rows += 1
        return True


def letters(index: int) -> str:
    """What spreadsheets call column `index` (from 0): A … Z, AA …"""
    name = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, 26)
        name = chr(ord("A") + digit) + name
    return name


def _offset(row: str, index: int, delimiter: str) -> int:
    """Where field `index` of a row begins; its end where the row has fewer fields."""
    offset = 0
    for _ in range(index):
        if quoted := _QUOTED.match(row, offset):
            offset = quoted.end()
        while offset < len(row) and row[offset] not in (delimiter, "\r", "\n"):
            offset += 1
        if row[offset : offset + 1] != delimiter:
            return offset
        offset += 1
    return offset
