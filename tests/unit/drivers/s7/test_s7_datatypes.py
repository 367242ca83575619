"""The bytes of each type whose value must be computed, with the examples of the STEP 7 manuals."""

import pytest

from edge_agent.drivers.s7.datatypes import Form, number, s5time, text


@pytest.mark.parametrize(
    ("form", "data", "value"),
    [
        # «Statement List», S5TIME: W#16#2127 is 127 s.
        (Form.S5TIME, "2127", 127_000),
        (Form.S5TIME, "0999", 9_990),
        (Form.S5TIME, "1125", 12_500),
        (Form.S5TIME, "3999", 9_990_000),
        (Form.S5TIME, "0000", 0),
        (Form.BCD, "0123", 123),
        (Form.BCD, "0999", 999),
    ],
)
def test_numbers(form: Form, data: str, value: int) -> None:
    assert number(form, bytes.fromhex(data)) == value


@pytest.mark.parametrize(
    ("form", "data"), [(Form.S5TIME, "0A00"), (Form.S5TIME, "4123"), (Form.BCD, "1123"), (Form.BCD, "00FA")]
)
def test_what_is_no_number(form: Form, data: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        number(form, bytes.fromhex(data))


@pytest.mark.parametrize(("value", "data"), [(127_000, "2127"), (12_500, "1125"), (0, "0000"), (10, "0001")])
def test_an_s5time_takes_the_finest_base_that_holds_it(value: int, data: str) -> None:
    assert s5time(value).hex() == data


@pytest.mark.parametrize("value", [5, -10, 9_990_001, 10_000_000, 1_000_010])
def test_what_no_s5time_holds(value: int) -> None:
    with pytest.raises(ValueError, match="no S5TIME"):
        s5time(value)


@pytest.mark.parametrize(
    ("form", "data", "value"),
    [
        (Form.CHAR, "4b", "K"),
        (Form.CHAR, "4142000000", "AB"),
        (Form.WCHAR, "d55c", "한"),
        (Form.STRING, "0503616263ffff", "abc"),
        (Form.STRING, "0502e4f60000ff", "äö"),
        (Form.STRING, "00000000000000", ""),
        (Form.WSTRING, "00030002" + "c628" + "b3c4" + "ffff", "온도"),
        (Form.DATE, "0000", "1990-01-01"),
        (Form.DATE, "34a1", "2026-11-21"),
        (Form.DT, "2611211507081237", "2026-11-21T15:07:08.123"),
        (Form.DT, "9001010000000001", "1990-01-01T00:00:00"),
        (Form.DT, "8912312359599997", "2089-12-31T23:59:59.999"),
        (Form.DTL, "07ea0b1507 0f0708 075bcd15", "2026-11-21T15:07:08.123456789"),
        (Form.DTL, "07b20101 05 000000 00000000", "1970-01-01T00:00:00"),
        (Form.LDT, "0000000000000000", "1970-01-01T00:00:00"),
        (Form.LDT, "0de0b6b3a7640001", "2001-09-09T01:46:40.000000001"),
    ],
)
def test_texts_and_times(form: Form, data: str, value: str) -> None:
    assert text(form, bytes.fromhex(data), "latin-1") == value


@pytest.mark.parametrize(
    ("form", "data"),
    [
        (Form.STRING, "0506616263"),  # longer than declared
        (Form.STRING, "fe05616263"),  # longer than there is
        (Form.WSTRING, "00020001d800"),  # half a pair
        (Form.DT, "2613211507081237"),
        (Form.DT, "26112115070812f7"),
        (Form.DTL, "00000000000000000000 0000"),
        (Form.DTL, "07ea0b1507 0f0708 ffffffff"),
    ],
)
def test_what_is_no_text_or_time(form: Form, data: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        text(form, bytes.fromhex(data), "latin-1")
