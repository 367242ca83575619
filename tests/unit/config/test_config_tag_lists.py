"""Tag lists in CSV: what includes them, how text and cells are read, and what is refused where."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_agent.config.csv_text import letters
from edge_agent.config.tag_list import MAX_ROWS, is_tag_list
from tests.unit.config.conftest import DOCUMENT, ErrorsOf, LoadText
from tests.unit.config.sample_driver import SampleConnection, SampleTag
from tests.unit.config.tag_lists import complaints, read, warnings

INLINE = '[{name: oil_temp, address: "holding:100"}]'


def including(tags: str) -> str:
    return DOCUMENT.replace(INLINE, tags)


def tags_of(loaded: object) -> list[SampleTag]:
    connection = loaded.document.connections[0]  # type: ignore[attr-defined]
    assert isinstance(connection, SampleConnection)
    return connection.groups[0].tags


# --- including them ---------------------------------------------------------------------------------


def test_a_list_stands_among_the_tags(load_text: LoadText) -> None:
    files = {"a.csv": "name,address\none,holding:1\n", "b.TSV": "name\taddress\ntwo\tholding:2\n"}
    tags = '[{include: a.csv}, {name: x, address: "holding:9"}, {include: b.TSV}]'
    loaded = load_text(including(tags), files=files)
    assert [tag.name for tag in tags_of(loaded)] == ["one", "x", "two"]
    assert loaded.files == (Path("config.yaml"), Path("a.csv"), Path("b.TSV"))


@pytest.mark.parametrize(
    "tags", ["{include: [l/a.csv, l/b.csv]}", "[{include: l/*.csv}]", "{include: l/*.csv}"]
)
def test_several_lists_stand_behind_one_another(load_text: LoadText, tags: str) -> None:
    files = {"l/a.csv": "name,address\none,holding:1\n", "l/b.csv": "name,address\ntwo,holding:2\n"}
    assert [tag.name for tag in tags_of(load_text(including(tags), files=files))] == ["one", "two"]


def test_a_list_is_relative_to_the_file_that_names_it(load_text: LoadText) -> None:
    files = {"plc/group.yaml": "tags: [{include: t.csv}]\n", "plc/t.csv": "name,address\none,holding:1\n"}
    text = DOCUMENT.replace(f"tags: {INLINE}", "include: plc/group.yaml")
    assert [tag.name for tag in tags_of(load_text(text, files=files))] == ["one"]


def test_ranges_work_as_in_yaml(load_text: LoadText) -> None:
    files = {"t.csv": "name,address,unit\nt[8..11],holding:0..3,bar\nu[1..2],holding:7..8,\n"}
    tags = tags_of(load_text(including("[{include: t.csv}]"), files=files))
    assert [(tag.name, tag.address, tag.unit) for tag in tags] == [
        ("t8", "holding:0", "bar"), ("t9", "holding:1", "bar"), ("t10", "holding:2", "bar"),
        ("t11", "holding:3", "bar"), ("u1", "holding:7", ""), ("u2", "holding:8", ""),
    ]  # fmt: skip


def test_cells_know_no_variables_and_no_secrets(load_text: LoadText) -> None:
    files = {"t.csv": "name,address,unit\n${HOME},holding:1,!secret x\n"}
    (tag,) = tags_of(load_text(including("[{include: t.csv}]"), {"HOME": "x"}, files))
    assert (tag.name, tag.unit) == ("${HOME}", "!secret x")


def test_the_digest_is_of_the_meaning(load_text: LoadText) -> None:
    files = {"t.csv": "address;name;remark\nholding:100;oil_temp;hot\n"}
    listed = load_text(including("[{include: t.csv}]"), files=files)
    assert listed.outline.digest == load_text(DOCUMENT).outline.digest


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (INLINE, "[{include: t.csv, unit: bar}]", "9:16: connections[press1].groups[fast].tags[0]"),
        (f"tags: {INLINE}", "include: t.csv", "7:9: connections[press1].groups[fast]"),
        ("agent: {id: press-shop-01}", "agent: {id: a, include: t.csv}", "1:8: agent"),
    ],
)
def test_a_list_stands_nowhere_else(errors_of: ErrorsOf, old: str, new: str, error: str) -> None:
    words = "a tag list is an item of tags, with nothing but its encoding: tags: [{include: tags.csv}]"
    files = {"t.csv": "name,address\none,holding:1\n"}
    assert errors_of(DOCUMENT.replace(old, new), files=files) == [f"{error}: {words}"]


def test_a_name_is_taken_once_over_lists_and_yaml(errors_of: ErrorsOf) -> None:
    tags = '[{name: one, address: "holding:9"}, {include: t.csv}]'
    files = {"t.csv": "name,address\ntwo,holding:1\none,holding:2\ntwo,holding:3\n"}
    path = "connections[press1].groups[fast].tags"
    assert errors_of(including(tags), files=files) == [
        f"t.csv:3:1: {path}[one].name: there is another tag named 'one': in config.yaml:9:16, "
        "column A 'name'",
        f"t.csv:4:1: {path}[two].name: there is another tag named 'two': in t.csv:2:1, column A 'name'",
    ]


def test_an_empty_list_is_refused(errors_of: ErrorsOf) -> None:
    files = {"t.csv": "name,address\n"}
    assert errors_of(including("[{include: t.csv}]"), files=files) == [
        "9:15: connections[press1].groups[fast].tags: is empty: at least 1 is needed"
    ]


def test_only_some_names_are_lists() -> None:
    assert all(is_tag_list(name) for name in ("a.csv", "b/C.CSV", "x.tsv", "y.txt"))
    assert not any(is_tag_list(name) for name in ("a.yaml", "csv", "a.csv.yaml", ""))


# --- text -------------------------------------------------------------------------------------------

KOREAN = "name,address,unit\n온도,holding:1,℃\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949"])
def test_encodings_are_recognised(encoding: str) -> None:
    assert read(KOREAN.encode(encoding)) == [{"name": "온도", "address": "holding:1", "unit": "℃"}]


def test_big_endian_utf_16_is_recognised_by_its_mark() -> None:
    assert read(b"\xfe\xff" + KOREAN.encode("utf-16-be"))[0]["unit"] == "℃"


def test_an_encoding_can_be_named(load_text: LoadText) -> None:
    Path("t.csv").write_bytes("name,address,unit\ntür,holding:1,°C\n".encode("cp1252"))
    (tag,) = tags_of(load_text(including("[{include: t.csv, encoding: cp1252}]")))
    assert (tag.name, tag.unit) == ("tür", "°C")


@pytest.mark.parametrize(
    "encoding",
    ["5", "rot13", "base64", '"a\\0b"', "nothing-of-this-kind", "idna", "punycode", "undefined",
     "Unicode_Escape", "raw-unicode-escape"],
)  # fmt: skip
def test_a_character_set_that_is_none(errors_of: ErrorsOf, encoding: str) -> None:
    tags = f"[{{include: t.csv, encoding: {encoding}}}]"
    files = {"t.csv": "name,address\none,holding:1\n"}
    assert errors_of(including(tags), files=files) == [
        "9:43: connections[press1].groups[fast].tags[0].encoding: needs the character set of a tag list, "
        "such as utf-8, cp949, utf-16 or cp1252"
    ]


def test_bytes_that_are_no_text_have_a_place() -> None:
    assert complaints(b"name,address\r\nab,\xb2,c\n") == [
        "t.csv:2:4: this is neither UTF-8 nor CP949: save the file as 'CSV UTF-8', or name its encoding: "
        "beside the include"
    ]
    assert complaints(b"name\n\xc3\xa9\xff", "utf-8") == [
        "t.csv:2:2: this is not utf-8: save the file as 'CSV UTF-8', or name its encoding: beside the include"
    ]


@pytest.mark.parametrize("encoding", ["idna", "undefined"])
def test_bytes_that_a_codec_refuses_without_a_place_are_a_problem_of_the_file(encoding: str) -> None:
    (complaint,) = complaints(b"name,address\n\xff-x,holding:0\n", encoding)
    assert complaint.startswith("t.csv:")
    assert f"this is not {encoding}" in complaint


@pytest.mark.parametrize(
    ("name", "column", "read_as"),
    [("Größe", 3, "秤"), ("x,Größe", 5, "秤"), ("ÄÖx", 1, "켯"), ("xÄÖ", 2, "켯"), ("ÄÖ", 0, "켯")],
)
def test_western_letters_that_are_korean_too_are_doubted(name: str, column: int, read_as: str) -> None:
    told = warnings(f"name,address,note\n{name},\n".encode("cp1252"))
    assert told == [
        f"t.csv:2:{column}: the file is not UTF-8 and is read as Korean (CP949), where this is '{read_as}'; "
        "if that is wrong, name its encoding: beside the include, such as cp1252"
    ] * bool(column)


def test_korean_words_beside_latin_letters_are_not_doubted() -> None:
    text = "name,address,note\n압력A,holding:1,PLC상태\n밸브 B,holding:2,1호기\n온도_입구,holding:3,\n"
    assert warnings(text.encode("cp949")) == []


def test_western_text_that_is_korean_too_is_doubted() -> None:
    assert warnings("name,address,unit\na,holding:1,°C\n".encode("cp1252")) == [
        "t.csv:2:13: the file is not UTF-8 and is read as Korean (CP949), where this is '캜'; "
        "if that is wrong, name its encoding: beside the include, such as cp1252"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "name;address;scale\na;holding:1;0,5\n",
        "name\taddress\tscale\na\tholding:1\t0,5\n",
        'name,address,scale\n"a","holding:1","0.5"\n',
        "sep=;\r\nname;address;scale\r\na;holding:1;0,5\r\n",
        '"sep=;"\nname;address;scale\na;holding:1;0.5\n',
        "Name;Address;Scale\na;holding:1;0.5",
        "\n  \n# of line 1\nname,address,scale,,\n\n,,,,\n# a\na,holding:1,0.5,,,,\n",
        " Name , ADDRESS,Scale\r a ,holding:1, 0.5\r",
    ],
)
def test_dialects(text: str) -> None:
    assert read(text) == [{"name": "a", "address": "holding:1", "scale": "0.5"}]


def test_a_comma_in_a_number_is_a_mistake_where_commas_part_cells(errors_of: ErrorsOf) -> None:
    files = {"t.csv": 'name,address,scale\na,holding:1,"0,5"\n'}
    (error,) = errors_of(including("[{include: t.csv}]"), files=files)
    assert error.endswith("tags[a].scale: needs a number (got '0,5'), column C 'scale'")


@pytest.mark.parametrize("cell", ["1,000", "-12,500", "+999,999"])
def test_behind_tabs_what_may_be_thousands_is_refused(cell: str) -> None:
    plain, decimal = cell.replace(",", ""), cell.replace(",", ".")
    for heading in ("scale", "offset", "deadband"):
        (complaint,) = complaints(f"name\taddress\t{heading}\nx\tholding:0\t{cell}\n")
        assert complaint == (
            f"t.csv:2:13: '{cell}' is {decimal} or {plain}: write one of these, without a comma, "
            f"column C '{heading}'"
        )


@pytest.mark.parametrize(
    ("delimiter", "cell", "number"),
    [("\t", "0,125", "0.125"), ("\t", "1,5", "1.5"), ("\t", "1000,125", "1000.125"), (";", "1,000", "1.000")],
)
def test_a_comma_that_parts_no_thousands_is_decimal(delimiter: str, cell: str, number: str) -> None:
    text = f"name,address,scale\nx,holding:0,{cell.replace(',', '#')}\n"
    (tag,) = read(text.replace(",", delimiter).replace("#", ","))
    assert tag["scale"] == number


def test_places_behind_line_breaks_in_cells() -> None:
    assert complaints('name,description,enum\na,"one\ntwo ""x"", three",on\n') == [
        "t.csv:3:19: needs numbers and names such as 0=stop; 1=run (got 'on'), column C 'enum'"
    ]


def test_a_tag_that_looks_like_a_comment_is_told_and_one_in_quotes_is_a_tag() -> None:
    assert read('name,address\n"#1 pump",holding:1\n# no tag\n')[0]["name"] == "#1 pump"
    assert warnings("name,address\n#1 pump,holding:1\n#2 pump,holding:2\n") == [
        "t.csv:2:1: begins with # and is a comment (2 such in all): a name like that needs quotes, "
        "or another column before it"
    ]


@pytest.mark.parametrize(
    ("index", "name"), [(0, "A"), (25, "Z"), (26, "AA"), (51, "AZ"), (52, "BA"), (702, "AAA")]
)
def test_columns_are_called_as_in_spreadsheets(index: int, name: str) -> None:
    assert letters(index) == name


# --- columns and cells ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "cell", "expected"),
    [
        ("Data Type", "FLOAT32", {"type": "float32"}),
        ("형식", "Word", {"type": "uint16"}),
        ("enum", "0=stop; 1=run", {"enum": {"0": "stop", "1": "run"}}),
        ("enum", "0:off,-1: on , ", {"enum": {"0": "off", "-1": "on"}}),
        ("상태값", "0=a, b|1=c", {"enum": {"0": "a, b", "1": "c"}}),
        ("deadband", "0.2", {"deadband": {"absolute": "0.2"}}),
        ("불감대", "1 %", {"deadband": {"percent": "1"}}),
        ("Deadband", "on change", {"deadband": {"on_change": True}}),
        ("max_interval", "60s", {"deadband": {"max_interval": "60s"}}),
        ("Word Order", "little", {"word_order": "little"}),
        ("Rack  Slot", "1/2", {"rack_slot": "1/2"}),
        ("설명", "anything", {}),
        ("No", "7", {}),
        ("unit", "", {}),
    ],
)
def test_cells_as_settings(heading: str, cell: str, expected: Mapping[str, object]) -> None:
    assert read(f'name,"{heading}"\na,"{cell}"\n') == [{"name": "a", **expected}]


@pytest.mark.parametrize("heading", ["Group", "Scan Rate", "접근권한", "interval"])
def test_what_the_config_says_is_ignored_with_a_warning(heading: str) -> None:
    assert warnings(f"name,{heading}\na,\nb,x\nc,y\n") == [
        f"t.csv:3:3: the column '{heading}' is ignored: the config says it (2 rows), column B '{heading}'"
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "t.csv: the file is empty: its first line holds the headings (name, address, type …)"),
        (
            "a,holding:1\n",
            "t.csv:1:1: no column is called name (or Tag Name, 이름): the first line must hold the headings",
        ),
        ("name,tag\n", "t.csv:1:6: the column 'tag' is there twice: 'name' is the same"),
        ("name,\na,b\n", "t.csv:2:3: there is no heading over this cell, column B"),
        ("name\na,,b\n", "t.csv:2:4: there is no heading over this cell, column C"),
        (
            'name\n"a\n',
            't.csv:2:1: a quoted cell of this row does not end, or text follows its end: write " as "" in it',
        ),
        (
            "name,enum\na,0=x;0=y\n",
            "t.csv:2:3: needs numbers and names such as 0=stop; 1=run: 0 is there twice, column B 'enum'",
        ),
        (
            "name,enum\na,+1=x;01=y\n",
            "t.csv:2:3: needs numbers and names such as 0=stop; 1=run: 1 is there twice, column B 'enum'",
        ),
    ],
)
def test_what_is_wrong_with_a_table(text: str, error: str) -> None:
    assert complaints(text) == [error]


def test_tables_are_bounded() -> None:
    assert complaints("name," + "x," * 200) == ["t.csv:1:1: the table has more than 200 columns"]
    assert complaints("name\n" + "a\n" * (MAX_ROWS + 1)) == [
        f"t.csv:{MAX_ROWS + 2}:1: the list has more than {MAX_ROWS} rows"
    ]


def test_places_of_many_mistakes_are_found_in_one_pass(errors_of: ErrorsOf) -> None:
    rows = "".join(f"t{index},holding:{index},nothing\n" for index in range(5_000))
    found = errors_of(including("[{include: t.csv}]"), files={"t.csv": f"name,address,type\n{rows}"})
    assert len(found) == 1_001  # what is shown at most, and how many more there are
    assert found[999].startswith(
        "t.csv:1001:18: connections[press1].groups[fast].tags[t999].type: needs one of"
    )


def test_an_unknown_column_is_said_once_at_its_heading(errors_of: ErrorsOf) -> None:
    files = {"t.csv": "name,adress\na,holding:1\nb,holding:2\n"}
    assert errors_of(including("[{include: t.csv}]"), files=files)[0] == (
        "t.csv:1:6: connections[press1].groups[fast].tags[a].adress: unknown column 'adress', "
        "did you mean 'address'?, column B 'adress'"
    )
