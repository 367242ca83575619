"""From a script's source to code, or to errors that say in which line what is not allowed. Pure."""

import ast
import builtins
import copy
import unicodedata  # noqa: F401  Python's compiler does, for names that are not ASCII: too late by then
from collections.abc import Sequence, Set
from dataclasses import dataclass
from types import CodeType
from typing import Any, Final

from RestrictedPython.transformer import RestrictingNodeTransformer

from edge_agent.hooks.worker import alone
from edge_agent.hooks.worker.guards import BUILTINS, FORMATTING
from edge_agent.hooks.worker.modules import MODULES
from edge_agent.hooks.worker.outputs import Site

FRAME_POINTS: Final = ("transform", "before_forward")
POINTS: Final = (*FRAME_POINTS, "on_cycle", "on_connect", "on_alert", "on_schedule")
_MOST_ERRORS: Final = 20
# Parts of a target that may be computed twice: reading them changes nothing.
_READ_ONLY: Final = (
    ast.Name, ast.Constant, ast.Attribute, ast.Subscript, ast.JoinedStr, ast.FormattedValue, ast.BinOp,
    ast.UnaryOp, ast.Tuple, ast.operator, ast.unaryop, ast.expr_context,
)  # fmt: skip
_NO_STATEMENTS: Final = {
    "AsyncFunctionDef": "async functions", "AsyncFor": "async loops", "AsyncWith": "async blocks",
    "Await": "await", "Match": "match statements: write if and elif", "Nonlocal": "nonlocal",
    "TryStar": "except*", "TypeAlias": "type statements",
}  # fmt: skip


class Refused(Exception):
    """The script cannot run. errors: line and message of each thing that is wrong, by line."""

    def __init__(self, *errors: tuple[int | None, str]) -> None:
        super().__init__(errors[0][1])
        self.errors = errors


@dataclass(frozen=True)
class Compiled:
    """outputs: names (ranges and globs as they are written) and types. inputs: patterns of CONNECTION.TAG.
    sites: where outputs are set. last_drop: the line of the last statement that may leave tags out, or 0."""

    code: CodeType
    outputs: dict[str, str]
    inputs: list[str]
    takes_state: bool
    sites: Sequence[Site]
    last_drop: int


def file_name(hook: str) -> str:
    return f"<hook {hook}>"


def compile_script(hook: str, point: str, source: str) -> Compiled:
    """Raises Refused."""
    tree = _parsed(source)
    takes_state = _takes_state(tree, point)
    outputs, inputs = _outputs(tree), _inputs(tree)
    if inputs and point in FRAME_POINTS:
        line, _ = _assigned(tree, "INPUTS") or (None, None)
        raise Refused((line, f"{point} is given its frame's own tags: INPUTS are for the other points"))
    judged = alone.judge(tree, point)
    last_drop = alone.last_drop(tree, point)
    policy = _Policy(judged.lines, _NO_BUILTINS - set(alone.names_bound(tree)))
    try:
        policy.visit(tree)
        if policy.found:
            raise Refused(*sorted(set(policy.found))[:_MOST_ERRORS])
        code = compile(ast.fix_missing_locations(tree), file_name(hook), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise Refused((error.lineno, error.msg)) from None
    except (RecursionError, MemoryError):
        raise Refused((None, "the script is nested too deeply")) from None
    return Compiled(code, outputs, inputs, takes_state, judged.sites, last_drop)


def _parsed(source: str) -> ast.Module:
    try:
        return ast.parse(source, "<hook>", "exec")
    except SyntaxError as error:
        raise Refused((error.lineno, f"{error.msg}: {(error.text or '').strip()}".rstrip(": "))) from None
    except ValueError as error:
        raise Refused((None, str(error))) from None
    except (RecursionError, MemoryError):
        raise Refused((None, "the script is nested too deeply")) from None


# --- what a script declares ------------------------------------------------------------------------------


def _takes_state(tree: ast.Module, point: str) -> bool:
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == point]
    if not found:
        raise Refused((None, f"the script defines no function {point}"))
    given = found[-1].args
    places = len(given.posonlyargs) + len(given.args)
    if given.vararg or given.kwonlyargs or given.kwarg or not 1 <= places <= 2:
        raise Refused((found[-1].lineno, f"{point} takes what it is given and, if it wants it, the state"))
    return places == 2


