"""Classes and privileges: sql/0006_privileges.sql."""

from __future__ import annotations

from migrations.run import no_way_down, run_sql

revision = "0006"
down_revision: str | None = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0006_privileges.sql")


def downgrade() -> None:
    no_way_down()
