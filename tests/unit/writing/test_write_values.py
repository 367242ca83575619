"""From what is said to the raw value: exact, or refused with the reason."""

import pytest

from edge_agent.wire.frame import JsonValue
from edge_agent.wire.schema import TagSchema, ValueType
from edge_agent.wire.values import engineering
from edge_agent.writing.errors import NotAllowed
from edge_agent.writing.values import raw_value, shown


def tag(type_: str = "uint16", **more: object) -> TagSchema:
    return TagSchema("t", ValueType(type_), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("schema", "given", "raw"),
    [
        (tag(), "42", 42),
        (tag(), 42, 42),
        (tag(), 42.0, 42),
        (tag(), "4.2e1", 42),
        (tag(scale=0.1), "42.5", 425),
        (tag(scale=0.1), 42.5, 425),
        (tag(scale=0.001, offset=-3.0), "0.007", 3007),
        (tag("int16", scale=-0.5), "-1.5", 3),
        (tag("uint64"), "18446744073709551615", 18446744073709551615),
        (tag("int64", scale=0.01), "92233720368547758.07", 9223372036854775807),
        (tag("float64", scale=0.1), "0.3", 3.0),
        (tag("float64"), "5e-324", 5e-324),
        (tag(), "0e-999999999", 0),
        (tag("float32"), "12.3", 12.300000190734863),
        (tag("bool"), "on", True),
        (tag("bool"), "false", False),
        (tag("bool"), True, True),
        (tag("string"), "on", "on"),
        (tag(enum=((0, "stop"), (2, "run"))), "run", 2),
        (tag(enum=((0, "stop"), (2, "run"))), "1", 1),
        (tag("bool", enum=((0, "shut"), (1, "open"))), "open", True),
        (tag("float32", enum=((2, "run"),)), "run", 2.0),
        (tag(count=2, scale=0.1), ["1.5", 2], [15, 20]),
    ],
)
def test_a_value_becomes_what_the_tag_holds(schema: TagSchema, given: JsonValue, raw: JsonValue) -> None:
    found = raw_value(schema, given)
    assert found == raw
    assert type(found) is type(raw)


@pytest.mark.parametrize("scale", [0.1, 0.01, 0.25, 3.0, -0.1, 1e-6])
@pytest.mark.parametrize("offset", [0.0, -40.0, 0.05])
def test_what_a_tag_shows_can_be_written_back_to_the_same_raw_value(scale: float, offset: float) -> None:
    schema = tag("int32", scale=scale, offset=offset)
    for raw in (0, 1, -1, 7, 12_345, -99_999, 2**31 - 1):
        assert raw_value(schema, engineering(schema, raw)) == raw
        assert shown(schema, raw) == engineering(schema, raw)


@pytest.mark.parametrize(
    ("schema", "given", "code", "said"),
    [
        (tag(scale=0.1), "42.55", "bad_value", "nearest are 42.5 and 42.6"),
        (tag(), "1.5", "bad_value", "nearest are 1 and 2"),
        (tag(), "65536", "out_of_range", "does not fit"),
        (tag(), "-1", "out_of_range", "does not fit"),
        (tag(), "65535.5", "out_of_range", "does not fit"),
        (tag(), "-0.5", "out_of_range", "does not fit"),
        (tag(scale=3e-308), "1e308", "out_of_range", "does not fit"),  # beyond a double, and no integer
        (tag("int16"), "32768", "out_of_range", "does not fit"),
        (tag("float32"), "1e39", "out_of_range", "does not fit"),
        (tag("float64"), "nan", "bad_value", "no number"),
        (tag("float64"), "inf", "bad_value", "no number"),
        (tag("float64"), "1e999", "bad_value", "no number"),
        (tag(), "1e-999999999", "bad_value", "no number"),  # as a fraction it took minutes, and gigabytes
        (tag(), "1e-99999999999999999999", "bad_value", "no number"),
        (tag(), "1/2", "bad_value", "no number"),
        (tag(), "1_000", "bad_value", "no number"),
        (tag(), "9" * 100, "bad_value", "no number"),
        (tag(), "", "bad_value", "no number"),
        (tag(), True, "bad_value", "no number"),
        (tag(), None, "bad_value", "takes one"),
        (tag(), [1], "bad_value", "takes one"),
        (tag(enum=((0, "stop"),)), "go", "bad_value", "its names are stop"),
        (tag("bool"), "2", "bad_value", "neither true nor false"),
        (tag(count=2), [1], "bad_value", "all of its 2 values"),
        (tag(count=2), 1, "bad_value", "all of its 2 values"),
        (tag("string"), "a\0b", "bad_value", "no NUL"),
        (tag(enum=((1, "run"), (2, "run"))), "run", "bad_value", "stands for 1 and 2"),
        (tag("bool", enum=((2, "half"),)), "half", "out_of_range", "does not fit"),
        (tag(enum=((70_000, "far"),)), "far", "out_of_range", "does not fit"),
        (tag("string"), "caf\udce9", "bad_value", "no text"),  # an argument in Latin-1
        (tag("json"), "{}", "not_writable", "structure"),
    ],
)
def test_nothing_is_rounded_guessed_or_cut(schema: TagSchema, given: JsonValue, code: str, said: str) -> None:
    with pytest.raises(NotAllowed, match=said) as refused:
        raw_value(schema, given)
    assert refused.value.code == code