def _assigned(tree: ast.Module, name: str) -> tuple[int, ast.expr] | None:
    for node in reversed(tree.body):
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            if value is not None:
                return node.lineno, value
    return None


def _literal(name: str, tree: ast.Module, example: str) -> tuple[int, ast.expr, Any] | None:
    assigned = _assigned(tree, name)
    if assigned is None:
        return None
    line, node = assigned
    try:
        return line, node, ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        wrong = next((part for part in ast.walk(node) if not isinstance(part, _LITERAL)), node)
        at = getattr(wrong, "lineno", line)
        raise Refused(
            (at, f"{name} is read before the script runs: write texts alone, as {example}")
        ) from None


_NO_BUILTINS: Final = {name for name in dir(builtins) if not name.startswith("_")} - {*BUILTINS, "print"}
_LITERAL: Final = (ast.Dict, ast.List, ast.Tuple, ast.Constant, ast.expr_context)
_OUTPUTS_EXAMPLE: Final = 'OUTPUTS = {"oil_f": "float32 °F"}'
_INPUTS_EXAMPLE: Final = 'INPUTS = ["press1.oil_temp"]'


def _outputs(tree: ast.Module) -> dict[str, str]:
    found = _literal("OUTPUTS", tree, _OUTPUTS_EXAMPLE)
    if found is None:
        return {}
    line, node, value = found
    if not isinstance(value, dict) or not isinstance(node, ast.Dict):
        raise Refused((line, f"OUTPUTS is a dict: {_OUTPUTS_EXAMPLE}"))
    seen: set[str] = set()
    for key, type_ in zip(node.keys, node.values, strict=True):
        name = key.value if isinstance(key, ast.Constant) else None
        if not isinstance(name, str) or not name:
            raise Refused((key.lineno if key else line, "a key of OUTPUTS is the name of a tag, a text"))
        if name in seen:
            raise Refused((key.lineno if key else line, f"{name!r} stands twice in OUTPUTS"))
        if not isinstance(value[name], str):
            raise Refused(
                (type_.lineno, f"OUTPUTS: {name!r} is of a type and a unit, a text such as 'float32 °C'")
            )
        seen.add(name)
    return value


def _inputs(tree: ast.Module) -> list[str]:
    found = _literal("INPUTS", tree, _INPUTS_EXAMPLE)
    if found is None:
        return []
    line, node, value = found
    if not isinstance(value, list | tuple):
        raise Refused((line, f"INPUTS is a list: {_INPUTS_EXAMPLE}"))
    parts = node.elts if isinstance(node, ast.List | ast.Tuple) else []
    for part, pattern in zip(parts, value, strict=True):
        if not isinstance(pattern, str) or "." not in pattern.strip("."):
            raise Refused((part.lineno, f"INPUTS: {pattern!r} is not CONNECTION.TAG"))
    return list(value)


# --- what of Python there is -----------------------------------------------------------------------------


