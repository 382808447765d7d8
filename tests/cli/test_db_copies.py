"""`quantsail db backup` and `restore` through the real program: whole, honest about what they hold, and never half done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from db.backup import BackupError, alone
from db.embedded import SUPERUSER
from engine.cli.exits import Exit
from tests.cli.desk import BASE, Desk
from tests.cli.killing import kill_while


def backup(desk: Desk, ledger: str = BASE, *more: str) -> dict[str, Any]:
    done = desk.run("db", "backup", "--ledger", ledger, "--json", *more)
    assert done.code == Exit.OK, done
    made: dict[str, Any] = done.json
    return made


@pytest.fixture(scope="module")
def copy(installation: Desk) -> dict[str, Any]:
    """A copy of the base ledger, for tests that only read it."""
    return backup(installation, BASE, "--verify")


def databases(desk: Desk) -> set[str]:
    return {name for name in desk.world.server.databases() if name.startswith(("restoring_", "replaced_"))}


def edited(copy: dict[str, Any], folder: Path, change: Any, name: str = "edited.dump") -> Path:
    """A copy of the copy whose manifest somebody changed."""
    path = Path(shutil.copy(copy["file"], folder / name))
    manifest = json.loads(Path(f"{copy['file']}.json").read_text())
    change(manifest)
    Path(f"{path}.json").write_text(json.dumps(manifest))
    return path


def test_a_copy_says_what_it_holds_and_is_listed(desk: Desk, copy: dict[str, Any]) -> None:
    facts, path = copy["facts"], Path(copy["file"])
    assert copy["verified"] and facts["problem"] == "" and len(facts["state_hash"]) == 64
    assert facts["heads"]["events"]["seq"] == desk.world.head(BASE) > 100
    assert {"events", "orders", "fills", "users", "candles"} <= facts["rows"].keys()
    assert path.stat().st_size == copy["bytes"] and path.stat().st_mode & 0o077 == 0
    listed = desk.run("db", "backup", "--ledger", BASE, "--list", "--json").json["copies"]
    assert [row["kind"] for row in listed if row["file"] == str(path)] == ["manual"]
    assert path.name in desk.run("db", "backup", "--ledger", BASE, "--list").out
    assert not list(path.parent.glob("*.partial*"))


def test_no_copies_yet(desk: Desk) -> None:
    ledger = desk.copy("uncopied")
    done = desk.run("db", "backup", "--ledger", ledger, "--list")
    assert done.code == Exit.OK and "no copies" in done.out


def test_only_the_newest_are_kept(desk: Desk) -> None:
    ledger = desk.copy("kept")
    made = [backup(desk, ledger, "--keep", "2") for _ in range(3)]
    assert made[2]["pruned"] == [made[0]["file"]]
    left = desk.run("db", "backup", "--ledger", ledger, "--list", "--json").json["copies"]
    assert [row["file"] for row in left] == [made[2]["file"], made[1]["file"]]


def test_a_copy_beside_a_running_engine_is_of_one_moment(desk: Desk) -> None:
    ledger = desk.copy("running_copy")
    desk.start(ledger, "--speed", "max")
    made = backup(desk, ledger, "--verify")
    assert made["verified"] and made["facts"]["problem"] == ""


def test_everything_comes_back(desk: Desk, copy: dict[str, Any]) -> None:
    done = desk.run("db", "restore", copy["file"], "--ledger", "elsewhere", "--json")
    assert done.code == Exit.OK and done.json["replaces"] is None and "ok" in done.json["audit"], done
    assert backup(desk, "elsewhere")["facts"] == copy["facts"]
    assert desk.world.contents("elsewhere") == desk.world.contents(BASE)
    assert desk.run("audit", "verify", "--ledger", "elsewhere").code == Exit.OK
    assert desk.trade("elsewhere", "--json").code == Exit.OK  # it is a ledger that trades on
    assert databases(desk) == set()
    (listed,) = [row for row in desk.run("ledgers", "--json").json if row["ledger"] == "elsewhere"]
    assert listed["feed"] == copy["facts"]["feed"]


def test_an_existing_ledger_is_replaced_only_on_demand_and_after_a_backup(desk: Desk, copy: dict[str, Any]) -> None:
    ledger = desk.copy("replaced")
    with psycopg.connect(desk.world.server.dsn(ledger, SUPERUSER), autocommit=True) as connection:
        connection.execute("update qs.users set full_name = 'somebody'")
        connection.execute("insert into qs.users (email) values ('second@localhost')")
    seen = desk.run("db", "restore", copy["file"], "--ledger", ledger, "--dry-run", "--json")
    assert seen.code == Exit.OK
    assert {c["what"]: (c["here"], c["there"]) for c in seen.json["changes"]} == {"rows of users": ("1", "2")}
    assert "rows of users" in desk.run("db", "restore", copy["file"], "--ledger", ledger, "--dry-run").out
    refused = desk.run("db", "restore", copy["file"], "--ledger", ledger)
    assert refused.code == Exit.LEDGER and "--replace" in refused.err
    done = desk.run("db", "restore", copy["file"], "--ledger", ledger, "--replace", "--json")
    assert done.code == Exit.OK, done
    assert backup(desk, ledger)["facts"] == copy["facts"]
    listed = desk.run("db", "backup", "--ledger", ledger, "--list", "--json").json["copies"]
    assert {"restore", "manual"} == {row["kind"] for row in listed}
    before = desk.run("db", "restore", done.json["backup"], "--ledger", "was_replaced", "--json")
    assert before.code == Exit.OK and before.json["restored"]["rows"]["users"] == 2


def test_going_back_in_time_takes_the_anchors_along(desk: Desk) -> None:
    """Anchors of events that a restore takes back would keep the engine from starting; they are put aside, not lost."""
    ledger = desk.copy("back_in_time")
    early = backup(desk, ledger)
    assert desk.run("resume", "--ledger", ledger, "--reason", "one more event").code in (Exit.OK, Exit.REFUSED)
    assert desk.world.head(ledger) > early["facts"]["heads"]["events"]["seq"]
    assert desk.run("db", "restore", early["file"], "--ledger", ledger, "--replace").code == Exit.OK
    assert desk.run("audit", "verify", "--ledger", ledger).code == Exit.OK
    assert desk.trade(ledger, "--json").code == Exit.OK
    assert list(desk.directory(ledger).glob("anchors.jsonl.before-*"))


def test_a_ledger_in_use_is_left_alone(desk: Desk, copy: dict[str, Any]) -> None:
    ledger = desk.copy("in_use")
    desk.start(ledger, "--speed", "60")
    refused = desk.run("db", "restore", copy["file"], "--ledger", ledger, "--replace")
    assert refused.code == Exit.LEDGER and "already runs" in refused.err


def test_a_copy_of_another_ledger_is_refused(desk: Desk, tmp_path: Path) -> None:
    """Also by what the folder knows, where the database is gone."""
    other = desk.trade("other_id", "--seed", "8", "--json")
    assert other.code == Exit.OK, other
    made = backup(desk, "other_id")
    ledger = desk.copy("not_other")
    refused = desk.run("db", "restore", made["file"], "--ledger", ledger, "--replace")
    assert refused.code == Exit.LEDGER and "another --ledger" in refused.err
    with psycopg.connect(desk.world.server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
        connection.execute(f'drop database "{ledger}" with (force)'.encode())
    assert desk.run("db", "restore", made["file"], "--ledger", ledger).code == Exit.LEDGER


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "missing"])
def test_a_damaged_file_is_refused_without_its_manifest_too(
    desk: Desk, copy: dict[str, Any], tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "bad.dump"
    content = Path(copy["file"]).read_bytes()
    broken = {"cut": content[: len(content) // 2], "text": b"select 1;", "empty": b""}
    if damage != "missing":
        path.write_bytes(broken[damage])
    alone = desk.run("db", "restore", str(path), "--ledger", "never")
    assert alone.code == (Exit.REFUSED if damage == "missing" else Exit.AUDIT), alone
    if damage != "missing":
        shutil.copy(f"{copy['file']}.json", f"{path}.json")
        assert desk.run("db", "restore", str(path), "--ledger", "never").code == Exit.AUDIT
    assert "never" not in desk.world.server.databases() and databases(desk) == set()


def test_one_changed_byte_is_refused(desk: Desk, copy: dict[str, Any], tmp_path: Path) -> None:
    """The manifest sees what the format may not: a dump has no checksum of its own."""
    path = Path(shutil.copy(copy["file"], tmp_path / "byte.dump"))
    shutil.copy(f"{copy['file']}.json", f"{path}.json")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused = desk.run("db", "restore", str(path), "--ledger", "never", "--dry-run")
    assert refused.code == Exit.AUDIT and "sha256" in refused.err


def test_without_a_manifest_it_is_said_that_less_was_compared(desk: Desk, copy: dict[str, Any], tmp_path: Path) -> None:
    path = shutil.copy(copy["file"], tmp_path / "bare.dump")
    seen = desk.run("db", "restore", str(path), "--ledger", "bare", "--dry-run")
    assert seen.code == Exit.OK and "no manifest" in seen.out
    assert "bare" not in desk.world.server.databases() and databases(desk) == set()


def test_a_manifest_that_lies_is_found(desk: Desk, copy: dict[str, Any], tmp_path: Path) -> None:
    def one_row_more(manifest: dict[str, Any]) -> None:
        manifest["facts"]["rows"]["fills"] += 1

    refused = desk.run("db", "restore", str(edited(copy, tmp_path, one_row_more)), "--ledger", "never")
    assert refused.code == Exit.AUDIT and "rows of fills" in refused.err
    (tmp_path / "edited.dump.json").write_text("[")
    assert desk.run("db", "restore", str(tmp_path / "edited.dump"), "--ledger", "never").code == Exit.AUDIT


def test_a_newer_schema_or_server_is_refused(desk: Desk, copy: dict[str, Any], tmp_path: Path) -> None:
    newer = edited(copy, tmp_path, lambda manifest: manifest["facts"].update(revision="9999"))
    refused = desk.run("db", "restore", str(newer), "--ledger", "never")
    assert refused.code == Exit.DATABASE and "9999" in refused.err and "update quantsail" in refused.err


@pytest.mark.parametrize("name", ["../up", "..", "a/b"])
def test_a_ledger_name_is_no_path(desk: Desk, copy: dict[str, Any], name: str) -> None:
    assert desk.run("db", "restore", copy["file"], "--ledger", name).code == Exit.USAGE


def test_a_copy_does_not_overwrite_a_file(desk: Desk, tmp_path: Path) -> None:
    there = tmp_path / "mine.dump"
    there.write_text("precious")
    (tmp_path / "other.dump.partial").write_text("of somebody else")
    refused = desk.run("db", "backup", "--ledger", BASE, "--to", str(there))
    assert refused.code == Exit.REFUSED and there.read_text() == "precious"
    assert backup(desk, BASE, "--to", str(tmp_path / "new.dump"))["file"] == str(tmp_path / "new.dump")
    assert (tmp_path / "other.dump.partial").exists()


def test_a_forged_journal_is_copied_and_said_to_be_and_not_restored(desk: Desk) -> None:
    ledger = desk.copy("forged_copy")
    with desk.superuser(ledger) as connection:
        connection.execute("update qs.events set payload = payload || '{\"x\": 1}' where seq = 50")
        connection.execute("delete from qs.snapshots")
    made = backup(desk, ledger)
    assert "event 50" in made["facts"]["problem"]
    refused = desk.run("db", "restore", made["file"], "--ledger", "never")
    assert refused.code == Exit.AUDIT and "event 50" in refused.err and "--unaudited" in refused.err
    done = desk.run("db", "restore", made["file"], "--ledger", "as_forged", "--unaudited")
    assert done.code == Exit.OK and "FAILED" in done.out, done
    assert desk.run("audit", "verify", "--ledger", "as_forged").code == Exit.AUDIT


def test_a_foreign_database_by_its_url(desk: Desk, copy: dict[str, Any]) -> None:
    """Its own login makes the second database; the URL's database has the new contents afterwards."""
    desk.copy("foreign")
    url = desk.world.server.dsn("foreign", SUPERUSER)
    made = desk.run("db", "backup", "--verify", "--json", DATABASE_URL=url)
    assert made.code == Exit.OK and made.json["facts"] == copy["facts"], made
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("insert into qs.users (email) values ('second@localhost')")
    refused = desk.run("db", "restore", made.json["file"], DATABASE_URL=url)
    assert refused.code == Exit.LEDGER, refused
    done = desk.run("db", "restore", made.json["file"], "--replace", "--json", DATABASE_URL=url)
    assert done.code == Exit.OK and done.json["backup"], done
    assert desk.run("db", "backup", "--json", DATABASE_URL=url).json["facts"] == copy["facts"]


