"""Executions and series: sql/0005_executions.sql."""

from __future__ import annotations

from migrations.run import no_way_down, run_sql

revision = "0005"
down_revision: str | None = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0005_executions.sql")


def downgrade() -> None:
    no_way_down()
