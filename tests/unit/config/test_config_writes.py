"""The section `writes` of a file: what is refused, with its place, and the pin that is asked for."""

import re

import pytest

from edge_agent.config.errors import ConfigErrors
from tests.unit.config.conftest import DOCUMENT, LoadText

TAG = "press1.oil_temp"


def problem(load_text: LoadText, text: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        load_text(DOCUMENT + text)
    return str(caught.value)


def test_nothing_may_be_written_by_default(load_text: LoadText) -> None:
    assert load_text(DOCUMENT).document.writes.allow == []


def test_an_entry_needs_no_pin_where_the_file_alone_says_what_is_polled(load_text: LoadText) -> None:
    loaded = load_text(DOCUMENT + f"writes: {{allow: [{{tag: {TAG}, min: 0, max: 9}}]}}\n")
    assert [each.tag for each in loaded.document.writes.allow] == [TAG]


def test_where_the_centre_manages_connections_the_pin_to_paste_is_said(load_text: LoadText) -> None:
    manage = "remote: {manage: [connections]}\n"
    said = problem(load_text, manage + f"writes: {{allow: [{{tag: {TAG}, min: 0, max: 9}}]}}\n")
    found = re.search(r"writes\.allow\[0\]: .* needs pin: '(.*)'", said)
    assert found is not None
    entry = f"writes: {{allow: [{{tag: {TAG}, min: 0, max: 9, pin: '{found[1]}'}}]}}\n"
    assert load_text(DOCUMENT + manage + entry).document.writes.allow[0].pin == found[1]
    said = problem(load_text, manage + entry.replace("sample ", "sample 1"))
    assert "is not what it was pinned to" in said


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{tag: press1.nothing, min: 0, max: 1}", "writes.allow[0].tag: there is no tag press1.nothing"),
        (f"{{tag: {TAG}}}", "a number needs its bounds"),
        (f"{{tag: {TAG}, min: 0}}", "min and max belong together"),
        (f"{{tag: {TAG}, min: 2, max: 1}}", "min is larger than max"),
        ("{tag: press1}", "is no CONNECTION.TAG"),
        (f"{{tag: {TAG}, min: 0, max: .inf}}", "max"),
        (f"{{tag: {TAG}, min: 0, max: 1}}, {{tag: {TAG}, min: 0, max: 2}}", "stands twice in allow"),
        (f"{{tag: {TAG}, min: 0, max: 1, mxa: 2}}", "unknown key 'mxa'"),
    ],
)
def test_an_entry_that_can_never_be_used_is_refused(load_text: LoadText, entry: str, said: str) -> None:
    assert said in problem(load_text, f"writes: {{allow: [{entry}]}}\n")
