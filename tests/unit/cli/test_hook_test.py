"""hook test: its arguments, what it prints, exit codes, and running again on save."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pytest

from edge_agent.cli import hook_view
from edge_agent.cli.text import Palette
from edge_agent.contracts.errors import ConfigError, Unavailable
from edge_agent.wire.dry_run import DryAlert, DryError, DryOutput, DryRunAnswer, DryTimes, DryValue
from edge_agent.wire.scripts import HookPoint, Script

AT = 1_767_225_600_000
SCRIPT = Script(name="oil", hook_type=HookPoint.TRANSFORM, source="def transform(frame): pass\n")
FAILED = DryError(
    kind="failed", type="ZeroDivisionError", message="division by zero", line=3,
    source='    frame["f"] = 1 / frame["oil"]', traceback="…",
)  # fmt: skip
OUTPUTS = [
    DryOutput(
        index=0, connection="press1", group="fast", time=AT, milliseconds=0.1234, made=["oil", "oil_f"],
        before={"oil": DryValue(value=41), "lot": DryValue(value="A\x1b7"), "zone": DryValue(value=[1, 2])},
        after={"oil": DryValue(value=41.5), "zone": DryValue(value=[1, 2]), "oil_f": DryValue(value=106.7)},
        dropped=["lot"], prints="hello\n온도\x07",
    ),
    DryOutput(
        index=1, connection="press1", group="fast", time=AT + 1_000, milliseconds=0.2, error=FAILED,
        before={"oil": DryValue(value=0)}, after={"oil": DryValue(value=0, quality="bad_hook")},
    ),
    DryOutput(
        index=2, connection="press2", group="slow", time=AT + 1_000,
        before={"kwh": DryValue(value=1)}, after={"kwh": DryValue(value=1)},
    ),
]  # fmt: skip
ANSWER = DryRunAnswer(
    ok=False, script=SCRIPT.mark, declared=["oil float32", "oil_f float32 °F"], outputs=OUTPUTS, left_out=7,
    alerts=[DryAlert(code="hot", message="too hot", data={"oil": 41.5})], state={"n": 2}, error=FAILED,
    milliseconds=DryTimes(calls=2, p50_ms=0.1234, p99_ms=0.2, total_ms=0.3234),
    layers={"rlimits": "on", "landlock": "the kernel has none"},
)  # fmt: skip
TEXT = f"""\
{SCRIPT.mark}
outputs: oil float32, oil_f float32 °F

press1.fast  2026-01-01 00:00:00.000Z  0.123 ms
  tag     raw  result  quality
  oil      41    41.5  good     replaced
  lot  A\\x1b7       –           dropped
  oil_f     –   106.7  good     computed
  1 tag is as before
  printed: hello
  printed: 온도\\x07

press1.fast  2026-01-01 00:00:01.000Z  0.200 ms
  tag  raw  result  quality
  oil    0       0  bad_hook
  ✗ oil.py:3: ZeroDivisionError: division by zero
      3 |     frame["f"] = 1 / frame["oil"]
        |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

press2.slow  2026-01-01 00:00:01.000Z  not run on this group
  1 tag is as before

7 frames more, not shown
alert hook.hot: too hot {{"oil": 41.5}}

state: {{"n": 2}}

