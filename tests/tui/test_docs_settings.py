"""docs/settings.md is the model of the settings: `python -m tests.tui.test_docs_settings` writes it, the test compares."""

from __future__ import annotations

from pathlib import Path

from tui.settings import Settings, markdown, parse, toml_text

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
HEAD = """# Settings

Generated from `tui/settings.py`: `python -m tests.tui.test_docs_settings` writes it anew.

`$XDG_CONFIG_HOME/quantsail/settings.toml` (`quantsail settings path` says where) holds the settings of the cockpit, not of the
engine: what trades, and how, is a config (docs/config.md). The file may be absent. A file that is wrong is refused as a whole, with
the place and what was probably meant; the cockpit goes on with the defaults and says so. A running cockpit reads a changed file
within five seconds: theme, bell and keys count at once, the rest from the next start.

    quantsail settings example > "$(quantsail settings path)"
    quantsail settings check

"""
KEYS = """
## Keys

`[keys]` gives other keys to actions by the names in the last column of docs/keys.md. A key is written as it is typed (`"p"`, `"P"`,
`"?"`) or by name: `f1`-`f24`, `enter`, `space`, `pagedown`, `home`, `ctrl+x`, `alt+x`, `shift+f5`. What is listed replaces all keys
of that action. The kill key cannot be remapped, and its keys cannot be taken. Two actions that can be meant at the same place must
not share a key. Actions that are heard inside inputs and dialogs take `ctrl+`, `alt+` and F keys only. Keys inside dialogs stay as
they are.

## Example

```toml
"""


def page() -> str:
    return f"{HEAD}{markdown()}{KEYS}{toml_text(Settings(), notes=True)}```\n"


def test_the_page_of_settings_is_the_model() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python -m tests.tui.test_docs_settings"


def test_the_example_is_a_good_file_with_the_defaults() -> None:
    assert parse(toml_text(Settings(), notes=True).encode()) == Settings()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
