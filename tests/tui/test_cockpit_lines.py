"""The fixed lines as pure functions: what is said, what is cut, what is never cut."""

from __future__ import annotations

import re
from decimal import Decimal as D
from itertools import pairwise
from typing import Any, get_args

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate
from textual.strip import Strip

from engine.client import AccountView, Snapshot
from engine.core import events as ev
from engine.core.types import Level
from tests.tui.fake_engine import MONO, FakeEngine, order, position, snapshot
from tests.tui.fake_story import NOW, recorded, story
from tui.actions import ACTIONS, actions_markdown, bindings, find, help_rows
from tui.killplan import kill_plan, kill_summary
from tui.replaying import faster
from tui.viewmodel import Frame, Line, banner_line, banners, replay_line, status_line
from tui.widgets import rows
from tui.widgets.eventtext import describe, detail
from tui.widgets.line import fitted
from tui.widgets.logbook import LogBook
from tui.widgets.tight import TightUpdate, tighten


def frame(snap: Snapshot | None = None, **changes: Any) -> Frame:
    values: dict[str, Any] = {"snapshot": snap if snap is not None else snapshot(), "mono": MONO}
    return Frame(**(values | changes))


def plain(line: Line) -> str:
    return "".join(span.text for span in line)


# -- status line -----------------------------------------------------------------------------------------------------


def test_a_wide_status_line_says_everything_in_order() -> None:
    text = plain(status_line(frame(), 200))
    wanted = [
        "SIM", "ACTIVE", "eq 10,214.33", "▲+2.14%", "dd -0.8%", "pos 3", "ord 3", "feed ok <1s", "DB ok 4ms",
        "lag ≤20ms", "cfg v7", "14:03:22Z",
    ]  # fmt: skip
    places = [text.index(word) for word in wanted]
    assert places == sorted(places)


@pytest.mark.parametrize("width", [80, 90, 100, 120])
def test_the_status_line_fits_and_keeps_what_must_be_there(width: int) -> None:
    big = snapshot(equity=D("12345678.90"), day_pct=D("-12.34"), drawdown_pct=D("12.3"))
    text = plain(status_line(frame(big), width))
    assert len(text) <= width
    for word in ("SIM", "ACTIVE", "12,345,678.90", "▼-12.34%", "dd -12.3%", "feed ok"):
        assert word in text


@pytest.mark.parametrize("width", [80, 120])
def test_with_several_accounts_row_0_says_whose_equity_it_is(width: int) -> None:
    main = AccountView(id="1", name="main", currency="USDT", equity=D("10214.33"), opened_with=D(10_000))
    named = msgspec.structs.replace(main, name="狗狗币\x1b[31m" + "x" * 60)
    assert "eq main 10,214.33 ▲+2.14%" in plain(status_line(frame(snapshot(accounts=(main, named))), width))
    hostile = plain(status_line(frame(snapshot(accounts=(named, main))), width))
    assert "eq 狗狗币xxxxxx… 10,214.33" in hostile and cell_len(hostile) <= width
    assert "eq 10,214.33" in plain(status_line(frame(snapshot(accounts=(main,))), width))


def test_cutting_takes_from_the_right() -> None:
    texts = [plain(status_line(frame(), width)) for width in range(70, 140)]
    for narrow, wide in pairwise(texts):
        assert len(wide) >= len(narrow)
    assert "Z" not in texts[0]
    assert "pos 3" in texts[0] or "feed ok" in texts[0]


@pytest.mark.parametrize(
    ("changes", "worst"),
    [
        ({"database_down_mono": MONO - 42}, "DB DOWN! 00:42"),
        ({"feed_status": "down since 14:00:00Z: timeout"}, "feed DOWN!"),
        ({"feed_status": "ok, but ETH/USDT down since 14:00:00Z"}, "feed PART!"),
        ({"feed_status": "connecting"}, "feed connecting!"),
        ({"lag_ms": 1_500.0}, "lag ≤2000ms!"),
        ({"database_ms": 900.0}, "DB slow! 900ms"),
    ],
)
def test_the_worst_health_comes_first_and_survives_80_columns(changes: dict[str, Any], worst: str) -> None:
    text = plain(status_line(frame(snapshot(**changes)), 80))
    assert worst in text.split("│")[1]
    assert len(text) <= 80


