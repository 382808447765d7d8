"""Accounts: sql/0002_accounts.sql."""

from __future__ import annotations

from migrations.run import no_way_down, run_sql

revision = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0002_accounts.sql")


def downgrade() -> None:
    no_way_down()
