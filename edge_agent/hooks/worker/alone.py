"""Which lines of a script are judged by themselves. Pure.

`frame["oil_f"] = frame["oil"] * 1.8 + 32` is made of nothing but what that line reads, so that its quality
is that of what it read, and a missing value spoils that output alone. A line that uses what the script has
kept before (a variable, the state, a global that can change) may be made of anything that was read, and so
may one that is run or not, depending on what was read.
"""

import ast
from collections import Counter
from collections.abc import Iterable, Set
from typing import Final

from edge_agent.hooks.worker.guards import BUILTINS
from edge_agent.hooks.worker.modules import MODULES

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
_BINDS: Final = (ast.NamedExpr, ast.Yield, ast.YieldFrom, ast.Await)


def mark(tree: ast.Module, point: str) -> set[ast.Assign]:
    """The assignments of function `point` that stand alone."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    function = functions[point]
    given = [*function.args.posonlyargs, *function.args.args][0].arg
    bound = _bound(function)
    if bound[given] > 1:
        return set()
    steady = _steady(tree, functions) - set(bound)
    steady |= _loops(function, steady, bound, given)
    known = steady | {given}
    found: set[ast.Assign] = set()
    waiting: list[ast.stmt] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Assign) and _sets(node, given) and _made_of(node, known, bound):
            found.add(node)
        elif _always_the_same(node, steady, bound, given):
            waiting += [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt)]
        elif any(isinstance(part, _JUMPS) for part in ast.walk(node)):
            # Whether what follows is reached depends on what was read.
            return set()
    return found


def _always_the_same(node: ast.stmt, steady: set[str], bound: Counter[str], given: str) -> bool:
    """Whether what is run next, of it or behind it, does not depend on values that are read."""
    match node:
        case ast.If(test=test):
            return _made_of(test, steady, bound, _facts(test, given))
        case ast.For(iter=over):
            return _made_of(over, steady, bound, _facts(over, given))
    return isinstance(node, _LEAVES)


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
    inner = _bound(node)
    names = {part.id for part in parts if isinstance(part, ast.Name) and _loads(part) and part not in besides}
    return (
        all(name in known or inner[name] for name in names)
        and all(bound[name] == times for name, times in inner.items())
        and not any(isinstance(part, _BINDS) for part in parts)
    )


def _bound(function: ast.AST) -> Counter[str]:
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
    bound = _bound(tree)
    steady = {name for name in (*BUILTINS, *MODULES, "print") if not bound[name]}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if bound[name] == 1:
                if all(isinstance(part, _CONSTANT) for part in ast.walk(value)):
                    steady.add(name)
    # Functions that use nothing else, in their order: one may call those before it.
    for name, function in functions.items():
        if bound[name] == 1 and not _keeps(function):
            inner = _bound(function)
            if _made_of(function, steady, inner):
                steady.add(name)
    return steady


def _keeps(function: ast.FunctionDef) -> bool:
    """Whether a call may leave something behind: globals, and defaults that can change."""
    defaults: Iterable[ast.expr | None] = (*function.args.defaults, *function.args.kw_defaults)
    if any(default is not None and not isinstance(default, ast.Constant) for default in defaults):
        return True
    kinds = ast.Global | ast.FunctionDef | ast.ClassDef
    return any(isinstance(part, kinds) and part is not function for part in ast.walk(function))


def _loops(function: ast.FunctionDef, steady: set[str], bound: Counter[str], given: str) -> set[str]:
    """Variables of loops over what was not read, bound nowhere else."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.For) and _made_of(node.iter, steady, bound, _facts(node.iter, given)):
            names = {part.id for part in ast.walk(node.target) if isinstance(part, ast.Name)}
            found |= {name for name in names if bound[name] == 1}
    return found


def wrapped(node: ast.Assign) -> ast.Expr:
    """`frame[KEY] = VALUE` as `_alone_(frame, KEY, lambda: VALUE)`."""
    target = node.targets[0]
    assert isinstance(target, ast.Subscript)
    nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    value = ast.Lambda(args=nothing, body=node.value)
    name = ast.Name(CALL, ast.Load())
    call = ast.Call(func=name, args=[target.value, target.slice, value], keywords=[])
    return ast.fix_missing_locations(ast.copy_location(ast.Expr(ast.copy_location(call, node)), node))
