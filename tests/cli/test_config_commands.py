"""`quantsail config ...`: versions are checked, stored, compared, activated and rolled back, with an engine or without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.cli.exits import Exit
from tests.cli.desk import Desk


def document(desk: Desk, ledger: str, **changes: Any) -> dict[str, Any]:
    """The active document, with other numbers."""
    found: dict[str, Any] = json.loads(desk.run("config", "show", "--ledger", ledger).out)
    return found | changes


def store(desk: Desk, ledger: str, tmp_path: Path, content: object, *more: str) -> Any:
    path = tmp_path / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return desk.run("config", "new", str(path), "--ledger", ledger, *more)


@pytest.mark.parametrize("running", [False, True], ids=["offline", "running"])
def test_a_version_is_stored_compared_activated_and_rolled_back(desk: Desk, tmp_path: Path, running: bool) -> None:
    ledger = desk.copy(f"configs_{running}".lower())
    if running:
        desk.start(ledger)
    new = document(desk, ledger)
    new["bots"][0]["sizing"]["value"] = "7"
    stored = store(desk, ledger, tmp_path, new, "--note", "smaller", "--json")
    assert stored.json["version"] == 2 and len(stored.json["sha256"]) == 64

    assert "bots[crosser].sizing.value: 20 -> 7" in desk.run("config", "diff", "2", "--ledger", ledger).out
    assert desk.run("config", "rollback", "--ledger", ledger).code == Exit.REFUSED  # nothing to go back to yet
    activated = desk.run("config", "activate", "2", "--ledger", ledger, "--json")
    assert activated.json == {"done": True, "text": "config 2 is active"}
    lines = desk.run("config", "list", "--ledger", ledger, "--json").json
    assert [(v["version"], v["is_active"], v["note"]) for v in lines] == [
        (2, True, "smaller"),
        (1, False, lines[1]["note"]),
    ]
    assert desk.run("config", "list", "--ledger", ledger).out.startswith("*  2")

    back = desk.run("config", "rollback", "--ledger", ledger, "--reason", "worse")
    assert back.code == Exit.OK and "config 1 is active" in back.out
    assert document(desk, ledger)["bots"][0]["sizing"]["value"] == "20"
    events = desk.run("events", "--ledger", ledger, "-n", "2", "--json").out.splitlines()
    changes = [json.loads(line) for line in events]
    assert [(e["type"], e["payload"]["version"], e["payload"]["previous"]) for e in changes] == [
        ("ConfigActivated", 2, 1),
        ("ConfigActivated", 1, 2),
    ]
    if not running:
        assert desk.trade(ledger, "--json").json["config_version"] == 1
        assert desk.run("audit", "verify", "--ledger", ledger).code == Exit.OK


def test_an_offline_activation_is_what_the_next_run_trades_by(desk: Desk, tmp_path: Path) -> None:
    ledger = desk.copy("next_run")
    new = document(desk, ledger)
    new["bots"][0]["sizing"]["value"] = "5"
    assert store(desk, ledger, tmp_path, new).code == Exit.OK
    assert desk.run("config", "activate", "2", "--ledger", ledger).code == Exit.OK
    assert desk.run("status", "--ledger", ledger, "--json").json["config_version"] == 2
    assert desk.trade(ledger, "--json").json["config_version"] == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"warmup_facto": 3}, "$.warmup_facto: unknown key 'warmup_facto'; did you mean 'warmup_factor'?"),
        ({"account": {"limits": {"daily_los_pct": {"hard": 5}}}}, "did you mean 'daily_loss_pct'?"),
        ({"warmup_factor": 0}, "$.warmup_factor"),
        ({"bots": []}, "$.bots"),
    ],
)
def test_a_mistyped_document_is_refused_with_its_path(desk: Desk, tmp_path: Path, change: Any, said: str) -> None:
    ledger = "base"
    done = store(desk, ledger, tmp_path, document(desk, ledger, **change))
    assert done.code == Exit.REFUSED and done.out == ""
    assert said in done.err
    assert [v["version"] for v in desk.run("config", "list", "--ledger", ledger, "--json").json] == [1]


@pytest.mark.parametrize("content", ["", "{", '{"a": 1,}', "[]", "null", '{"schema": NaN}', "\x00"])
def test_what_is_no_document_is_refused(desk: Desk, tmp_path: Path, content: str) -> None:
    done = store(desk, "base", tmp_path, content)
    assert done.code == Exit.REFUSED


def test_files_that_cannot_be_read_are_named(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'{"note": "\xe9"}')
    assert "not UTF-8" in desk.run("config", "new", str(tmp_path / "latin.json"), "--ledger", "base").err
    assert "none.json" in desk.run("config", "new", str(tmp_path / "none.json"), "--ledger", "base").err
    assert desk.run("config", "new", str(tmp_path), "--ledger", "base").code == Exit.REFUSED


def test_versions_that_are_not_there(desk: Desk) -> None:
    ledger = desk.copy("no_such_version")
    for words in (("diff", "9"), ("activate", "9"), ("show", "9")):
        done = desk.run("config", *words, "--ledger", ledger)
        assert done.code == Exit.REFUSED and "there is no config" in done.err


@pytest.mark.parametrize("running", [False, True], ids=["offline", "running"])
@pytest.mark.parametrize("column", ["config_json", "config_text"])
def test_a_version_changed_by_hand_is_not_activated(desk: Desk, tmp_path: Path, column: str, running: bool) -> None:
    ledger = desk.copy(f"by_hand_{column}_{running}".lower())
    new = document(desk, ledger)
    new["bots"][0]["sizing"]["value"] = "7"
    assert store(desk, ledger, tmp_path, new).code == Exit.OK
    with desk.superuser(ledger) as connection:
        for row in connection.execute(
            "select conname from pg_constraint where conrelid = 'qs.bot_config_versions'::regclass and contype = 'c'"
        ).fetchall():
            connection.execute(f"alter table qs.bot_config_versions drop constraint {row['conname']}".encode())
        cast = "jsonb" if column == "config_json" else "text"
        changed = f"replace({column}::text, '\"7\"', '\"70\"')::{cast}"
        done = connection.execute(f"update qs.bot_config_versions set {column} = {changed} where version = 2".encode())
        assert done.rowcount == 1
    if running:
        desk.start(ledger)
    refused = desk.run("config", "activate", "2", "--ledger", ledger)
    assert refused.code == Exit.REFUSED and column in refused.err
    listed = desk.run("config", "list", "--ledger", ledger, "--json").json
    assert listed[0]["problem"] and not listed[0]["is_active"] and listed[1]["is_active"]
    assert desk.run("config", "show", "2", "--ledger", ledger).code == Exit.AUDIT
    assert desk.run("config", "diff", "2", "--ledger", ledger).code == Exit.REFUSED
