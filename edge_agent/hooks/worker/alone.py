"""Which lines of a script are judged by themselves. Pure.

`frame["oil_f"] = frame["oil"] * 1.8 + 32` is made of nothing but what that line reads, so that its quality
is that of what it read, and a missing value spoils that output alone. A line that uses what the script has
kept before (a variable, the state, a global that can change) may be made of anything that was read, and so
may one that is run or not, depending on what was read. An output that is set in such a line, or at several
places, is judged by all that the call reads, since it might have been set to something else (`Site`).
"""

import ast
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from typing import Final, NamedTuple

from edge_agent.hooks.worker.guards import BUILTINS
from edge_agent.hooks.worker.modules import MODULES
from edge_agent.hooks.worker.outputs import Site

# What such a line calls: `Account.alone`.
CALL: Final = "_alone_"
_CONSTANT: Final = (
    ast.Constant,
    ast.Tuple,
    ast.UnaryOp,
    ast.unaryop,
    ast.BinOp,
    ast.operator,
    ast.expr_context,
)
_LEAVES: Final = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_JUMPS: Final = (*_LEAVES, ast.Assert)
# What a script may ask a frame for that is no value.
_FACTS: Final = frozenset({"names", "connection", "group", "unit_id", "quality", "age"})
_IN: Final = (ast.In, ast.NotIn)
_SETTERS: Final = frozenset({"set", "set_columns"})
_BINDS: Final = (ast.NamedExpr, ast.Yield, ast.YieldFrom, ast.Await)


class Judged(NamedTuple):
    """lines: the assignments that stand alone. sites: all places at which outputs are set."""

    lines: Set[ast.Assign]
    sites: Sequence[Site]


_ANYWHERE: Final = Site(None, True, False)


def judge(tree: ast.Module, point: str) -> Judged:
    """Function `point` of the script."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    function = functions[point]
    given, *others = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
    bound = names_bound(function)
    if bound[given] > 1:
        return Judged(set(), [_ANYWHERE])
    walk = _Walk(given, bound, _steady(tree, functions) - set(bound))
    if not walk.go_through(function.body, set(), False):
        walk.lines.clear()
        walk.once.clear()
    direct = {name for name in others if bound[name] == 1} | {given}
    return Judged(walk.lines, _sites(tree, function, given, direct, walk.once))


class _Walk:
    """Finds in a function the lines that stand alone, and those that are run once, whatever was read."""

    def __init__(self, given: str, bound: Counter[str], steady: set[str]) -> None:
        self.lines: set[ast.Assign] = set()
        self.once: set[ast.stmt] = set()
        self._given = given
        self._bound = bound
        self._steady = steady

    def go_through(self, body: Sequence[ast.stmt], loops: set[str], in_loop: bool) -> bool:
        """loops: variables of loops over what was not read, of those around it. False: whether all of it is
        reached depends on what was read."""
        steady = self._steady | loops
        for node in body:
            match node:
                case ast.If(test=test) if self._is_of_facts(test, steady):
                    parts = [(node.body, loops, in_loop), (node.orelse, loops, in_loop)]
                case ast.For(target=target, iter=over) if self._is_of_facts(over, steady):
                    names = {part.id for part in ast.walk(target) if isinstance(part, ast.Name)}
                    own = {name for name in names if self._bound[name] == 1}
                    parts = [(node.body, loops | own, True), (node.orelse, loops, in_loop)]
                case _:
                    if not isinstance(node, _LEAVES) and any(
                        isinstance(part, _JUMPS) for part in ast.walk(node)
                    ):
                        return False
                    self._take(node, steady, in_loop)
                    continue
            if not all(self.go_through(*part) for part in parts):
                return False
        return True

    def _take(self, node: ast.stmt, steady: set[str], in_loop: bool) -> None:
        if not in_loop:
            self.once.add(node)
        if not isinstance(node, ast.Assign) or not _sets(node, self._given):
            return
        target = node.targets[0]
        assert isinstance(target, ast.Subscript)
        if self._is_of_facts(target.slice, steady) and _made_of(
            node.value, steady | {self._given}, self._bound
        ):
            self.lines.add(node)

    def _is_of_facts(self, node: ast.AST, steady: set[str]) -> bool:
        """Whether it does not depend on values that are read."""
        return _made_of(node, steady, self._bound, _facts(node, self._given))


def _sites(
    tree: ast.Module, function: ast.FunctionDef, given: str, direct: set[str], once: set[ast.stmt]
) -> list[Site]:
    """direct: names of what the function is given, which stand for nothing else."""
    sites: list[Site] = []
    known: set[ast.AST] = set()  # where the name `given` stands, and what is done with it is seen
    run_once = {_set_by(node) for node in once}
    for part in ast.walk(function):
        match part:
            case ast.Subscript(value=ast.Name(id=name) as at, slice=key) if name == given:
                known.add(at)
                if not isinstance(part.ctx, ast.Load):
                    sites.append(Site(_text(key), False, part in run_once))
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)) if (
                name == given and attr in _SETTERS
            ):
                known.add(part.func)
                first = part.args[0] if part.args else None
                sites.append(Site(_text(first), attr == "set_columns", part in run_once))
            case ast.Attribute(value=ast.Name(id=name) as at) if name == given:
                known.add(at)
    known |= _facts(function, given)
    is_handed_on = any(
        isinstance(part, ast.Name) and part.id == given and part not in known for part in ast.walk(function)
    )
    if (is_handed_on and _may_set(tree, function, direct)) or any(
        isinstance(part, ast.Attribute) and part.attr in _SETTERS and part not in known
        for part in ast.walk(function)
    ):
        sites.append(_ANYWHERE)
    return sites


def last_drop(tree: ast.Module, point: str) -> int:
    """The line of the last statement of function `point` that may leave tags out; 0: there is none."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    drop = {name for name, function in functions.items() if name != point and _names(function, {"drop"})}
    found = [node.lineno for node in functions[point].body if _names(node, {"drop", *drop})]
    return max(found, default=0)


