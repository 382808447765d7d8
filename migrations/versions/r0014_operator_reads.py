"""What the operator's own screen reads of audit log and retention: sql/0014_operator_reads.sql."""

from __future__ import annotations

from migrations.run import no_way_down, run_sql

revision = "0014"
down_revision: str | None = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0014_operator_reads.sql")


def downgrade() -> None:
    no_way_down()