def test_states_by_word_and_glyph() -> None:
    def word(**changes: Any) -> str:
        return plain(status_line(frame(snapshot(**changes)), 80))

    assert "● ACTIVE" in word()
    assert "■ HALTED" in word(state="HALTED")
    assert "▮ PAUSED" in word(state="PAUSED")
    assert "▼ REDUCING" in word(state="REDUCING")
    assert "▮ HELD" in word(held=True)
    assert "■ HALTED" in word(state="HALTED", held=True)  # the stricter word
    assert "✖ STUCK 4s" in word(beat_mono=MONO - 4.2)
    assert "STUCK" not in word(beat_mono=MONO - 2.9)


def test_a_paused_or_ended_replay_has_no_growing_age() -> None:
    replay = snapshot().replay
    assert replay is not None
    ended = snapshot(replay=msgspec.structs.replace(replay, state="ended"), last_input_mono=MONO - 5_000)
    assert plain(status_line(frame(ended), 120)) == plain(status_line(frame(ended, mono=MONO + 2), 120))
    assert "feed ended" in plain(status_line(frame(ended), 120))


def test_no_engine_yet_says_what_is_going_on() -> None:
    text = plain(status_line(Frame(snapshot=None, mono=MONO, progress="migrating \x1b]0;x\x07 3 of 6"), 80))
    assert "STARTING" in text and "migrating" in text and "\x1b" not in text


# -- banners ---------------------------------------------------------------------------------------------------------


def test_halted_says_who_why_and_how_to_go_on() -> None:
    halted = snapshot(state="HALTED", state_actor="ada", state_reason="fat finger", banner="")
    severity, line = banner_line(frame(halted))
    assert severity == "CRIT"
    assert "HALTED by ada 3m ago: fat finger - Ctrl+R re-arms" in plain(line)


def test_the_worst_banner_wins_and_the_others_are_counted() -> None:
    both = snapshot(error="journal refused: expected seq 41", state="PAUSED")
    # Where room is short the reason is cut, and the way out stays to be read.
    paused = snapshot(state="PAUSED", state_actor="engine", state_reason="the kill dialog was not answered")
    short = "".join(span.text for span in fitted(banner_line(frame(paused))[1], 80))
    assert "…" in short and short.endswith("- Ctrl+R resumes  a: seen") and len(short) == 80
    severity, line = banner_line(frame(both))
    assert severity == "CRIT"
    assert "ENGINE STOPPED journal refused: expected seq 41" in plain(line)
    assert "(+1 more)" in plain(line)


def test_simulated_data_is_always_said() -> None:
    severity, line = banner_line(frame())
    assert (severity, "SIMULATED market" in plain(line)) == ("INFO", True)


def test_a_quiet_live_paper_screen_has_no_banner() -> None:
    assert banner_line(frame(snapshot(banner="", mode="PAPER", replay=None))) == ("", [])


def test_hostile_words_in_banners_are_harmless() -> None:
    evil = snapshot(
        error="\x1b]52;c;aGk=\x07boom \u202e", state="HALTED", state_actor="[red]x[/]", state_reason="\x9b2J"
    )
    for banner in banners(frame(evil)):
        assert not set(banner.text) & set("\x1b\x07\x9b\u202e")
    assert any("boom" in banner.text for banner in banners(frame(evil)))


# -- replay line -----------------------------------------------------------------------------------------------------


def test_the_replay_line_has_state_speed_progress_and_gaps() -> None:
    text = plain(replay_line(snapshot(), 120))
    for word in ("▶ PLAYING", "x60", "█", "░", "42%", "4,212 of 10,000 candles", "2 gaps!", "Space"):
        assert word in text
    assert len(plain(replay_line(snapshot(), 80))) <= 80


def test_an_ended_replay_says_so() -> None:
    replay = snapshot().replay
    assert replay is not None
    text = plain(replay_line(snapshot(replay=msgspec.structs.replace(replay, state="ended", progress=1.0)), 120))
    assert "■ ENDED" in text and "100%" in text and "░" not in text


