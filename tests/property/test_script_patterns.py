"""Which groups a script is for: `*` stands for any text, and nothing else has a meaning."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent.wire.scripts import covers

_NAME = st.text(alphabet="ab.*[?\\", max_size=8)


@given(patterns=st.lists(_NAME, max_size=3), connection=_NAME, group=_NAME)
@example(patterns=["*"], connection="", group="")
@example(patterns=["ab*ba"], connection="ab", group="a")
@example(patterns=["a*a"], connection="a", group="")
@example(patterns=["a.b"], connection="a", group="b")
def test_a_pattern_covers_what_its_regular_expression_matches(
    patterns: list[str], connection: str, group: str
) -> None:
    expressions = [".*".join(re.escape(part) for part in pattern.split("*")) for pattern in patterns]
    expected = any(re.fullmatch(each, f"{connection}.{group}", re.DOTALL) for each in expressions)
    assert covers(patterns, connection, group) is expected
