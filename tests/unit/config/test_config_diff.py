"""What differs between two documents."""

from edge_agent.config.diff import Diff, diff
from edge_agent.config.outline import Outline
from tests.unit.config.conftest import CONNECTION, DOCUMENT, LoadText

ITEM = CONNECTION.removeprefix("connections:\n")


def test_nothing(load_text: LoadText) -> None:
    one, same = (
        load_text(DOCUMENT).outline,
        load_text(DOCUMENT + "buffer: {flush_interval: 1000ms}\n").outline,
    )
    found = diff(one, same)
    assert found == Diff(unchanged=("press1",))
    assert found.is_empty


def test_connections_are_compared_whole(load_text: LoadText) -> None:
    names = ["keep", "change", "go"]
    old = DOCUMENT + "".join(ITEM.replace("press1", name) for name in names)
    new = DOCUMENT + "".join(ITEM.replace("press1", name) for name in ["come", "change", "keep"])
    before, changed = new.split("- name: change")
    new = before + "- name: change" + changed.replace("holding:100", "holding:101", 1)
    found = diff(load_text(old).outline, load_text(new).outline)
    assert found == Diff(added=("come",), removed=("go",), changed=("change",), unchanged=("press1", "keep"))
    assert not found.is_empty


def test_a_change_of_driver_is_a_change(load_text: LoadText) -> None:
    modbus = DOCUMENT.replace("driver: sample", "driver: modbus").replace("type: tcp, ", "")
    found = diff(load_text(DOCUMENT).outline, load_text(modbus).outline)
    assert found.changed == ("press1",)


def test_sections_and_what_waits_for_a_restart(load_text: LoadText) -> None:
    def document(text: str) -> Outline:
        return load_text(DOCUMENT + text).outline

    base = document("")
    assert diff(base, document("remote: {manage: [hooks]}\n")).sections == ("remote",)
    assert diff(base, document("secrets: {a: b}\n")).sections == ("secrets",)
    assert diff(base, document("central: {url: 'https://x', token: abcd}\n")).sections == ("central",)
    flush = diff(base, document("buffer: {flush_interval: 2s}\n"))
    assert (flush.sections, flush.needs_restart, flush.is_empty) == (("buffer",), (), False)
    moved = diff(base, document("buffer: {path: b.db}\n"))
    assert (moved.sections, moved.needs_restart) == (("buffer",), ("buffer.path",))
    renamed = diff(base, load_text(DOCUMENT.replace("id: press-shop-01", "id: b, runtime_dir: /x")).outline)
    assert (renamed.sections, renamed.needs_restart) == (("agent",), ("agent.id", "agent.runtime_dir"))