def test_a_live_feed_has_no_replay_line() -> None:
    assert replay_line(snapshot(replay=None), 120) == []


def test_speeds_double_halve_and_end_at_max() -> None:
    assert faster(60.0, 2.0) == 120.0
    assert faster(60.0, 0.5) == 30.0
    assert faster(90_000.0, 2.0) is None
    assert faster(None, 2.0) is None
    assert faster(faster(None, 0.5), 0.5) == 50_000.0
    assert faster(0.125, 0.5) == 0.125


# -- kill plan -------------------------------------------------------------------------------------------------------


def test_the_kill_plan_goes_order_by_order() -> None:
    lines = [plain(line) for line in kill_plan(snapshot())]
    assert lines[0].split() == ["cancel", "BUY", "1.25", "BNB/USDT", "ENTRY", "612.40"]
    assert [line.split()[0] for line in lines] == ["cancel", "keep", "keep", "keep", "keep", "keep"]
    assert "BTC/USDT STOP 94,678.69" in lines[1]
    assert kill_summary(snapshot()) == "HALT cancels 1 entry order, keeps 2 protective orders and 3 positions."


def test_a_position_without_a_stop_is_loud_in_the_plan() -> None:
    naked = snapshot(positions=(position(stop_price=None),), orders=())
    assert "NO STOP!" in plain(kill_plan(naked)[0])


def test_a_kill_plan_without_a_picture_still_promises_the_halt() -> None:
    assert "HALT latches all the same" in plain(kill_plan(None)[0])


def test_a_kill_plan_is_bounded() -> None:
    many = snapshot(orders=tuple(order(n) for n in range(1_000)))
    assert len(kill_plan(many)) == 201


# -- rows and events -------------------------------------------------------------------------------------------------


def test_gates_show_actual_against_limit_and_distance() -> None:
    cells = {row.key: [cell.text for cell in row.cells] for row in rows.gate_rows(snapshot().gates, 10)}
    assert cells["MAX_GROSS_EXPOSURE"] == [
        "gross exposure", "● PASS", "███████░░░", "42.14 / 60 %", "17.86 %", "13:58:22Z", "BUY ADA/USDT",
    ]  # fmt: skip
    assert cells["STALE_DATA"][1:5] == ["■ BLOCK!", "██████████", "7.4 / 5 s", "-2.4 s"]
    assert cells["MAX_ORDER_SIZE"][2:5] == ["", "0.02 / none", "-"]
    assert cells["MAX_OPEN_POSITIONS"][3] == "3 / 3"
    assert cells["MAX_ORDER_VALUE"][3] == "2,019 / 5,000"
    assert cells["TRADING_STATE"][3] == "ACTIVE"
    assert cells["DUPLICATE_ORDER"][1:4] == ["· idle", "", "no order yet"]


@pytest.mark.parametrize("actual", ["NaN", "inf", "", "x" * 500, "\x1b[2J", "1E+400"])
def test_hostile_gate_numbers_are_text(actual: str) -> None:
    gate = msgspec.structs.replace(snapshot().gates[2], actual=actual)
    cells = rows.gate_rows([gate], 8)[0].cells
    assert all("\x1b" not in text and len(text) < 600 for text, _ in cells)


def test_prices_keep_the_symbols_own_decimals() -> None:
    small = position("kPEPE/USDT", entry_price=D("0.01234"), mark_price=D("0.0125"), price_places=6)
    cells = rows.position_rows(snapshot(positions=(small,)))[0].cells
    assert [cells[3][0], cells[4][0]] == ["0.012340", "0.012500"]


def test_every_event_type_has_words_of_its_own() -> None:
    seen = {type(one.event) for one in story(8)}
    assert len(seen) == 8
    for one in story(8):
        assert describe(one.event).word != "event"
    source_types = set(get_args(ev.AnyEvent))
    assert seen < source_types


def test_event_detail_shows_the_chain_and_every_field() -> None:
    fields = dict(detail(recorded(2, story(2)[1].event)))
    assert fields["hash"] == "02" * 32
    assert fields["symbol"] == "BTC/USDT"
    assert "MAX_GROSS_EXPOSURE" in fields["gates"]


