"""What `config check`, `example` and `schema` say of files, and that page, schema and example are those of the models."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from engine.cli import config_page
from engine.cli.config import check, load_config, notes, read_document, show_example, show_schema
from engine.cli.config_schema import DECIMAL_PATTERN, json_schema
from engine.cli.exits import Exit
from engine.config_text import without_comments
from engine.core.config import DEFAULT_STRATEGY, Config, ConfigError, canonical, default_config, parse_config
from tests.json_schema import faults

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = files("engine").joinpath("examples/config.jsonc").read_text(encoding="utf-8")
BOT: dict[str, Any] = {"name": "a", "strategy": DEFAULT_STRATEGY}


def stored(folder: Path, content: object) -> Path:
    path = folder / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def refusal(capsys: pytest.CaptureFixture[str], path: Path) -> str:
    with pytest.raises(SystemExit) as ended:
        read_document(path)
    assert ended.value.code == Exit.REFUSED
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1
    return said.err


def test_comments_are_lines_and_nothing_else(tmp_path: Path) -> None:
    text = '// a\n{"schema": 1, // no comment\n'
    assert without_comments(text) == '\n{"schema": 1, // no comment\n'
    path = stored(tmp_path, '  // first\n{\n\t// second\n"note": "https://x // y"\n}\n//last')
    assert read_document(path) == {"note": "https://x // y"}


def test_a_fault_behind_comments_has_its_own_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "line 3 column" in refusal(capsys, stored(tmp_path, '// one\n// two\n{"a": }\n'))


def test_a_key_that_is_given_twice_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, stored(tmp_path, '{"limits": {"hard": 5, "hard": 500}}'))
    assert "the key 'hard' is given twice" in said


def test_what_is_no_number_in_json_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "NaN is no JSON number" in refusal(capsys, stored(tmp_path, '{"params": [NaN]}'))


def test_a_document_without_a_bottom_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nested too deeply" in refusal(capsys, stored(tmp_path, "[" * 200_000))


# -- check ---------------------------------------------------------------------------------------------------------------


def test_a_good_file_says_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = stored(tmp_path, {"bots": [BOT, BOT | {"name": "b", "enabled": False, "symbols": ["NOPE/USDT"]}]})
    assert check(path, "1m", as_json=True) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] and found["warmup_bars"] == {"a": 4001, "b": 4001}
    assert len(found["notes"]) == 2 and "NOPE/USDT is not in the bundled table" in found["notes"][0]
    assert check(path, "1h", as_json=False) == Exit.OK
    assert "bot a needs 4,001 bars of 1h to warm up (4,001.0 hours)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bots": [BOT | {"exits": {"stop_loss_pct": None, "trailing": None}}]}, "has no stop"),
        ({"bots": [BOT | {"exits": {"ladder": {"0": 1}}}]}, "the ladder replaces take_profit_pct"),
        ({"bots": [BOT | {"enabled": False}]}, "nothing will trade"),
        ({"account": {"limits": {"daily_loss_pct": {}}}}, "daily_loss_pct has no hard limit"),
        ({"account": {"portfolios": [{"name": "p", "currency": "USDT", "initial_balance": 1}]}}, "no bot trades portfolio p"),
    ],
)  # fmt: skip
def test_what_may_not_be_meant_is_noted(changes: dict[str, Any], says: str) -> None:
    assert any(says in note for note in notes(parse_config({"bots": [BOT]} | changes)))
    assert list(notes(default_config())) == []


@pytest.mark.parametrize("act", [lambda path: check(path, "1m", as_json=False), load_config], ids=["check", "load"])
@pytest.mark.parametrize(
    ("bot", "said"),
    [
        (BOT | {"sizng": {}}, "$.bots[0].sizng: unknown key 'sizng'; did you mean 'sizing'?"),
        ({"name": "a", "strategy": {"python": "turtel"}}, "bot a: unknown strategy 'turtel'"),
    ],
    ids=["key", "strategy"],
)
def test_what_is_not_good_is_refused_and_its_file_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], act: Any, bot: dict[str, Any], said: str
) -> None:
    path = stored(tmp_path, {"bots": [bot]})
    with pytest.raises(SystemExit) as ended:
        act(path)
    assert ended.value.code == Exit.REFUSED
    assert capsys.readouterr().err.startswith(f"quantsail: {path}: {said}")


def test_an_unknown_timeframe_is_a_fault_of_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        check(stored(tmp_path, {"bots": [BOT]}), "1x", as_json=False)
    assert ended.value.code == Exit.USAGE and "unknown timeframe '1x'" in capsys.readouterr().err


# -- example, schema, page -----------------------------------------------------------------------------------------------


def test_the_example_is_good_and_shows_every_section(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_example() == Exit.OK
    assert capsys.readouterr().out == EXAMPLE
    config = load_config(stored(tmp_path, EXAMPLE))
    assert canonical(parse_config(json.loads(canonical(config)))) == canonical(config)
    document = json.loads(without_comments(EXAMPLE))
    for model in config_page.parts():
        for path in config_page.parts()[model]:
            assert _at(document, path), f"{path} ({model.__name__}) is not in the example"
    sections = {name for name, field in Config.model_fields.items() if name != "schema_version"}
    assert sections <= document.keys()


def _at(document: Any, path: str) -> bool:
    """Whether a document has something there; a Python strategy is shown as a comment."""
    if path.endswith(".strategy"):
        return '"python":' in EXAMPLE
    found = [document]
    for step in path.removeprefix("$").lstrip(".").split("."):
        name = step.removesuffix("[]")
        if name and name != "*":
            found = [each[name] for each in found if isinstance(each, dict) and name in each]
        if step.endswith("[]"):
            found = [inner for each in found for inner in each]
    # Limits of bots and of the account are the same model: one place is enough.
    return bool(found) or path.startswith("$.bots[].limits.")


def test_the_schema_accepts_what_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_schema() == Exit.OK
    schema = json.loads(capsys.readouterr().out)
    assert schema == json_schema() and schema["$schema"].endswith("2020-12/schema")
    for good in (
        json.loads(canonical(default_config())),
        json.loads(without_comments(EXAMPLE)),
        {"bots": [{"name": "x", "strategy": {"python": "turtle", "params": {"bars": 3}}}]},
    ):
        assert list(faults(good, schema, schema)) == []


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"bots": []},
        {"bots": [BOT], "acount": {}},
        {"bots": [BOT | {"name": "A B"}]},
        {"bots": [BOT | {"sizing": {"value": 0}}]},
        {"bots": [BOT | {"sizing": {"value": "ten"}}]},
        {"bots": [BOT | {"sizing": {"kind": "all_in"}}]},
        {"bots": [BOT | {"exits": {"stop_loss_pct": 101}}]},
        {"bots": [BOT | {"exits": {"time_stop_min": 1.5}}]},
        {"bots": [BOT | {"strategy": {"schema": 1, "entry_long": {"op": "is"}}}]},
        {"bots": [BOT], "warmup_factor": 0},
        {"bots": [BOT], "schema": 2},
    ],
)
def test_the_schema_refuses_what_the_models_refuse(bad: dict[str, Any]) -> None:
    schema = json_schema()
    assert list(faults(bad, schema, schema))
    with pytest.raises(ConfigError):
        parse_config(bad)


def test_every_field_of_the_schema_says_what_it_is() -> None:
    for name, each in json_schema()["$defs"].items():
        assert each.get("description") or "enum" in each, name


@pytest.mark.parametrize(("text", "fits"), [("1", True), ("-0.5", True), (".5", True), ("1e-3", True), ("", False),
                                            (".", False), ("1,5", False), ("NaN", False), ("0x1", False)])  # fmt: skip
def test_numbers_as_text(text: str, fits: bool) -> None:
    assert bool(re.search(DECIMAL_PATTERN, text)) is fits


def test_every_field_of_every_part_has_a_sentence() -> None:
    for model in config_page.parts():
        for name, field in model.model_fields.items():
            said = field.description or ""
            assert (said.endswith(".") and said[0].isupper()) or said.startswith("G"), (
                f"{model.__name__}.{name}: {said!r}"
            )
            assert config_page.values(field), name


def test_the_page_is_that_of_the_models() -> None:
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert page == config_page.markdown(), "make it anew: python -m engine.cli.config_page > docs/config.md"
    named = {model.__name__ for model in config_page.parts()}
    assert {"Config", "BotConfig", "Limits", "Exits", "PythonStrategy", "RiskRule"} <= named
    assert all(issubclass(model, BaseModel) for model in config_page.parts())
