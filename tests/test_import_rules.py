"""The rooms of the house (architecture.md): who may import whom, and what the pure core must never touch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = sorted((ROOT / "engine" / "core").rglob("*.py"))
CORE_MAY = {"__future__", "collections", "dataclasses", "decimal", "difflib", "enum", "functools", "hashlib", "itertools",
            "json", "math", "operator", "re", "types", "typing", "unicodedata", "bisect",
            "msgspec", "pydantic", "pydantic_core", "numpy", "talib", "engine"}  # fmt: skip
MONEY = ("ledger.py", "fold.py", "fold_orders.py", "orders.py", "positions.py", "sizing.py", "exits.py", "entries.py", "decide.py", "books.py",
         *(f"risk/{path.name}" for path in sorted((ROOT / "engine" / "core" / "risk").glob("*.py"))))  # fmt: skip
#: Where engine, database and ccxt meet: the composition root, the cockpit's reads and the commands; ccxt itself lives in the live feed.
COMPOSITION = ("engine/shelf.py", "engine/app.py", "engine/host.py", "engine/keepers.py", "engine/offline.py", "engine/history.py",
               "engine/journals.py", "engine/operations.py", "engine/reading.py")  # fmt: skip


def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions; `from a import b` counts as a and as a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def calls(path: Path) -> set[str]:
    """Dotted names that a file calls."""
    return {
        ast.unparse(n.func) for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)
    }


@pytest.mark.parametrize("path", CORE, ids=lambda p: p.name)
def test_the_core_is_pure(path: Path) -> None:
    roots = {name.split(".")[0] for name in imports(path)}
    assert roots <= CORE_MAY, f"{path.name} imports {sorted(roots - CORE_MAY)}"
    inner = {name for name in imports(path) if name.split(".")[0] == "engine"}
    assert all(name.startswith("engine.core") for name in inner)
    banned = {"datetime.now", "datetime.utcnow", "time.time", "uuid4", "uuid.uuid4", "random.random", "open", "print"}
    assert not calls(path) & banned


@pytest.mark.parametrize("name", MONEY)
def test_no_float_where_money_is_computed(name: str) -> None:
    assert "float" not in calls(ROOT / "engine" / "core" / name)


def test_only_the_composition_root_joins_engine_and_database() -> None:
    for path in (ROOT / "engine").rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        if name in COMPOSITION or name.startswith("engine/cli/"):
            continue
        roots = {i.split(".")[0] for i in imports(path)}
        assert "db" not in roots and "tui" not in roots, name
        if not name.startswith("engine/feeds/"):
            assert "ccxt" not in roots, name


def test_the_database_layer_knows_the_core_and_the_ports_only() -> None:
    for path in (ROOT / "db").glob("*.py"):
        inner = {i for i in imports(path) if i.split(".")[0] in ("engine", "tui")}
        assert all(i.startswith(("engine.core", "engine.ports")) or i == "engine" for i in inner), path.name


def test_the_cockpit_sees_the_client_and_never_the_ledger() -> None:
    for path in (ROOT / "tui").rglob("*.py"):
        inner = {i for i in imports(path) if i.split(".")[0] in ("engine", "db")}
        allowed = ("engine.client", "engine.config_", "engine.history", "engine.operations", "engine.pastclient", "engine.pastview",
                   "engine.paths", "engine.standing", "engine.core.types", "engine.core.events", "engine.core.risk.DEN",
                   "engine.core.risk.DenyCode", "engine.core.text", "db.queries")  # fmt: skip
        strangers = {
            i
            for i in inner
            if i not in ("engine", "engine.core", "engine.core.risk", "db") and not i.startswith(allowed)
        }
        assert not strangers, (path.name, strangers)
        assert not {i.split(".")[0] for i in imports(path)} & {"asyncpg", "ccxt"}, path.name


def test_a_forbidden_import_would_be_found(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    import random\n    from datetime import datetime\n    return datetime.now()\n")
    assert "random" in imports(bad) and "datetime.now" in calls(bad)
