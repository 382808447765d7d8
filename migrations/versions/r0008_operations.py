"""Limits, alerts, outbox, backtests, reports: sql/0008_operations.sql."""

from __future__ import annotations

from migrations.run import no_way_down, run_sql

revision = "0008"
down_revision: str | None = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0008_operations.sql")


def downgrade() -> None:
    no_way_down()