class _Policy(RestrictingNodeTransformer):
    """RestrictedPython's rules with messages for people, and more: print as it is in Python, annotated
    assignments, `frame["x"] += 1`, and lines that stand alone."""

    def __init__(self, lines: Set[ast.AST], missing: Set[str]) -> None:
        """lines: assignments that stand alone (`alone`). missing: names that stand for nothing."""
        super().__init__()
        self._alone = lines
        self._missing = missing
        self.found: list[tuple[int, str]] = []

    def error(self, node: ast.AST, info: str) -> None:
        self.found.append((getattr(node, "lineno", 0), _readable(info)))

    def warn(self, node: ast.AST, info: str) -> None:
        """Nothing that it warns of concerns a hook."""

    def not_allowed(self, node: ast.AST) -> None:
        kind = type(node).__name__
        self.error(node, f"not allowed: {_NO_STATEMENTS.get(kind, kind)}")

    def visit_Name(self, node: ast.Name) -> Any:  # noqa: N802
        if isinstance(node.ctx, ast.Load) and node.id in self._missing:
            self.error(node, f"there is no {node.id} in scripts")
        if node.id == "print" and isinstance(node.ctx, ast.Load):
            return node
        return super().visit_Name(node)

    def visit_Assign(self, node: ast.Assign) -> Any:  # noqa: N802
        if node not in self._alone:
            return super().visit_Assign(node)
        target = node.targets[0]
        assert isinstance(target, ast.Subscript)
        key, value = self.visit(target.slice), self.visit(node.value)
        return alone.wrapped(
            ast.copy_location(ast.Assign([ast.Subscript(target.value, key, ast.Store())], value), node)
        )

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:  # noqa: N802
        if node.value is None:
            return None
        plain = ast.Assign(targets=[node.target], value=node.value)
        return self.visit(ast.copy_location(plain, node))

    def visit_Attribute(self, node: ast.Attribute) -> Any:  # noqa: N802
        if isinstance(node.value, ast.Constant | ast.JoinedStr) and node.attr in FORMATTING:
            self.error(node, f"str.{node.attr} is not allowed: write an f-string")
        visited = super().visit_Attribute(node)
        if isinstance(visited, ast.Attribute) and isinstance(visited.value, ast.Call):
            visited.value.func = ast.copy_location(ast.Name("_owner_", ast.Load()), visited)
        return visited

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:  # noqa: N802
        target = node.target
        if isinstance(target, ast.Name):
            self.check_name(target, target.id)
            return self.node_contents_visit(node)
        if not all(isinstance(part, _READ_ONLY) for part in ast.walk(target)):
            self.error(
                node, "the left side of an augmented assignment is computed once: name its parts first"
            )
            return node
        before = copy.deepcopy(target)
        before.ctx = ast.Load()
        value = ast.copy_location(ast.BinOp(left=before, op=node.op, right=node.value), node)
        plain = ast.Assign(targets=[target], value=value)
        return self.visit(ast.fix_missing_locations(ast.copy_location(plain, node)))

    def visit_Import(self, node: ast.Import) -> Any:  # noqa: N802
        for alias in node.names:
            self._check_import(node, alias.name)
        return super().visit_Import(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:  # noqa: N802
        module = node.module or "."
        self._check_import(node, module)
        known = MODULES.get(module)
        for alias in node.names:
            if known is not None and alias.name != "*" and alias.name not in dir(known):
                self.error(node, f"scripts have no {module}.{alias.name}")
        return super().visit_ImportFrom(node)

    def _check_import(self, node: ast.AST, module: str) -> None:
        if module not in MODULES:
            self.error(node, f"scripts cannot import {module!r}: there are {', '.join(MODULES)}")


def _readable(info: str) -> str:
    """What RestrictedPython says, in words that name what to do."""
    name = info.split('"')[1] if info.count('"') >= 2 else ""
    if 'starts with "_"' in info:
        kind = "attributes" if "attribute" in info else "names"
        return f"{kind} that begin with an underscore are not allowed: {name!r}"
    if "is a reserved name" in info or "__roles__" in info:
        return f"this name is reserved: {name!r}"
    if "restricted name" in info:
        return f"this attribute is not allowed: {name!r}"
    if info.endswith("statements are not allowed."):
        kind = info.split(maxsplit=1)[0]
        return f"not allowed: {_NO_STATEMENTS.get(kind, kind)}"
    return (
        f"{info[0].lower()}{info[1:].rstrip('.')}" if info and not info.startswith('"') else info.rstrip(".")
    )