def test_the_log_book_is_bounded_skips_noise_and_counts_what_it_missed() -> None:
    engine = FakeEngine()
    sample = ev.EquitySampled(
        ts=NOW, cause=story(1)[0].event.cause, portfolio_id="p", equity=D(1), cash=D(1), positions_value=D(0),
        unrealized_pnl=D(0), realized_pnl=D(0), peak_equity=D(1), drawdown=D(0), day_pnl=D(0), open_positions=0, marks={},
    )  # fmt: skip
    assert sample.level is Level.DEBUG
    engine.log = [*story(10), recorded(11, sample)]
    book = LogBook(kept=4)
    book.read(engine, 11)
    assert [one.seq for one in book.entries] == [7, 8, 9, 10]
    assert (book.seq, book.skipped, book.version) == (11, 0, 1)
    book.read(engine, 11)
    assert book.version == 1
    engine.log = [msgspec.structs.replace(one, seq=one.seq + 5_000) for one in story(10)]
    book.read(engine, 5_010)
    assert book.skipped == 4_989


# -- actions ---------------------------------------------------------------------------------------------------------


def test_no_two_actions_of_a_screen_share_a_key() -> None:
    for target in ("dashboard", "configs", "events", "gates"):
        here = [action for action in ACTIONS if action.target in ("app", "table", target) and action.name != "now"]
        keys = [
            key for action in here for key in action.keys
        ]  # Esc is the way back from the past where nothing else wants it
        assert len(keys) == len(set(keys)), target


def test_all_but_the_kill_key_can_be_remapped() -> None:
    assert [a.name for a in ACTIONS if not a.remappable] == ["kill"]
    unnamed = [binding.action for binding in bindings("app") if binding.id is None]
    assert unnamed == ["kill"]
    assert find("kill").keys == ("f9", "ctrl+k", "K")


def test_help_and_documentation_list_every_action() -> None:
    listed = [text for _, section in help_rows() for _, text in section]
    assert sorted(listed) == sorted(action.help for action in ACTIONS)
    table = actions_markdown()
    assert all(action.help in table for action in ACTIONS)
    assert "| `F9` `Ctrl+K` `K` |" in table


def test_an_unknown_action_is_refused_by_name() -> None:
    with pytest.raises(LookupError, match="fly"):
        find("fly")


def test_tightening_keeps_every_cell_and_every_background() -> None:
    dot, gap, bar = Style(color="blue", bgcolor="black"), Style(color="white", bgcolor="black"), Style(bgcolor="red")
    strip = Strip([Segment("a", dot), Segment("  ", gap), Segment("b", dot), Segment("  ", bar), Segment("c", gap)])
    tight = tighten(strip)
    assert tight.text == strip.text and tight.cell_length == strip.cell_length
    assert [(segment.text, segment.style) for segment in tight] == [("a  b", dot), ("  ", bar), ("c", gap)]
    underlined = Strip([Segment("a", dot), Segment("  ", gap + Style(underline=True))])
    assert len(tighten(underlined)) == 2


def test_an_update_begins_where_the_row_changes() -> None:
    """The picture of a terminal that gets only what changed is the whole picture, and a clock costs no whole line."""
    a, b, c = Style(color="blue"), Style(color="white"), Style(color="red")
    row = Strip([Segment("漢字 ", a), Segment("two", b), Segment(" 12:00:01", c)])
    console = Console(color_system="truecolor", force_terminal=True)

    def written(*spans: tuple[int, int, int]) -> str:
        return TightUpdate(ChopsUpdate([{0: row, 17: None}], list(spans), [[17, 40]])).render_segments(console)

    assert written((0, 0, 17)) == f"\x1b[1;1H{row.render(console)}"
    assert re.findall(r"\x1b\[1;(\d+)H", written((0, 9, 17))) == ["9"]  # column 8, where that segment begins
    assert re.sub(r"\x1b\[[\d;]*[mH]", "", written((0, 9, 17))) == " 12:00:01"
    assert re.sub(r"\x1b\[[\d;]*[mH]", "", written((0, 1, 5))) == "漢字 "  # no half of a wide character
    assert re.sub(r"\x1b\[[\d;]*[mH]", "", written((0, 5, 7))) == "tw"
    assert written((0, 17, 30)) == ""
