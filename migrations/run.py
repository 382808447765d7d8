"""What every revision does: run its file."""

from __future__ import annotations

from alembic import op

from migrations import read_sql


def run_sql(name: str) -> None:
    """Run a file of sql/ as it is, in the migration's transaction; colons and percent signs mean nothing special."""
    op.get_bind().exec_driver_sql(read_sql(name), execution_options={"no_parameters": True})


def no_way_down() -> None:
    """Raise: there are no down-migrations."""
    raise NotImplementedError("there are no down-migrations: restore the backup that was taken before the upgrade")
