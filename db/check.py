"""`quantsail db check`: is the schema what the migrations made, and is there anything to do about the data in it?"""

from __future__ import annotations

from typing import Any

import msgspec

from db import contracts, fingerprint
from db.connect import connect
from db.fingerprint import FingerprintError, SchemaChanged


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of what was found: `differences` of the catalog, `partitions` that are not like their parents, `unclassed` tables.
    `basis` and `note` say what the catalog was compared with; `sha256` covers all of it."""

    revision: str
    variant: str
    sha256: str
    basis: str
    note: str
    differences: tuple[str, ...]
    partitions: tuple[str, ...]
    unclassed: tuple[str, ...]

    @property
    def changed(self) -> tuple[str, ...]:
        """All problems, the catalog's own first."""
        return self.differences + self.partitions + self.unclassed

    @property
    def ok(self) -> bool:
        return not self.changed

    @property
    def text(self) -> str:
        """One line for a person."""
        if self.ok:
            said = f"schema {self.revision} is what the migrations made, fingerprint {self.sha256[:16]}"
            return f"{said} ({self.note})" if self.note else said
        more = f" (and {len(self.changed) - 1} more: quantsail db check)" if len(self.changed) > 1 else ""
        return f"the schema was changed: {self.changed[0]}{more}"


async def check(conn: Any) -> CheckReport:
    """Compare a database at this program's revision; some milliseconds. Raises FingerprintError when it cannot be compared."""
    found = await fingerprint.compare(conn)
    return CheckReport(
        revision=found.revision,
        variant=found.variant,
        sha256=found.sha256,
        basis=found.basis,
        note=found.note,
        differences=found.differences,
        partitions=await fingerprint.lines(conn, "partitions"),
        unclassed=await fingerprint.lines(conn, "unclassed"),
    )


async def check_start(dsn: str, *, live: bool) -> tuple[str, ...]:
    """Before an engine starts: lines for its operator, none when all is well.

    With real money nothing starts on a schema that somebody changed, or that cannot be compared: raises SchemaChanged,
    FingerprintError. Without, the run goes on.
    """
    conn = await connect(dsn, name="quantsail schema check")
    try:
        report = await check(conn)
    except FingerprintError as error:
        if live:
            raise
        return (str(error),)
    finally:
        await conn.close()
    if report.ok:
        return (report.text,) if report.note else ()
    if live:
        raise SchemaChanged(f"{report.text}. Undo that before you trade with money")
    return (report.text,)


async def warnings(conn: Any) -> tuple[str, ...]:
    """What is no forgery, but wants doing: partitions that run out, values that the contract views cannot show."""
    return await fingerprint.lines(conn, "ahead") + tuple(str(found) for found in await contracts.misfits(conn))
