"""Flip every comparison of the gates, one at a time, and see that a test of the gates fails: `python -m tests.core.mutation`.

The modules are imported once, with every comparison `a > b` made into `a >= b if __mutant__ == 7 else ... else a > b`; each mutant
is a forked process that sets its number and runs the tests of that module, those that know it best first. What no test finds
is a survivor: printed, and the exit code is 1. `python -m tests.core.mutation order_gates 40` tries one module, or one line.
"""

from __future__ import annotations

import ast
import builtins
import copy
import importlib
import importlib.abc
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "engine" / "core"
TESTS = {
    "risk/order_gates": ("test_risk_orders", "test_risk_trips"),
    "risk/money_gates": ("test_risk_money", "test_risk_trips"),
    "risk/conduct_gates": ("test_risk_conduct", "test_risk_trips"),
    "risk/house_gates": ("test_risk_house", "test_risk_custom", "test_risk_trips"),
    "risk/custom_gate": ("test_risk_custom", "test_risk_trips"),
    "risk/trips": ("test_risk_trips",),
    "risk/gates": ("test_risk_trips", "test_risk_orders"),
    "risk/view": ("test_risk_money", "test_sizing", "test_risk_orders", "test_risk_trips"),
    "risk/words": ("test_risk_orders", "test_risk_money", "test_risk_conduct", "test_risk_trips"),
    "limits": ("test_limits", "test_risk_orders", "test_risk_custom"),
    "books": ("test_books", "test_risk_conduct"),
    "sizing": ("test_sizing",),
}
FLIPS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
SWITCH = "__mutant__"
#: Nobody waits longer for a mutant: one that hangs has been found.
SECONDS_MAX = 120


class Mutant(NamedTuple):
    number: int
    module: str
    line: int
    text: str


class Switches(ast.NodeTransformer):
    """Gives every comparison its other operators, each behind its number."""

    def __init__(self, module: str, made: list[Mutant]) -> None:
        self.module, self.made = module, made

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        text, line = ast.unparse(node), node.lineno
        self.generic_visit(node)
        out: ast.expr = node
        for index, operator in enumerate(node.ops):
            for flip in FLIPS[type(operator)]:
                other = copy.deepcopy(node)
                other.ops[index] = flip()
                self.made.append(Mutant(len(self.made) + 1, self.module, line, f"{text} -> {flip.__name__}"))
                switch = ast.Compare(ast.Name(SWITCH, ast.Load()), [ast.Eq()], [ast.Constant(len(self.made))])
                out = ast.IfExp(switch, other, out)
        return out


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the modules with their switches."""

    def __init__(self) -> None:
        self.made: list[Mutant] = []

    def find_spec(self, fullname: str, path: object, target: object = None) -> object:  # type: ignore[override]
        name = fullname.removeprefix("engine.core.").replace(".", "/")
        return importlib.util.spec_from_loader(fullname, self) if name in TESTS else None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__.removeprefix("engine.core.").replace(".", "/")
        path = CORE / f"{name}.py"
        tree = Switches(name, self.made).visit(ast.parse(path.read_text(encoding="utf-8")))
        exec(compile(ast.fix_missing_locations(tree), str(path), "exec"), module.__dict__)


def found(number: int, module: str) -> bool:
    """Whether the tests of a module fail with that mutant; number 0 changes nothing."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    signal.alarm(SECONDS_MAX)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    setattr(builtins, SWITCH, number)
    import pytest

    files = [str(ROOT / "tests" / "core" / f"{name}.py") for name in TESTS[module]]
    os._exit(int(pytest.main(["-x", "-q", "-p", "no:hypothesispytest", *files])))


def main(arguments: Sequence[str]) -> int:
    setattr(builtins, SWITCH, 0)
    finder = Changed()
    sys.meta_path.insert(0, finder)
    for module in TESTS:
        importlib.import_module("engine.core." + module.replace("/", "."))
    importlib.import_module("tests.core.riskworld")
    importlib.import_module("pytest")
    modules = [name for name in TESTS if not arguments or name.endswith(arguments[0])]
    for name in modules:
        if found(0, name):
            print(f"the tests of {name} fail without any change")
            return 2
    todo = [m for m in finder.made if m.module in modules and (len(arguments) < 2 or m.line == int(arguments[1]))]
    with ThreadPoolExecutor(2) as pool:
        caught = list(pool.map(lambda mutant: found(mutant.number, mutant.module), todo))
    survivors = [mutant for mutant, seen in zip(todo, caught, strict=True) if not seen]
    for mutant in sorted(survivors):
        print(f"survived: {mutant.module}.py:{mutant.line}: {mutant.text}")
    print(f"{len(todo)} mutants, {len(survivors)} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
