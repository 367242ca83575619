"""Addresses of values in documents: what is taken, and what is refused with words that help."""

from typing import Any

import pytest

from edge_agent.drivers.http.address import (
    Absent,
    Format,
    Metric,
    check_address,
    find_text,
    follow,
    parse_metric,
)

# RFC 6901, 5.
RFC: Any = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7,
    "m~n": 8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2),
        ("/e^f", 3), ("/g|h", 4), ("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8),
    ],
)  # fmt: skip
def test_pointers_of_the_specification(pointer: str, value: object) -> None:
    assert follow(RFC, pointer) == value


@pytest.mark.parametrize(
    ("pointer", "says"),
    [
        ("/foo/2", "the list of 2 at /foo has no '2'"), ("/foo/01", "the list of 2"),
        ("/foo/-", "the list of 2"),
        ("/foo/0/x", "the value at /foo/0 has no 'x'"), ("/nothing", "no 'nothing' in it"),
    ],
)  # fmt: skip
def test_a_pointer_that_leads_nowhere_says_how_far_it_went(pointer: str, says: str) -> None:
    with pytest.raises(Absent, match=says):
        follow(RFC, pointer)


@pytest.mark.parametrize(
    ("format_", "address", "says"),
    [
        (Format.JSON, "a/b", "begins with a slash"), (Format.JSON, "/a~2b", "~0"),
        (Format.TEXT, "temp=", "needs one {}"), (Format.TEXT, "{} {}", "needs one {}"),
        (Format.PROMETHEUS, "1temp", "is no metric"), (Format.PROMETHEUS, "t{room=a}", "is no metric"),
        (Format.PROMETHEUS, 't{room="a"', "is no metric"), (Format.SHELLY, "power", "no reading 'power'"),
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(format_: Format, address: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_address(format_, address)


def test_a_metric_with_labels_in_any_order_and_escaped() -> None:
    assert parse_metric(r't{b="2", a="say \"x\" \\ \n"}') == Metric("t", (("a", 'say "x" \\ \n'), ("b", "2")))


PAGE = "<b>Boiler</b>\ntemp= 71.5 C\n  pressure: 3.1 bar (ok)\n"


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("temp={} C", "71.5"),
        ("temp={}", "71.5"),
        ("pressure: {}", "3.1"),
        ("({})", "ok"),
        ("<b>{}<", "Boiler"),
    ],
)
def test_text_around_a_value(address: str, found: str) -> None:
    assert find_text(PAGE, address) == found


def test_a_hole_alone_is_the_whole_text() -> None:
    assert find_text(" 17.5\r\n", "{}") == "17.5"


@pytest.mark.parametrize(
    ("address", "says"), [("humidity={}", "does not stand"), ("temp={} bar", "not follow")]
)
def test_text_that_is_not_there(address: str, says: str) -> None:
    with pytest.raises(Absent, match=says):
        find_text(PAGE, address)
