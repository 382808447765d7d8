"""Retention and archive: sql/0013_retention.sql."""

from __future__ import annotations

from migrations.run import no_way_down, run_sql

revision = "0013"
down_revision: str | None = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0013_retention.sql")


def downgrade() -> None:
    no_way_down()
