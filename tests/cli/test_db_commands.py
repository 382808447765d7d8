"""`quantsail db ...` through the real program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from migrations import head
from tests.cli.desk import BASE, Desk


def facts(desk: Desk, ledger: str) -> dict[str, Any]:
    """What a copy of the ledger says that it holds."""
    done = desk.run("db", "backup", "--ledger", ledger, "--json")
    assert done.code == 0, done
    found: dict[str, Any] = done.json["facts"]
    return found


def test_migrate_has_nothing_to_do(desk: Desk) -> None:
    done = desk.run("db", "migrate", "--ledger", BASE, "--json")
    assert done.code == 0
    assert (done.json["from"], done.json["to"], done.json["files"]) == (head(), head(), [])
    assert "nothing to do" in desk.run("db", "migrate", "--ledger", BASE, "--dry-run").out


def test_a_copy_is_restored_as_another_ledger(desk: Desk) -> None:
    done = desk.run("db", "backup", "--ledger", BASE, "--verify", "--json")
    assert done.code == 0, done
    made = done.json
    assert made["verified"] and made["facts"]["seq" if "seq" in made["facts"] else "state_hash"]
    assert Path(made["file"]).stat().st_size == made["bytes"]
    listed = desk.run("db", "backup", "--ledger", BASE, "--list", "--json").json["copies"]
    assert made["file"] in [row["file"] for row in listed]
    back = desk.run("db", "restore", made["file"], "--ledger", "elsewhere", "--json")
    assert back.code == 0, back
    assert facts(desk, "elsewhere") == made["facts"]
    assert desk.run("audit", "verify", "--ledger", "elsewhere").code == 0
