"""Foundation: sql/0001_foundation.sql."""

from __future__ import annotations

from migrations.run import no_way_down, run_sql

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0001_foundation.sql")


def downgrade() -> None:
    no_way_down()
