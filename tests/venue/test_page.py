"""docs/fills.md says every setting with its default and every code, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from engine.core.config import Costs
from engine.venues.filters import RejectCode

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "fills.md").read_text()


def rows(after: str) -> list[list[str]]:
    """Cells of the table that follows a line."""
    lines = TEXT[TEXT.index(after) :].splitlines()
    table = [line for line in lines[: next(i for i, x in enumerate(lines) if x.startswith("## ") and i)] if "|" in line]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table[2:]]


def test_every_setting_with_its_default() -> None:
    said = {name: default for name, default, _ in rows("Settings live under")}
    defaults = {name: field.default for name, field in Costs.model_fields.items()}
    assert said == {name: "null" if value is None else str(value) for name, value in defaults.items()}


def test_every_code() -> None:
    codes = re.findall(r"^\| `([A-Z_]+)` \|", TEXT[TEXT.index("## Codes") :], re.MULTILINE)
    assert codes == [code.value for code in RejectCode]
