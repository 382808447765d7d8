"""`quantsail settings`: an example that is good, a check that says where, and answers for scripts."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from engine.cli.exits import Exit
from tests.tui.program import Program


def test_settings_are_shown_checked_and_explained(tmp_path: Path) -> None:
    program = Program(tmp_path)
    file = Path(program.run("settings", "path").stdout.strip())
    assert file == tmp_path / "config" / "quantsail" / "settings.toml"
    assert program.json("settings", "path") == {"path": str(file), "exists": False}
    assert "not there, defaults are used" in program.run("settings", "check").stdout
    example = program.run("settings", "example").stdout
    assert program.json("settings", "example") == {"toml": example}
    file.parent.mkdir(parents=True)
    file.write_text(example.replace('theme = "dark"', 'theme = "mono"').replace("# freeze", "freeze"))
    assert program.run("settings", "check").stdout.rstrip().endswith("good, 1 action with other keys")
    shown = program.run("settings", "show").stdout
    assert tomllib.loads(shown)["theme"] == "mono" and tomllib.loads(shown)["keys"] == {"freeze": "Z"}
    assert program.json("settings", "show")["settings"]["theme"] == "mono"

    file.write_text('theme = "drak"')
    for words in (["check"], ["show"]):
        refused = program.run("settings", *words, check=False)
        assert refused.returncode == Exit.REFUSED and refused.stdout == ""
        assert refused.stderr == f"quantsail: {file}: theme: there is no 'drak'; did you mean dark?\n"
    answer = program.run("settings", "check", "--json", check=False)
    assert answer.returncode == Exit.REFUSED and json.loads(answer.stdout)["problem"].startswith("theme: ")
    missing = program.run("settings", "check", tmp_path / "none.toml", check=False)
    assert missing.returncode == Exit.REFUSED and "there is no such file" in missing.stderr