2 calls: p50 0.123 ms, p99 0.200 ms each, 0.3 ms in all
the sandbox lacks here: landlock: the kernel has none
"""


def rendered(answer: DryRunAnswer, *, everything: bool = False) -> list[str]:
    return hook_view.render(answer, "oil.py", Palette(False), everything=everything)


def test_what_a_script_did_is_shown_tag_by_tag() -> None:
    # Blanks between columns are the table's; what is in them is meant here.
    shown = [" ".join(line.split()) for line in rendered(ANSWER)]
    assert shown == [" ".join(line.split()) for line in TEXT.splitlines()]


def test_the_line_of_an_error_is_underlined_without_its_indentation() -> None:
    lines = rendered(ANSWER)
    at = next(index for index, line in enumerate(lines) if "| " in line and "frame" in line)
    source, carets = lines[at], lines[at + 1]
    assert source[carets.index("^") : carets.rindex("^") + 1] == 'frame["f"] = 1 / frame["oil"]'


def test_tags_that_did_not_change_are_shown_where_that_is_asked() -> None:
    assert not any(line.split()[:1] == ["zone"] for line in rendered(ANSWER))
    assert any(line.split()[:1] == ["zone"] for line in rendered(ANSWER, everything=True))


def test_a_script_that_is_refused_shows_why_and_nothing_else() -> None:
    refused = DryError(kind="refused", type="", message="import is not allowed", line=1, source="import os")
    lines = rendered(DryRunAnswer(ok=False, script=SCRIPT.mark, error=refused))
    assert lines[2:5] == ["✗ oil.py:1: import is not allowed", "    1 | import os", "      | ^^^^^^^^^"]
    assert len(lines) == 5
    nothing = rendered(DryRunAnswer(ok=True, script=SCRIPT.mark))
    assert nothing[-1].startswith("nothing was run: name samples")


@pytest.mark.parametrize(
    ("value", "text"),
    [(106.69999694824219, "106.7"), (16777216.0, "16777216"), (0.1, "0.1"), (1e300, "1e+300"), (2.5, "2.5"),
     (123456.7890625, "123456.79"), (1.0000000000000002, "1.0000000000000002")],
)  # fmt: skip
def test_a_float32_is_shown_with_its_own_digits(value: float, text: str) -> None:
    output = DryOutput(
        index=0, connection="a", group="b", time=AT, after={"x": DryValue(value=value)}, made=["x"]
    )
    (line,) = (
        each for each in rendered(DryRunAnswer(ok=True, outputs=[output])) if each.split()[:1] == ["x"]
    )
    assert line.split()[2] == text


# --- the command ---------------------------------------------------------------------------------------


@dataclass
class FakeChosen:
    script: Script = SCRIPT
    file: str = "oil.py"
    watched: tuple[Path, ...] = (Path("oil.py"),)


@dataclass
class FakeDesk:
    """Answers what the test put in, one after the other."""

    answers: list[DryRunAnswer | Exception] = field(default_factory=lambda: [ANSWER])
    asked: list[Any] = field(default_factory=list)

    def choose(self, **wish: Any) -> FakeChosen:
        self.asked.append(wish)
        return FakeChosen()

    def try_out(self, chosen: Any, samples: Mapping[str, Any], warn: Callable[[str], None]) -> DryRunAnswer:
        self.asked.append(samples)
        return self._next()

    def answer(self, request: TextIO) -> DryRunAnswer:
        self.asked.append(request.read())
        return self._next()

    def _next(self) -> DryRunAnswer:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def desk(app: Any) -> FakeDesk:
    desk = FakeDesk()
    app.desk = desk
    return desk


def test_the_exit_code_tells_whether_the_script_did_its_work(cli: Any, desk: FakeDesk) -> None:
    assert cli("hook", "test", "oil.py") == 1
    assert "✗ oil.py:3: ZeroDivisionError: division by zero" in cli.out
    desk.answers = [ANSWER.model_copy(update={"ok": True, "error": None})]
    assert cli("hook", "test", "oil.py", "--json") == 0
    assert DryRunAnswer.model_validate_json(cli.out).script == SCRIPT.mark
    assert cli.out.count("\n") == 1
    desk.answers = [Unavailable("no worker")]
    assert cli("hook", "test", "oil.py") == 3
    assert (cli.out, cli.err) == ("", "edge-agent: no worker\n")


def test_samples_are_those_of_the_line(cli: Any, desk: FakeDesk) -> None:
    cli("hook", "test", "oil.py", "--from-buffer", "b.db", "--group", "a.*", "--group", "b.c", "--last", "20",
        "--state", "s.json", "--calls", "c.json", "--repeat", "9")  # fmt: skip
    assert desk.asked[-1] == {
        "frames": None, "from_buffer": Path("b.db"), "calls": Path("c.json"), "state": Path("s.json"),
        "groups": ("a.*", "b.c"), "last": 20, "repeat": 9,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("oil.py", "--frames", "a", "--from-buffer", "b"), "--frames and --from-buffer exclude each other"),
        ((), "name one script: FILE, or --hook NAME of the config"),
        (("oil.py", "--request", "-"), "--request has script and samples"),
        (("--request", "-", "--frames", "a"), "--request has script and samples"),
        (("--request", "-", "--watch"), "--request has script and samples"),
    ],
)
def test_what_excludes_each_other_is_said(cli: Any, desk: FakeDesk, argv: tuple[str, ...], text: str) -> None:
    assert cli("hook", "test", *argv) == 2
    assert text in cli.err


@pytest.mark.parametrize("count", ["0", "1001", "many"])
def test_counts_are_bounded(cli: Any, count: str) -> None:
    for name in ("--last", "--repeat"):
        with pytest.raises(SystemExit):
            cli("hook", "test", "oil.py", name, count)


def test_a_program_asks_by_one_document(cli: Any, desk: FakeDesk, tmp_path: Path) -> None:
    cli.stdin.write('{"script": 1}')
    cli.stdin.seek(0)
    assert cli("hook", "test", "--request", "-", "--json") == 1
    assert desk.asked == ['{"script": 1}']
    assert json.loads(cli.out)["error"]["line"] == 3
    (tmp_path / "request.json").write_text("{}")
    desk.answers = [ANSWER]
    assert cli("hook", "test", "--request", "request.json") == 1
    assert desk.asked[-1] == "{}"


def test_watching_runs_again_when_a_file_is_saved_and_not_before(
    cli: Any, desk: FakeDesk, tmp_path: Path
) -> None:
    script = tmp_path / "oil.py"
    script.write_text("1")
    desk.answers = [ANSWER, ConfigError("oil.py: is broken"), ANSWER]
    looks: list[int] = []

    class Slept(list[float]):
        """Saves the script at the third look, and again at the fifth; the reader leaves at the eighth."""

        def append(self, seconds: float) -> None:
            super().append(seconds)
            looks.append(len(desk.answers))
            if len(self) in (3, 5):
                script.write_text("1" * (len(self) + 1))
            if len(self) == 8:
                raise KeyboardInterrupt

    cli.slept = Slept()
    assert cli("hook", "test", "oil.py", "--watch") == 130
    # Answers that are left at each look: nothing was run in between without a save.
    assert looks == [2, 2, 2, 1, 1, 0, 0, 0]
    assert set(cli.slept) == {0.25}
    assert cli.out.count(SCRIPT.mark) == 2
    assert cli.err == "edge-agent: oil.py: is broken\n"
