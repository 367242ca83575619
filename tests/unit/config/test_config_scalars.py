"""What unquoted words mean, and variables in texts."""

import math

import pytest

from edge_agent.config.scalars import substitute, variables, word


@pytest.mark.parametrize("text", ["yes", "no", "on", "off", "y", "N", "Yes", "ON"])
def test_what_yaml_1_1_reads_as_true_and_false_is_text(text: str) -> None:
    assert word(text) == text


@pytest.mark.parametrize(
    "text", ["010", "0777", "12:30:00", "1_000", "2024-01-01", "1.2.3", "+", "-", ".", "0x", "1e"]
)
def test_what_would_lose_its_shape_as_a_number_is_text(text: str) -> None:
    assert word(text) == text


def test_a_number_longer_than_any_setting_is_text() -> None:
    assert word("9" * 5000) == "9" * 5000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("1e3", 1000.0),
        ("2.", 2.0),
        ("-.inf", -math.inf),
    ],
)
def test_core_schema_words(text: str, value: object) -> None:
    assert word(text) == value
    assert type(word(text)) is type(value)


def test_not_a_number() -> None:
    value = word(".nan")
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${HOST}", "plc"),
        ("a-${HOST}.${HOST}", "a-plc.plc"),
        ("${NONE:-other}", "other"),
        ("${NONE:-}", ""),
        ("${EMPTY:-other}", "other"),
        ("${EMPTY}", ""),
        ("$${HOST}", "${HOST}"),
        ("$HOST", "$HOST"),
        ("$$", "$$"),
        ("${NONE:-a:-b}", "a:-b"),
    ],
)
def test_variables_are_replaced(text: str, result: str) -> None:
    assert substitute(text, {"HOST": "plc", "EMPTY": ""}) == result


def test_a_value_that_looks_like_a_variable_is_not_replaced_again() -> None:
    assert substitute("${A}", {"A": "${B}", "B": "x"}) == "${B}"


def test_an_unset_variable_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=r"NONE is not set.*\$\{NONE:-value\}"):
        substitute("${NONE}", {})


@pytest.mark.parametrize("text", ["${}", "${1}", "${a b}", "${A", "${A-b}"])
def test_braces_that_hold_no_variable_are_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not a variable"):
        substitute(text, {"A": "x"})


def test_variables_names_what_a_text_uses() -> None:
    assert variables("${A} $${B} ${C:-x} ${1}") == ["A", "C"]
