"""Wallets and bias: sql/0009_intelligence.sql."""

from __future__ import annotations

from migrations.run import no_way_down, run_sql

revision = "0009"
down_revision: str | None = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0009_intelligence.sql")


def downgrade() -> None:
    no_way_down()
