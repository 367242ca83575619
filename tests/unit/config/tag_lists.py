"""Reading tag lists in tests: what they hold, or what is said about them."""

from edge_agent.config.tag_list import parse_tags


def read(text: str | bytes, encoding: str | None = None) -> list[dict[str, object]]:
    """The tags of a list in which nothing is wrong."""
    listed = parse_tags(text.encode() if isinstance(text, str) else text, "t.csv", encoding)
    assert listed.problems == []
    assert listed.warnings == []
    return listed.tags


def complaints(text: str | bytes, encoding: str | None = None) -> list[str]:
    listed = parse_tags(text.encode() if isinstance(text, str) else text, "t.csv", encoding)
    return [str(problem) for problem in listed.problems]


def warnings(text: str | bytes) -> list[str]:
    listed = parse_tags(text.encode() if isinstance(text, str) else text, "t.csv")
    assert listed.problems == []
    return [str(problem) for problem in listed.warnings]
