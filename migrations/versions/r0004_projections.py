"""Projections: sql/0004_projections.sql."""

from __future__ import annotations

from migrations.run import no_way_down, run_sql

revision = "0004"
down_revision: str | None = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0004_projections.sql")


def downgrade() -> None:
    no_way_down()
