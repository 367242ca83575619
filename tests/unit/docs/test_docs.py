"""What the documentation names exists: links, files, commands, flags, make targets, routes, libraries.

Pages that are made from the code are compared where their generators are tested; here is the rest.
"""

import argparse
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from central_sync import app as centre
from central_sync.cli.arguments import parser as central_parser
from central_sync.settings import Settings, TlsSettings
from edge_agent.app.simulation import simulator_command, simulators
from edge_agent.cli.main import build_parser

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
# A specification also names what later versions bring.
GUIDES = [page for page in PAGES if DOCS / "specs" not in page.parents]

_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"(?:edge_agent|central_sync|tests|docs|config|\.ci)/[\w./-]*\w")
_CALL = re.compile(r"(?:^|[\s/=])(edge-agent|central-sync) ([^`|#]+)")
_FLAG = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The names that a forge gives to the headings of a page."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def snippets(page: Path) -> Iterator[str]:
    """Each line of the fenced blocks, and each piece of code within the text."""
    text = page.read_text(encoding="utf-8")
    for block in _FENCE.findall(text):
        yield from block.splitlines()[1:-1]
    yield from _CODE.findall(_FENCE.sub("", text))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(found), f"{target}: there is no such heading"


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_files_that_are_named_are_there(page: Path) -> None:
    named = {path for code in _CODE.findall(page.read_text(encoding="utf-8")) for path in _PATH.findall(code)}
    missing = sorted(path for path in named if "NAME" not in path and not (ROOT / path).exists())
    assert not missing


# --- commands ------------------------------------------------------------------------------------------


def children(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return {
        name: child
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, child in action.choices.items()
    }


def flags(parser: argparse.ArgumentParser) -> set[str]:
    return {flag for action in parser._actions for flag in action.option_strings}


def simulator_parser(driver: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    simulator_command(driver).add_arguments(parser)
    return parser


def resolve(program: str, words: list[str]) -> argparse.ArgumentParser | None:
    """The parser that reads what follows the commands among `words`; None where one does not exist."""
    if (program, words[0]) == ("edge-agent", "simulate") and words[1:2] and words[1] in simulators():
        return simulator_parser(words[1])
    parser = build_parser() if program == "edge-agent" else central_parser()
    for word in words:
        known = children(parser)
        if not known or word.startswith("-"):
            break
        if word not in known:
            return None
        parser = known[word]
    return parser


def calls() -> Iterator[tuple[Path, str, str]]:
    """Page, program and the rest of the line, wherever one of the programs is called with arguments."""
    for page in GUIDES:
        for snippet in snippets(page):
            for program, rest in _CALL.findall(snippet):
                yield page, program, rest


def test_commands_and_flags_exist() -> None:
    found = list(calls())
    assert len(found) > 20, "the pattern does not find the calls any more"
    for page, program, rest in found:
        words = rest.split()
        if words[0].isupper() or words[:2] == ["simulate", "DRIVER"]:  # stands for any of them
            continue
        parser = resolve(program, words)
        assert parser is not None, f"{name_of(page)}: {program} {rest}"
        unknown = set(_FLAG.findall(re.sub(r"'[^']*'", "", rest))) - flags(parser)
        assert not unknown, f"{name_of(page)}: {program} {rest}: {unknown}"


def test_a_command_that_is_not_there_would_be_noticed() -> None:
    assert resolve("edge-agent", ["hook", "dance"]) is None
    assert resolve("central-sync", ["token", "make"]) is None
    parser = resolve("central-sync", ["token", "create", "--role", "viewer"])
    assert parser is not None
    assert "--device" in flags(parser)


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in GUIDES:
        for snippet in snippets(page):
            for target in re.findall(r"^\s*make ([a-z-]+)", snippet):
                assert target in targets, f"{name_of(page)}: make {target}"


# --- the centre ----------------------------------------------------------------------------------------


def test_the_centres_routes_are_documented() -> None:
    committed = (DOCS / "api.md").read_text(encoding="utf-8")
    assert committed == centre.api_markdown(), "central-sync openapi --markdown > docs/api.md"


def test_the_centres_settings_are_documented() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    for field in Settings.model_fields:
        assert f"| `{field}` |" in page
    for field in TlsSettings.model_fields:
        assert f"{field}: FILE" in page


def test_the_centres_commands_and_flags_are_documented() -> None:
    pages = "".join(
        (DOCS / name).read_text(encoding="utf-8") for name in ("operations.md", "configuration.md")
    )
    commands: dict[str, argparse.ArgumentParser] = {}
    for name, command in children(central_parser()).items():
        actions = children(command)
        commands |= {f"{name} {action}": parser for action, parser in actions.items()} or {name: command}
    for name, parser in commands.items():
        assert f"`central-sync {name}" in pages
        missing = {flag for flag in flags(parser) if flag.startswith("--") and flag not in pages}
        assert missing <= {"--help", "--config"}, f"central-sync {name}"  # --config is documented as -c


# --- indexes -------------------------------------------------------------------------------------------


def linked(page: Path) -> set[Path]:
    targets = _LINK.findall(page.read_text(encoding="utf-8"))
    return {(page.parent / target.partition("#")[0]).resolve() for target in targets if "://" not in target}


def test_every_page_can_be_found_from_the_index() -> None:
    indexes = [DOCS / "README.md", DOCS / "decisions" / "README.md", DOCS / "specs" / "README.md"]
    found = set().union(*(linked(index) for index in indexes))
    assert set(DOCS.rglob("*.md")) <= found | {DOCS / "README.md"}


def test_decisions_are_numbered_once_and_carry_a_status() -> None:
    records = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    numbers = [record.name[:4] for record in records]
    assert len(set(numbers)) == len(numbers)
    for record in records:
        text = record.read_text(encoding="utf-8")
        assert text.startswith(f"# {record.name[:4]}: ")
        assert re.search(r"^Status: (proposed|accepted|replaced by \d{4})", text, re.MULTILINE), record.name


def test_every_dependency_has_its_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [
        project["project"]["dependencies"],
        *(needs for name, needs in project["project"]["optional-dependencies"].items() if name != "all"),
        *project["dependency-groups"].values(),
        project["build-system"]["requires"],
    ]
    page = (DOCS / "dependencies.md").read_text(encoding="utf-8").lower()
    names = {re.split(r"[\s\[<>=;]", need)[0].lower() for group in groups for need in group}
    assert not sorted(name for name in names if name not in page)


def test_contributing_tells_of_each_crash_test_and_of_no_other() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `test_")]
    named = [name for row in rows for name in re.findall(r"test_\w+\.py", row.split("|")[1])]
    assert sorted(named) == sorted(path.name for path in (ROOT / "tests" / "crash").glob("test_*.py"))
