"""Tables that Python's csv module writes, in each encoding and dialect, come back as they were."""

import csv
import io
from collections.abc import Iterable, Sequence

from hypothesis import assume, given
from hypothesis import strategies as st

from edge_agent.config.csv_text import Sheet, SheetError, decode
from edge_agent.config.tag_list import parse_tags

ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp949"])
DELIMITERS = st.sampled_from([",", ";", "\t"])
# Line breaks inside of cells are kept as they are; a lone \r is none that a spreadsheet writes.
CELLS = st.text(st.characters(codec="cp949", exclude_characters="\0\r\x1a"), max_size=12)
KOREAN_AND_ASCII = st.text(st.sampled_from("abcXYZ019 _.#%\"',;\t\n가나다온도압력℃㎜"), max_size=12)
NAMES = st.text(st.sampled_from("abcXYZ019_#%\"',; 가나다온도압력℃"), min_size=1, max_size=12).filter(
    lambda name: name == name.strip()
)


def written(rows: Iterable[Sequence[str]], delimiter: str, quoting: int, end: str) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerows(rows)
    return text.getvalue()


@given(
    st.integers(2, 5).flatmap(
        lambda width: st.lists(
            st.lists(CELLS | KOREAN_AND_ASCII, min_size=width, max_size=width), min_size=1, max_size=6
        )
    ),
    ENCODINGS,
    DELIMITERS,
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_cells_come_back(
    rows: list[list[str]], encoding: str, delimiter: str, quoting: int, end: str
) -> None:
    headings = [f"h{index}" for index in range(len(rows[0]))]
    # Without quotes, a row that begins with # is a comment.
    rows = [[f"r{cells[0]}", *cells[1:]] for cells in rows]
    data = written([headings, *rows], delimiter, quoting, end).encode(encoding)
    sheet = Sheet(decode(data, "t.csv", "cp949" if encoding == "cp949" else None).text, "t.csv")
    assert (sheet.delimiter, sheet.headings) == (delimiter, headings)
    assert [cells for _, cells in sheet.rows()] == rows


@given(
    st.lists(st.lists(CELLS | KOREAN_AND_ASCII, min_size=1, max_size=5), min_size=1, max_size=6), DELIMITERS
)
def test_places_are_where_the_cells_stand(rows: list[list[str]], delimiter: str) -> None:
    rows = [[f"r{cells[0]}", *cells[1:]] for cells in rows]
    text = written([["a", "b"], *rows], delimiter, csv.QUOTE_ALL, "\n")
    lines = text.split("\n")
    for (line, cells), expected in zip(Sheet(text, "t.csv").rows(), rows, strict=True):
        assert cells == expected
        for index, cell in enumerate(cells):
            place = Sheet(text, "t.csv").cell_place(line, index)
            assert place.line
            assert place.column
            rest = "\n".join([lines[place.line - 1][place.column - 1 :], *lines[place.line :]])
            quoted = cell.replace('"', '""')
            assert rest.startswith(f'"{quoted}"')


@given(
    st.lists(
        st.tuples(NAMES, st.sampled_from(["int16", "float32"]), st.floats(0.001, 1000), NAMES),
        min_size=1,
        max_size=8,
    ),
    ENCODINGS,
    DELIMITERS,
)
def test_tags_come_back(rows: list[tuple[str, str, float, str]], encoding: str, delimiter: str) -> None:
    table = [[name, f"holding:{index}", type_, repr(scale), unit]
             for index, (name, type_, scale, unit) in enumerate(rows)]  # fmt: skip
    text = written([["Name", "주소", "TYPE", "배율", "Unit"], *table], delimiter, csv.QUOTE_ALL, "\r\n")
    listed = parse_tags(text.encode(encoding), "t.csv")
    assert listed.problems == []
    # Some Korean names could be Western ones that were misread: that is said, and they are taken as they are.
    doubts = [problem for problem in listed.warnings if "is read as Korean (CP949)" in problem.message]
    assert listed.warnings == (doubts if encoding == "cp949" else [])
    assert parse_tags(text.encode(encoding), "t.csv", encoding).warnings == []
    keys = ("name", "address", "type", "scale", "unit")
    assert listed.tags == [dict(zip(keys, row, strict=True)) for row in table]


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_input_is_a_list_or_problems_with_places(data: bytes) -> None:
    listed = parse_tags(data, "t.csv")
    lines = max(data.count(b"\n") + data.count(b"\r"), 0) + 1
    for problem in listed.problems + listed.warnings:
        assert problem.place.file == "t.csv"
        assert 1 <= (problem.place.line or 1) <= lines
    for place in listed.tags.at:
        assert 2 <= (place.line or 0) <= lines


@given(st.text(st.sampled_from('ab",\n'), max_size=30))
def test_quotes_are_read_as_the_csv_module_reads_them(body: str) -> None:
    text = "h,i\n" + body
    assume("#" not in body)
    try:
        expected = [
            row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if any(map(str.strip, row))
        ]
    except csv.Error:
        expected = []
    try:
        found = [cells for _, cells in Sheet(text, "t.csv").rows()]
    except SheetError:
        assert expected == []
        return
    assert found == expected[1:]
