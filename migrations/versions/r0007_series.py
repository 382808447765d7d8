"""Market data, roll-ups, retention: sql/0007_series.sql."""

from __future__ import annotations

from migrations.run import no_way_down, run_sql

revision = "0007"
down_revision: str | None = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0007_series.sql")


def downgrade() -> None:
    no_way_down()
