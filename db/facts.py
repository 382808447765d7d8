"""What a database holds, in few words: to compare a copy with its original, and to show what a restore would change."""

from __future__ import annotations

from typing import Any, NamedTuple

import asyncpg
import msgspec

from db.connect import RoleRefused, transaction
from db.fold import fold
from engine.ports import JournalError

_TABLES = """
select relname::text from pg_catalog.pg_class
 where relnamespace = pg_catalog.to_regnamespace('qs') and relkind in ('r', 'p') and not relispartition order by 1
"""
#: Row security in force for this login without a policy that shows it everything: a copy would be incomplete, silently.
_HIDDEN = """
select c.relname::text from pg_catalog.pg_class c
 where c.relnamespace = pg_catalog.to_regnamespace('qs') and pg_catalog.row_security_active(c.oid) and not exists (
   select from pg_catalog.pg_policy p where p.polrelid = c.oid and p.polpermissive and p.polcmd in ('*', 'r')
      and pg_catalog.pg_get_expr(p.polqual, p.polrelid) = 'true'
      and (p.polroles = '{0}' or exists (select from pg_catalog.unnest(p.polroles) r where r = current_role::regrole)))
 order by 1 limit 1
"""


class Head(msgspec.Struct, frozen=True):
    """Where a chained log ends; `hash` in hex, empty before the first entry."""

    seq: int
    hash: str


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One moment of a database. `state_hash` is empty where the journal cannot be folded, and `problem` says why."""

    server_major: int
    profile: str
    revision: str | None = None
    ledger_id: str = ""
    mode: str = ""
    feed: str = ""
    seed: int | None = None
    base_currency: str = ""
    state_hash: str = ""
    problem: str = ""
    heads: dict[str, Head] = {}
    rows: dict[str, int] = {}

    @property
    def seq(self) -> int:
        """Seq of the journal's last event."""
        return self.heads["events"].seq if "events" in self.heads else 0


class Change(NamedTuple):
    """One fact that two databases do not share, as text; empty where there is none."""

    what: str
    here: str
    there: str


async def read_facts(conn: asyncpg.Connection) -> Facts:
    """The facts of the schema that is there, of whatever revision. Runs in the caller's REPEATABLE READ transaction.

    Raises RoleRefused when row security would hide rows from this role.
    """
    tables = [row[0] for row in await conn.fetch(_TABLES)]
    if (hidden := await conn.fetchval(_HIDDEN)) is not None:
        raise RoleRefused(f"row security hides rows of qs.{hidden} from this login: use the owner's")
    values: dict[str, Any] = {
        "server_major": int(await conn.fetchval("select current_setting('server_version_num')::int / 10000")),
        "profile": await conn.fetchval(
            "select case when pg_get_userbyid(nspowner) = 'qs_owner' then 'FULL' else 'REDUCED' end"
            " from pg_namespace where nspname = 'qs'"
        )
        or "",
        "rows": {name: int(await conn.fetchval(f"select count(*) from qs.{name}")) for name in tables},  # noqa: S608
    }
    if "alembic_version" in tables:
        values["revision"] = await conn.fetchval("select version_num from qs.alembic_version")
    if "log_heads" in tables:
        heads = await conn.fetch("select log, seq, encode(hash, 'hex') as hash from qs.log_heads")
        values["heads"] = {row["log"]: Head(int(row["seq"]), row["hash"]) for row in heads}
        values |= await _state(conn)
    if "ledger" in tables and (bound := await conn.fetchrow("select * from qs.ledger")) is not None:
        values |= {name: bound[name] for name in ("ledger_id", "mode", "feed", "seed", "base_currency")}
    return Facts(**values)


async def _state(conn: asyncpg.Connection) -> dict[str, str]:
    """A damaged journal is worth a copy too: its problem is a fact."""
    try:
        async with transaction(conn):  # a failed query must not end the moment that is read
            return {"state_hash": (await fold(conn)).ledger.state_hash()}
    except (JournalError, asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        return {"problem": " ".join(str(error).split())}


def changes(here: Facts, there: Facts, *, server: bool = False) -> list[Change]:
    """What differs, the ledger's identity first; the server's version and profile only with `server`."""
    out: list[Change] = []
    for name in ("ledger_id", "mode", "feed", "seed", "base_currency", "revision", "state_hash", "problem"):
        _compare(out, name, getattr(here, name), getattr(there, name))
    for name in sorted({*here.heads, *there.heads}):
        one, other = here.heads.get(name, Head(0, "")), there.heads.get(name, Head(0, ""))
        _compare(out, f"{name} head", f"{one.seq} {one.hash[:16]}", f"{other.seq} {other.hash[:16]}")
    for name in sorted({*here.rows, *there.rows}):
        _compare(out, f"rows of {name}", here.rows.get(name), there.rows.get(name))
    if server:
        _compare(out, "server", here.server_major, there.server_major)
        _compare(out, "profile", here.profile, there.profile)
    return out


def _compare(out: list[Change], what: str, here: object, there: object) -> None:
    if here != there:
        out.append(Change(what, "" if here is None else str(here), "" if there is None else str(there)))
