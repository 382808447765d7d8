"""Journal: sql/0003_journal.sql."""

from __future__ import annotations

from migrations.run import no_way_down, run_sql

revision = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0003_journal.sql")


def downgrade() -> None:
    no_way_down()
