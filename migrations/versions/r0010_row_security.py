"""Row security: sql/0010_row_security.sql."""

from __future__ import annotations

from migrations.run import no_way_down, run_sql

revision = "0010"
down_revision: str | None = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0010_row_security.sql")


def downgrade() -> None:
    no_way_down()
