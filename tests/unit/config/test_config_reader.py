"""From YAML text to data with places."""

from typing import Any

import pytest

from edge_agent.config import reader
from edge_agent.config.errors import Place
from edge_agent.config.reader import parse
from edge_agent.config.tree import PlacedList, PlacedMap, SecretName, locate


def tree_of(text: str) -> Any:
    parsed = parse(text.encode(), "f")
    assert parsed.problems == []
    return parsed.tree


def problems_of(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [str(problem).removeprefix("f:") for problem in parse(data, "f").problems]


def test_data_is_plain_and_keys_are_texts() -> None:
    assert tree_of("a: [1, x, {b: null}]\n2: 'yes'\non: off\n") == {
        "a": [1, "x", {"b": None}],
        "2": "yes",
        "on": "off",
    }


def test_every_key_value_and_item_knows_its_place() -> None:
    tree = tree_of("a:\n  b: 1\n  list:\n    - x\n    -   {y: 2}\n")
    assert isinstance(tree, PlacedMap)
    assert tree["a"].at["b"] == (Place("f", 2, 3), Place("f", 2, 6))
    items = tree["a"]["list"]
    assert isinstance(items, PlacedList)
    assert items.at == [Place("f", 4, 7), Place("f", 5, 9)]
    assert items[1].place == Place("f", 5, 9)


def test_columns_count_characters_not_bytes() -> None:
    assert tree_of("{°한: 1, b: 2}\n").at["b"] == (Place("f", 1, 9), Place("f", 1, 12))


def test_a_byte_order_mark_is_no_character() -> None:
    assert parse(b"\xef\xbb\xbfa: 1", "f").tree.at["a"][0] == Place("f", 1, 1)


def test_an_empty_text_has_no_tree() -> None:
    assert tree_of("") is None
    assert tree_of("# only a comment\n") is None


def test_secrets_keep_their_names() -> None:
    assert tree_of("token: !secret central-token\n") == {"token": SecretName("central-token")}


def test_quotes_make_texts() -> None:
    assert tree_of("[\"1\", 'true', !!str 5, ! 6]") == ["1", "true", "5", "6"]


def test_anchors_and_merges() -> None:
    text = (
        "base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\none: {<<: *b, x: 9}\ntwo: {<<: [*b, *o]}\nsame: *b\n"
    )
    tree = tree_of(text)
    assert tree["one"] == {"x": 9, "y": 2}
    assert tree["two"] == {"x": 1, "y": 2, "z": 4}
    assert tree["same"] is tree["base"]
    assert tree["one"].at["y"][0].line == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "a: 1\nb: 2\na: 3\n",
            "3:1: a: the key 'a' is here for the second time; it is first in line 1, column 1",
        ),
        (
            "l:\n  - {name: n, k: 1, k: 2}\n",
            "2:21: l[n].k: the key 'k' is here for the second time; it is first in line 2, column 15",
        ),
        ("a:\n\tb: 1\n", "2:1: a tab is not allowed here: indent with spaces"),
        (
            "a: b: c\n",
            "1:5: this is not YAML: a ':' is not expected here: check the indentation, or put "
            "the text in quotes",
        ),
        (
            "a: [1, 2\n",
            "2:1: this is not YAML: a ',' or ']' is missing (inside [ ] a text with [, {, ',' or "
            "': ' needs quotes)",
        ),
        (
            "a: {name: zone[1..2], b: 1}\n",
            "1:15: this is not YAML: a ',' or '}' is missing (inside { } a text with [, {, ',' "
            "or ': ' needs quotes)",
        ),
        ("a: 1\n--- \nb: 2\n", "2:1: a config file holds one document: remove this ---"),
        ("? [1]\n: 2\n", "1:3: a key is a text, not a list or a mapping"),
        ("a: &k x\n*k : 1\n", "2:1: a key cannot be an alias: write it out"),
        ("a: *nothing\n", "1:4: a: there is no anchor &nothing before this"),
        ("a: &a [*a]\n", "1:8: a[0]: &a contains itself"),
        ("a: !include x.yaml\n", "1:4: a: the tag !include is not known; write include: file.yaml"),
        ("a: !!float 1\n", "1:4: a: the tag !!float is not known; the one known is !secret NAME"),
        ("!foo {}\n", "1:1: the tag !foo is not known; the one known is !secret NAME"),
        ("a: !foo {}\n", "1:4: a: the tag !foo is not known; the one known is !secret NAME"),
        ("a: !secret\n", "1:4: a: !secret needs a name or a file: !secret central-token"),
        ("a: {<<: 1}\n", "1:9: a: '<<' merges mappings: <<: *anchor"),
        ("ok: 1\nb: \x07\n", "2:4: the character U+0007 is not allowed in YAML"),
        (b"a: 1\nb: \xc7\xd1\n", "2:4: this is not UTF-8: save the file with that encoding"),
    ],
)
def test_what_is_refused_and_where(text: str | bytes, problem: str) -> None:
    assert problems_of(text) == [problem]


def test_a_problem_that_can_wait_does_not_end_the_reading() -> None:
    assert len(problems_of("a: 1\na: 2\nb: !x 1\nb: 2\n")) == 3


def test_nesting_is_bounded() -> None:
    assert problems_of("[" * 100_000) == ["1:51: the text is nested deeper than 50 levels"]


def test_aliases_cannot_multiply_without_end() -> None:
    lines = ["a0: &a0 [" + ", ".join(["x"] * 10) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 30)]
    assert problems_of("\n".join(lines)) == [
        "7:10: the document has more than 2000000 values (aliases count each time)"
    ]


def test_the_size_is_bounded() -> None:
    assert problems_of(b"#" * (reader.MAX_BYTES + 1)) == [" the file is larger than 32 MiB"]


def test_locate_passes_over_what_the_data_does_not_have() -> None:
    tree = tree_of("transport:\n  type: tcp\n  port: x\n")
    spot = locate(tree, ("transport", "tcp", "port"), Place("?"))
    assert (spot.value, spot.path, spot.place) == ("x", "transport.port", Place("f", 3, 9))


def test_locate_knows_where_a_missing_key_should_be() -> None:
    tree = tree_of("- name: n\n  x: 1\n")
    spot = locate(tree, (0, "y"), Place("?"), missing=True)
    assert (spot.path, spot.place) == ("[n].y", Place("f", 1, 3))
