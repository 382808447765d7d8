"""docs/keys.md is the registry of actions: `python -m tests.tui.test_docs_keys` writes it, the test compares."""

from __future__ import annotations

from pathlib import Path

from tui.actions import actions_markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "keys.md"
HEAD = """# Keys

Generated from `tui/actions.py`: `python -m tests.tui.test_docs_keys` writes it anew. The kill key cannot be remapped.

"""


def test_the_page_of_keys_is_the_registry() -> None:
    assert PAGE.read_text(encoding="utf-8") == HEAD + actions_markdown(), (
        "write it anew: python -m tests.tui.test_docs_keys"
    )


if __name__ == "__main__":
    PAGE.write_text(HEAD + actions_markdown(), encoding="utf-8")