def _names(node: ast.AST, names: set[str]) -> bool:
    return any(
        (isinstance(part, ast.Attribute) and part.attr in names)
        or (isinstance(part, ast.Name) and part.id in names)
        for part in ast.walk(node)
    )


def _set_by(node: ast.stmt) -> ast.AST | None:
    """The part of a statement that is run whenever it is."""
    match node:
        case ast.Assign(targets=[target]) | ast.AugAssign(target=target):
            return target
        case ast.AnnAssign(target=target, value=ast.expr()):
            return target
        case ast.Expr(value=ast.Call() as call):
            return call
    return None


def _may_set(tree: ast.Module, function: ast.FunctionDef, direct: set[str]) -> bool:
    """Whether there are lines that set something in what they have by another name."""
    seen: set[ast.AST] = set()
    for part in ast.walk(function):
        if isinstance(part, ast.Subscript) and isinstance(part.value, ast.Name) and part.value.id in direct:
            seen.add(part)
    for part in ast.walk(tree):
        match part:
            case ast.Subscript() if not isinstance(part.ctx, ast.Load) and part not in seen:
                return True
            case ast.Attribute(attr=attr) if attr in _SETTERS:
                return True
            case ast.Name(id=name) if name in ("getattr", function.name):
                return True
    return False


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _facts(node: ast.AST, given: str) -> set[ast.Name]:
    """Where it asks for what is no value: `frame.names`, `frame.quality("oil")`, `"oil" in frame`."""
    found: set[ast.Name] = set()
    for part in ast.walk(node):
        match part:
            case ast.Attribute(value=ast.Name() as name, attr=attribute) if attribute in _FACTS:
                found.add(name)
            case ast.Compare(ops=ops, comparators=others):
                pairs = zip(ops, others, strict=True)
                found |= {on for op, on in pairs if isinstance(op, _IN) and isinstance(on, ast.Name)}
    return {name for name in found if name.id == given}


def _sets(node: ast.Assign, given: str) -> bool:
    """Whether it is `given[…] = …`."""
    target = node.targets[0]
    at = target.value if isinstance(target, ast.Subscript) else None
    return len(node.targets) == 1 and isinstance(at, ast.Name) and at.id == given


def _made_of(
    node: ast.AST, known: set[str], bound: Counter[str], besides: Set[ast.AST] = frozenset()
) -> bool:
    """Whether all names are `known`, or bound within and nowhere else, as those of comprehensions are.
    `besides`: those that need not be."""
    parts = list(ast.walk(node))
    inner = names_bound(node)
    names = {part.id for part in parts if isinstance(part, ast.Name) and _loads(part) and part not in besides}
    return (
        all(name in known or inner[name] for name in names)
        and all(bound[name] == times for name, times in inner.items())
        and not any(isinstance(part, _BINDS) for part in parts)
    )


def names_bound(function: ast.AST) -> Counter[str]:
    """Every name that is bound in it, and how often."""
    names: Counter[str] = Counter()
    for part in ast.walk(function):
        match part:
            case ast.Name(id=name) if not _loads(part):
                names[name] += 1
            case ast.arg(arg=name):
                names[name] += 1
            case ast.Global(names=several):
                names.update(several)
            case ast.ExceptHandler(name=str(name)):
                names[name] += 1
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) if part is not function:
                names[name] += 1
            case ast.alias(name=name, asname=other):
                names[other or name] += 1
    return names


def _loads(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Load)


def _steady(tree: ast.Module, functions: dict[str, ast.FunctionDef]) -> set[str]:
    """Names of the module that stand for the same all the time, and hold nothing that was read."""
    bound = names_bound(tree)
    steady = {name for name in (*BUILTINS, *MODULES, "print") if not bound[name]}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if bound[name] == 1:
                if all(isinstance(part, _CONSTANT) for part in ast.walk(value)):
                    steady.add(name)
            case ast.Import(names=several) | ast.ImportFrom(names=several):
                imported = {alias.asname or alias.name for alias in several}
                steady |= {name for name in imported if bound[name] == 1}
    # Functions that use nothing else, in their order: one may call those before it.
    for name, function in functions.items():
        if bound[name] == 1 and not _keeps(function):
            inner = names_bound(function)
            if _made_of(function, steady, inner):
                steady.add(name)
    return steady


def _keeps(function: ast.FunctionDef) -> bool:
    """Whether a call may leave something behind: globals, and defaults that can change. What a decorator
    makes of it may be anything."""
    if function.decorator_list:
        return True
    defaults: Iterable[ast.expr | None] = (*function.args.defaults, *function.args.kw_defaults)
    if any(default is not None and not isinstance(default, ast.Constant) for default in defaults):
        return True
    kinds = ast.Global | ast.FunctionDef | ast.ClassDef
    return any(isinstance(part, kinds) and part is not function for part in ast.walk(function))


def wrapped(node: ast.Assign) -> ast.Expr:
    """`frame[KEY] = VALUE` as `_alone_(frame, KEY, lambda: VALUE)`."""
    target = node.targets[0]
    assert isinstance(target, ast.Subscript)
    nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    value = ast.Lambda(args=nothing, body=node.value)
    name = ast.Name(CALL, ast.Load())
    call = ast.Call(func=name, args=[target.value, target.slice, value], keywords=[])
    return ast.fix_missing_locations(ast.copy_location(ast.Expr(ast.copy_location(call, node)), node))
