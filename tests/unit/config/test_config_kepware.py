"""Exports of Kepware: what becomes of their rows, and which of them are refused."""

from collections.abc import Mapping

import pytest

from edge_agent.config.tag_list import parse_tags
from edge_agent.config.tree import PlacedMap
from tests.unit.config.tag_lists import complaints, read, warnings

EXPORT = "Tag Name,Address,Data Type,Client Access"
SCALING = ",Scaling,Raw Low,Raw High,Scaled Low,Scaled High,Negate Value"


def exported(cells: str, more: str = "") -> str:
    return f"{EXPORT}{more}\nt,{cells}\n"


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("Boolean", "bool"), ("Char", "int8"), ("Byte", "uint8"), ("Short", "int16"), ("Word", "uint16"),
        ("Long", "int32"), ("DWord", "uint32"), ("LLong", "int64"), ("QWord", "uint64"), ("Float", "float32"),
        ("Double", "float64"), ("String", "string"), ("DWord Array", "uint32"),
    ],
)  # fmt: skip
def test_types_of_kepware(type_: str, expected: str) -> None:
    assert read(exported(f"400001,{type_},RO")) == [{"name": "t", "address": "400001", "type": expected}]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("40001", {"address": "40001"}),
        ("000017", {"address": "000017"}),
        ("400001.15", {"address": "400001.15"}),
        ("400001.10H", {"address": "400001", "type": "string", "length": 10, "byte_order": "big"}),
        ("400001.240l", {"address": "400001", "type": "string", "length": 240, "byte_order": "little"}),
        ("400001[3]", {"address": "400001", "count": 3}),
        ("400001 [2] [4]", {"address": "400001", "count": 8}),
        ("DB1,W4", {"address": "DB1,W4"}),
    ],
)
def test_addresses_of_kepware(address: str, expected: Mapping[str, object]) -> None:
    assert read(exported(f'"{address}",Default,RO')) == [{"name": "t", **expected}]


def test_zeros_that_a_spreadsheet_cut_off_are_put_back() -> None:
    listed = parse_tags(exported("17,Boolean,RO").encode(), "t.csv")
    assert listed.tags == [{"name": "t", "address": "000017", "type": "bool"}]
    assert [each.message for each in listed.warnings] == [
        "a spreadsheet has cut off the address's leading zeros; it is read as a coil (six digits) (1 row), "
        "column B 'Address'"
    ]


@pytest.mark.parametrize("other", ["000017", "17", "400001", "300001 [10]", "400001.20H", "400001.3"])
@pytest.mark.parametrize("order", [1, -1])
def test_five_digits_among_six_may_be_a_coil_without_its_zero(other: str, order: int) -> None:
    rows = [f"a,{other},Default,RO", "b,10001,Boolean,RO", "c,10002,Boolean,RO"][::order]
    (complaint,) = complaints("\n".join([EXPORT, *rows, ""]))
    assert complaint.startswith(f"t.csv:{3 if order == 1 else 2}:3: five digits among addresses of six: ")


def test_addresses_of_five_digits_alone_are_taken_and_those_with_more_to_them_beside_six() -> None:
    rows = "a,10001,Boolean,RO\nb,40001,Word,RO\nc,40002.3,Boolean,RO\nd,00001,Boolean,RO\n"
    assert [tag["address"] for tag in read(f"{EXPORT}\n{rows}")] == ["10001", "40001", "40002.3", "00001"]
    rows = "a,40001 [10],Word,RO\nb,40020.3,Boolean,RO\nc,400050,Word,RO\n"
    assert len(read(f"{EXPORT}\n{rows}")) == 3


def test_a_first_bit_that_is_there_twice_may_be_the_tenth() -> None:
    rows = "a,400001.1,Boolean,RO\nb,400002.1,Boolean,RO\nc,400001.2,Boolean,RO\nd,400001.2,Boolean,RO\n"
    assert warnings(f"{EXPORT}\n{rows}") == []
    assert warnings(f"{EXPORT}\n{rows}e,400001.1,Boolean,RO\n") == [
        "t.csv:6:3: bit 1 is there twice: a spreadsheet makes .1 of .10, so one of them may be bit 10 "
        "(1 row), column B 'Address'"
    ]


@pytest.mark.parametrize("end", ["1e3000000", "1E-99999", "1e1_000_0"])
def test_a_number_that_exact_arithmetic_would_never_end_with_is_refused(end: str) -> None:
    (complaint,) = complaints(exported(f"400001,Word,RO,Linear,0,{end},0,10,0", SCALING))
    assert f"Linear scaling needs a number here (got '{end}')" in complaint


@pytest.mark.parametrize(
    ("cells", "scale", "offset"),
    [
        ("Linear,0,1000,0,100,0", 0.1, 0.0),
        ("Linear,0,3,0,0.3,0", 0.1, 0.0),
        ("Linear,4000,20000,0,100,0", 0.00625, -25.0),
        ("Linear,0,100,100,0,0", -1.0, 100.0),
        ("Linear,-32768,32767,-3276.8,3276.7,1", -0.1, 0.0),
    ],
)
def test_linear_scaling_is_exact(cells: str, scale: float, offset: float) -> None:
    (tag,) = read(exported(f"400001,Word,RO,{cells}", SCALING))
    assert (tag["scale"], tag["offset"]) == (scale, offset)


@pytest.mark.parametrize("cell", ["1,000", "-12,500"])
def test_behind_tabs_an_end_that_may_be_thousands_is_refused(cell: str) -> None:
    table = exported("400001,Word,RO,Linear,0,1000,0,#", SCALING).replace(",", "\t").replace("#", cell)
    (complaint,) = complaints(table)
    assert f"'{cell}' is {cell.replace(',', '.')} or {cell.replace(',', '')}" in complaint
    assert complaint.endswith("column I 'Scaled High'")


def test_rows_that_share_their_cells_keep_their_own_names_and_places() -> None:
    text = f"{EXPORT}\na,400001,Word,RO\nbcd,400002[2],Word,RO\nc,400004,Word,RO\n,400005,Word,RO\n"
    tags = read(text)
    assert [tag.get("name") for tag in tags] == ["a", "bcd", "c", None]
    assert [tag.get("count") for tag in tags] == [None, 2, None, None]
    places = [tag.where("type") for tag in tags if isinstance(tag, PlacedMap)]
    assert [str(place[1]) for place in places if place] == [
        "t.csv:2:10",
        "t.csv:3:15",
        "t.csv:4:10",
        "t.csv:5:9",
    ]
    assert [str(place[0]) for place in places if place] == ["t.csv:1:18"] * 4


def test_a_heading_that_no_export_has() -> None:
    assert complaints(f"{EXPORT},Clam Low,\na,400001,Word,RO,,x\n") == [
        "t.csv:1:42: unknown column 'Clam Low' of a Kepware export"
    ]
    assert complaints("Tag Name,Client Access\na,RO\n") == ["t.csv:1:1: the column 'Address' is missing"]