def test_a_login_that_may_not_make_databases_is_told_so(desk: Desk, copy: dict[str, Any]) -> None:
    desk.copy("foreign_login")
    url = desk.world.server.dsn("foreign_login", "qs_admin")
    refused = desk.run("db", "restore", copy["file"], "--replace", DATABASE_URL=url)
    assert refused.code == Exit.REFUSED and "CREATEDB" in refused.err


@pytest.mark.parametrize("moment", ["quantsail backup", "pg_dump"])
def test_a_killed_backup_leaves_no_copy_and_the_next_one_works(desk: Desk, moment: str) -> None:
    ledger = desk.copy(f"killed_backup_{moment[-4:]}")
    assert kill_while(desk, moment, "db", "backup", "--ledger", ledger)
    assert desk.run("db", "backup", "--ledger", ledger, "--list", "--json").json["copies"] == []
    made = backup(desk, ledger)
    folder = Path(made["file"]).parent
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [Path(made["file"]).name, f"{Path(made['file']).name}.json"]
    )


def test_a_second_copier_waits_and_then_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.backup.WAIT_S", 0.0)
    with alone(tmp_path), pytest.raises(BackupError, match="another program"), alone(tmp_path):
        pass
    with alone(tmp_path):  # the first has let go
        pass


@pytest.mark.parametrize("moment", ["pg_restore", "quantsail verify", "quantsail backup"])
def test_a_killed_restore_leaves_the_ledger_as_it_was(desk: Desk, copy: dict[str, Any], moment: str) -> None:
    ledger = desk.copy(f"killed_restore_{moment[-4:]}")
    before = desk.world.contents(ledger)
    words = ("db", "restore", copy["file"], "--ledger", ledger, "--replace")
    assert kill_while(desk, moment, *words)
    assert desk.world.contents(ledger) == before
    assert desk.run("audit", "verify", "--ledger", ledger).code == Exit.OK
    assert desk.run(*words).code == Exit.OK
    assert databases(desk) == set()
    assert desk.run("audit", "verify", "--ledger", ledger).code == Exit.OK


@pytest.fixture
def tiny_disk() -> Iterator[Path]:
    """A disk of 64 KB; skips where this process may not mount one."""
    folder = Path(tempfile.mkdtemp(prefix="qs"))
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        folder.rmdir()
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_gets_no_copy(desk: Desk, tiny_disk: Path) -> None:
    refused = desk.run("db", "backup", "--ledger", BASE, "--to", str(tiny_disk / "x.dump"))
    assert refused.code == Exit.REFUSED and "No space left" in refused.err
    assert list(tiny_disk.iterdir()) == []
