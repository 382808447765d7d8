"""Views in the words of the five documents: sql/0011_contracts.sql, then sql/contracts/."""

from __future__ import annotations

from migrations import contract_files
from migrations.run import no_way_down, run_sql

revision = "0011"
down_revision: str | None = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql("0011_contracts.sql")
    for name in contract_files():
        run_sql(name)


def downgrade() -> None:
    no_way_down()
