"""Roll-ups, daily figures, retention and archive: sql/0012_maintenance.sql."""

from __future__ import annotations

from migrations.run import no_way_down, run_sql

revision = "0012"
down_revision: str | None = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0012_maintenance.sql")


def downgrade() -> None:
    no_way_down()
