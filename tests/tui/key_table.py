"""What every action's keys must do, as rows: where they are pressed, and how one sees that it was done.

`then(before, now)` compares two states of `look`. A new action needs a row here, or tests/tui/test_keys.py fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from textual.widgets import Input

from engine import paths
from engine.core.types import Verb
from tests.tui.fake_engine import FakeEngine
from tests.tui.test_alerts import alerting
from tests.tui.test_charts_screen import SERIES, bars, trip
from tui.app import CockpitApp
from tui.screens.dialog import Dialog
from tui.widgets.chart import Chart
from tui.widgets.panel import Panel

State = dict[str, Any]
Then = Callable[[State, State], bool]


class Row(NamedTuple):
    """Pressed `on` that screen with the focus on `focus` (an id; "" is where the screen puts it), behind the keys of `way`.

    `back` are keys that undo what Esc would not. `scripted`: it needs an engine in a state that a real one comes to seldom.
    """

    then: Then
    on: str = "dashboard"
    focus: str = ""
    way: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    scripted: bool = False


def look(app: CockpitApp) -> State:
    """What there is to see of a cockpit after a key."""
    screen, focused, snapshot = app.screen, app.screen.focused, app.frame.snapshot
    present = app.engine.snapshot()
    assert snapshot is not None and present is not None
    exports = paths.data_home() / "exports"
    out: State = {
        "mode": app.current_mode, "depth": len(app.screen_stack), "top": type(screen).__name__,
        "heading": screen.heading if isinstance(screen, Dialog) else "", "width": app.size.width,
        "focused": (focused.id or type(focused).__name__) if focused else "",
        "height": focused.outer_size.height if focused else 0, "frozen": app._frozen_since is not None,
        "displayed": sorted(w.id or "" for w in screen.query("Panel, Chart, WhyPanel") if w.display and w.parent.display),  # type: ignore[union-attr]
        "theme": app.theme, "symbol": app.graph_symbol, "clipboard": app.clipboard,
        "maximised": screen.maximized is not None, "seen": len(app.alerts.seen),
        "state": present.state, "held": present.held, "seq": present.seq,
        "replay": present.replay.state if present.replay else "", "speed": present.replay.speed if present.replay else None,
        "past": app.past.client.picture.seq if app.past.client else None,
        "files": sorted(file.name for file in exports.glob("*")) if exports.is_dir() else [],
        "verifying": getattr(screen, "_verifying_since", None) is not None,
        "said": [one.message for one in app._notifications],
    }  # fmt: skip
    if isinstance(focused, Panel):
        out |= {"row": focused.cursor_row, "key": focused.cursor_key, "rows": focused.row_count,
                "sorted": focused.sorted_by, "filter": focused.filter.text, "follow": focused.follow}  # fmt: skip
    if isinstance(focused, Chart):
        drawn = focused.built().keys
        out |= {"cursor": focused.cursor, "window": [*drawn[:1], *drawn[-1:], len(drawn), focused.words[0]]}
    if isinstance(focused, Input):
        out["value"] = focused.value
    return out


def scripted() -> FakeEngine:
    """Alerts that wait, and a bot in every state that a key changes."""
    import msgspec

    base = alerting(*(f"alert {n}" for n in range(12)), state="PAUSED", state_actor="ada", banner="")
    assert base.snap is not None
    bot = base.snap.bots[0]
    more = ({"status": "STOPPED"}, {"status": "ERROR"}, {"state": "PAUSED"})
    others = (msgspec.structs.replace(bot, id=f"b{n}", name=f"bot {n}", **changes) for n, changes in enumerate(more, 2))
    engine = FakeEngine(msgspec.structs.replace(base.snap, bots=(bot, *others)))
    engine.log, engine.curve = base.log, base.curve
    engine.tails = {SERIES: bars(4_000)}
    engine.trips = tuple(trip(n, (-1) ** n * (n + 1.0)) for n in range(12))
    return engine


# -- how one sees it -------------------------------------------------------------------------------------------------


def opens(top: str, heading: str = "") -> Then:
    return lambda b, n: n["top"] == top and n["depth"] == b["depth"] + 1 and heading in n["heading"]


def changes(name: str) -> Then:
    return lambda b, n: name in b and name in n and b[name] != n[name]


def goes(name: str, *, up: bool) -> Then:
    return lambda b, n: n[name] > b[name] if up else n[name] < b[name]


def writes(part: str, suffix: str) -> Then:
    return lambda b, n: any(part in f and f.endswith(suffix) for f in set(n["files"]) - set(b["files"]))


def shows(mode: str) -> Row:
    return Row(
        lambda b, n: b["mode"] != n["mode"] == mode and bool(n["focused"]),
        "events" if mode == "dashboard" else "dashboard",
    )


def asked(name: str) -> Then:
    """A question to the engine more than before."""
    return lambda b, n: n["asked"].get(name, 0) > b["asked"].get(name, 0)


def kills(b: State, n: State) -> bool:
    return n["top"] == "KillDialog" and n["verbs"][len(b["verbs"]) :] == [Verb.HOLD] and n["held"]


def acknowledges(b: State, n: State) -> bool:
    return n["seen"] == b["seen"] + 1 and any("acknowledged" in text for text in n["said"])


def other_panels(b: State, n: State) -> bool:
    """On a small screen another panel is shown; where there is room for all of them they all are."""
    return b["displayed"] != n["displayed"] if b["width"] < 120 else b["displayed"] == n["displayed"]


def back_to_kind(b: State, n: State) -> bool:
    return n["past"] is not None and n["past"] < (b["past"] or b["seq"] + 1)


CHART, FIRST, LAST = ("0",), ("g",), ("G",)
PAST = ("left_square_bracket", "left_square_bracket", "left_square_bracket")

ROWS: dict[str, Row] = {
    "kill": Row(kills, focus="positions"),
    "resume": Row(opens("ResumeDialog", "RE-ARM")),
    **{
        f"screen.{mode}": shows(mode)
        for mode in ("dashboard", "orders", "events", "charts", "gates", "configs", "bots", "operations")
    },
    "focus_next": Row(changes("focused"), focus="positions"),
    "focus_previous": Row(changes("focused"), focus="positions"),
    "maximise": Row(changes("maximised"), focus="positions", back=("M",)),
    "acknowledge": Row(acknowledges, scripted=True),
    "acknowledge.anywhere": Row(acknowledges, scripted=True),
    "alerts": Row(opens("DetailDialog", "alerts")),
    "cancel_order": Row(opens("CancelOrderDialog", "cancel one order"), "orders", "all-orders", ("o", *FIRST)),
    "close_position": Row(opens("ClosePositionDialog", "close one position"), focus="positions"),
    "grow": Row(goes("height", up=True), focus="positions", back=("_",)),
    "grow.less": Row(goes("height", up=False), "orders", "all-orders", back=("+",)),
    "freeze": Row(changes("frozen"), back=("p",)),
    "replay_toggle": Row(changes("replay"), back=("space",)),
    "replay_slower": Row(lambda b, n: n["speed"] == b["speed"] / 2),
    "replay_faster": Row(lambda b, n: n["speed"] == b["speed"] * 2),
    "step.back": Row(lambda b, n: n["past"] == b["seq"] - 1),
    "step": Row(lambda b, n: n["past"] == b["past"] + 1, way=PAST),
    "leap.back": Row(back_to_kind, "events", "events", LAST),
    "leap": Row(goes("past", up=True), "events", "events", (*LAST, "left_curly_bracket", "left_curly_bracket")),
    "time": Row(opens("AskDialog", "as it was")),
    "now": Row(lambda b, n: b["past"] is not None and n["past"] is None, way=PAST),
    "theme": Row(changes("theme")),
    "command_palette": Row(opens("Palette")),
    "help": Row(opens("HelpDialog", "keys")),
    "quit": Row(opens("QuitDialog", "quit")),
    "down": Row(lambda b, n: n["row"] == b["row"] + 1, "events", "events", FIRST),
    "up": Row(lambda b, n: n["row"] == b["row"] - 1, "events", "events", LAST),
    "first": Row(lambda b, n: n["row"] == 0 < b["row"], "events", "events", LAST),
    "last": Row(lambda b, n: n["row"] == n["rows"] - 1 and n["follow"], "events", "events", FIRST),
    "half_down": Row(lambda b, n: 1 < n["row"] - b["row"] < 31, "events", "events", FIRST),
    "half_up": Row(lambda b, n: 1 < b["row"] - n["row"] < 31, "events", "events", LAST),
    "page_down": Row(lambda b, n: n["row"] - b["row"] > 12, "events", "events", FIRST),
    "page_up": Row(lambda b, n: b["row"] - n["row"] > 12, "events", "events", LAST),
    "select": Row(opens("DetailDialog", "position"), focus="positions"),
    "sort": Row(changes("sorted"), "orders", "all-orders"),
    "filter": Row(lambda b, n: "value" in n and n["focused"] == "Input", focus="positions"),
    "clear_filter": Row(
        lambda b, n: b["filter"] == "BTC" and n["filter"] == "", "orders", "all-orders", ("slash", *"BTC", "enter")
    ),
    "copy": Row(lambda b, n: "/USDT\t" in n["clipboard"], focus="positions"),
    "copy_id": Row(lambda b, n: n["clipboard"] == b["key"], focus="positions"),
    "export": Row(writes("positions", ".csv"), focus="positions"),
    "open_only": Row(changes("filter"), "orders", "all-orders", back=("o",)),
    "follow": Row(changes("follow"), "events", "events", LAST),
    "jump": Row(opens("AskDialog", "jump to a time"), "events"),
    "orders": Row(other_panels, back=("o",)),
    "chart_left": Row(changes("cursor"), "charts", "candles", CHART),
    "chart_right": Row(goes("cursor", up=True), "charts", "candles", (*CHART, "h", "h", "h")),
    "zoom_in": Row(changes("window"), "charts", "candles", CHART),
    "zoom_out": Row(changes("window"), "charts", "candles", (*CHART, "plus")),
    "zoom_reset": Row(changes("window"), "charts", "candles", (*CHART, "plus", "comma")),
    "pan_left": Row(changes("window"), "charts", "candles", (*CHART, "plus")),
    "pan_right": Row(changes("window"), "charts", "candles", (*CHART, "plus", "comma", "comma")),
    "no_cursor": Row(lambda b, n: b["cursor"] is not None and n["cursor"] is None, "charts", "candles", (*CHART, "h")),
    "pick_symbol": Row(opens("PickDialog", "symbol"), "charts"),
    "pick_timeframe": Row(opens("PickDialog", "timeframe"), "charts"),
    "pick_bot": Row(opens("PickDialog", "bot"), "charts"),
    "next_view": Row(changes("displayed"), "charts", back=("v", "v", "v", "v")),
    "graph_symbol": Row(changes("symbol"), "charts", back=("g", "g")),
    "export_chart": Row(writes("candles", ".svg"), "charts", "candles"),
    "activate": Row(opens("ActivateDialog", "config v3 in the place of v2"), "configs", "configs", FIRST),
    "previous_version": Row(lambda b, n: b["key"] != n["key"] == "1", "configs", "configs", FIRST),
    "new_config": Row(lambda b, n: any("quantsail config new" in said for said in n["said"]), "configs"),
    "reload": Row(asked("configs"), "configs"),
    "pick_scope": Row(opens("PickDialog", "gates of"), "gates"),
    "pick_question": Row(opens("PickDialog", "why does it not trade"), "gates"),
    "next_view.gates": Row(other_panels, "gates", back=("v", "v")),
    "pause_bot": Row(opens("PauseBot", "pause"), "bots", "bots", FIRST, scripted=True),
    "stop_bot": Row(opens("StopBot", "stop"), "bots", "bots", FIRST, scripted=True),
    "start_bot": Row(opens("StartBot", "start"), "bots", "bots", (*FIRST, "j"), scripted=True),
    "clear_error": Row(opens("ClearError", "clear the error"), "bots", "bots", (*FIRST, "j", "j"), scripted=True),
    "resume_bot": Row(opens("ResumeBot", "resume"), "bots", "bots", (*FIRST, "j", "j", "j"), scripted=True),
    "verify": Row(changes("verifying"), "operations", back=("escape",)),
    "look_again": Row(asked("operations"), "operations"),
}
