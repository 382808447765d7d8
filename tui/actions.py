"""The one registry of what a key can do. Bindings, palette, help screen and the documentation's table all come from it.

An action belongs to a `target`: the app (works on every screen), a screen by its mode name, or "table" and "dialog",
whose bindings live in the widget and are listed here so that help cannot forget them (a test compares the two).
Danger levels are those of the design (cockpit.md): 0 navigation, 1 acknowledge, 2 one order, 3 kill, 4 typed word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import msgspec
from textual.binding import Binding


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is the id for keymaps and the method `action_<name>`; `keys` are Textual key names, the first one is shown."""

    name: str
    target: str
    label: str
    help: str
    keys: tuple[str, ...]
    danger: int = 0
    priority: bool = False  # seen before the focused widget: works from inside inputs, dialogs and the palette
    argument: str = ""

    @property
    def method(self) -> str:
        """The Textual action string."""
        method = self.name.split(".")[0]
        return f"{method}({self.argument!r})" if self.argument else method

    @property
    def id(self) -> str:
        """The id of its binding, by which Textual remaps it."""
        return f"table.{self.name}" if self.target == "table" else self.name

    @property
    def remappable(self) -> bool:
        """The kill key is the same on every machine, for ever."""
        return self.name != "kill"


def _action(target: str, name: str, label: str, help: str, *keys: str, **more: Any) -> Action:
    return Action(name=name, target=target, label=label, help=help, keys=keys, **more)


_app = partial(_action, "app")
_table = partial(_action, "table")
_orders = partial(_action, "orders")
_events = partial(_action, "events")
_dashboard = partial(_action, "dashboard")
_chart = partial(_action, "chart")
_charts = partial(_action, "charts")
_gates = partial(_action, "gates")
_bots = partial(_action, "bots")
_operations = partial(_action, "operations")
_configs = partial(_action, "configs")

ACTIONS: tuple[Action, ...] = (
    _app(
        "kill",
        "KILL",
        "Hold new entries at once; Enter or the key again halts, Esc releases, no answer becomes PAUSE",
        "f9",
        "ctrl+k",
        "K",
        danger=3,
        priority=True,
    ),
    _app(
        "resume",
        "re-arm",
        "Trade again after a stop: type RESUME and a reason, kept in the audit trail",
        "ctrl+r",
        danger=4,
    ),
    _app("screen.dashboard", "dash", "Dashboard: positions, orders, equity, gates, events", "1", argument="dashboard"),
    _app(
        "screen.orders",
        "orders",
        "Orders and fills: all of them, each order's whole story, cancel",
        "2",
        argument="orders",
    ),
    _app("screen.events", "events", "Events: everything that was decided, newest last", "3", argument="events"),
    _app("screen.charts", "charts", "Charts: candles with trades, equity, drawdown, results", "4", argument="charts"),
    _app(
        "screen.gates",
        "gates",
        "Risk gates: actual against limit, distance, trips, and why it is not trading",
        "5",
        argument="gates",
    ),
    _app("screen.configs", "config", "Config versions: compare, activate, roll back", "6", argument="configs"),
    _app(
        "screen.bots",
        "bots",
        "Bots and strategies: state, warm-up, results, rules, errors; start, pause, stop",
        "7",
        argument="bots",
    ),
    _app(
        "screen.operations",
        "ops",
        "Operations: database, disk, feeds, clock, runs, retention, backups, audit trail",
        "0",
        argument="operations",
    ),
    _app("focus_next", "panel", "Next panel", "tab"),
    _app("focus_previous", "panel back", "Previous panel", "shift+tab"),
    _app("maximise", "maximise", "Give the panel the whole screen, and back", "M"),
    _app(
        "acknowledge",
        "seen",
        "Acknowledge the alert in the banner: who and when is kept in the audit trail",
        "a",
        danger=1,
    ),
    _app(
        "acknowledge.anywhere",
        "seen, anywhere",
        "The same from inside inputs, dialogs and the palette",
        "f8",
        danger=1,
        priority=True,
    ),
    _app("alerts", "alerts", "Open alerts, and who acknowledged what", "L"),
    _app(
        "cancel_order",
        "cancel order",
        "Cancel the selected order (dashboard, orders): asks, with the focus on keeping it",
        "x",
        danger=2,
    ),
    _app(
        "close_position",
        "close position",
        "Close the selected position at market (dashboard): asks, with the focus on keeping it",
        "X",
        danger=2,
    ),
    _app("grow", "higher", "Make the panel higher", "plus", argument="3"),
    _app("grow.less", "lower", "Make it lower", "underscore", argument="-3"),
    _app("freeze", "freeze", "Pause repainting the panels; the engine goes on, and the first line stays alive", "p"),
    _app("replay_toggle", "play/pause", "Pause or resume a recorded or simulated feed", "space"),
    _app("replay_slower", "slower", "Halve the replay's speed", "less_than_sign"),
    _app("replay_faster", "faster", "Double the replay's speed, up to max", "greater_than_sign"),
    _app(
        "step.back",
        "back",
        "Time machine: all as it was one event before; nothing can be sent",
        "left_square_bracket",
        argument="-1",
    ),
    _app("step", "on", "One event on", "right_square_bracket", argument="1"),
    _app(
        "leap.back",
        "back to type",
        "Back to an event of the type under the cursor, or picked",
        "left_curly_bracket",
        argument="-1",
    ),
    _app("leap", "on to type", "On to the next event of that type", "right_curly_bracket", argument="1"),
    _app("time", "time", "Show everything as it was at a time (UTC); empty: now", "t"),
    _app("now", "now", "From the past back to now; give up what is being read", "escape"),
    _app("theme", "theme", "Next theme: dark, light, high-contrast, mono, classic", "T"),
    _app("command_palette", "palette", "Find an action by name", "colon", "ctrl+p"),
    _app("help", "help", "Show all keys", "question_mark"),
    _app(
        "quit", "quit", "Ask, then stop safely: state saved, protective orders kept", "ctrl+q", danger=1, priority=True
    ),
    _table("down", "down", "Next row", "j", "down"),
    _table("up", "up", "Previous row", "k", "up"),
    _table("first", "first", "First row", "g", "home"),
    _table("last", "last", "Last row; events follow again", "G", "end"),
    _table("half_down", "half page", "Half a page down", "ctrl+d"),
    _table("half_up", "half page", "Half a page up", "ctrl+u"),
    _table("page_down", "page", "A page down", "pagedown"),
    _table("page_up", "page", "A page up", "pageup"),
    _table("select", "detail", "Show everything known about the row", "enter"),
    _table("sort", "sort", "Sort by the next column, up, down, then as they came", "s"),
    _table("filter", "filter", "Show only rows with these words: text, column:text, -text; Esc shows all", "slash"),
    _table("clear_filter", "show all", "Take the filter away", "escape"),
    _table("copy", "copy", "Copy the row to the clipboard (OSC 52)", "y"),
    _table("copy_id", "copy id", "Copy the row's id", "Y"),
    _table("export", "export", "Write the table as filtered to a new CSV file, and say where it went", "E"),
    _orders("open_only", "open only", "Open orders alone, and back", "o"),
    _events("follow", "follow/freeze", "Follow the newest event, or stay where the cursor is", "f"),
    _events("jump", "jump", "Jump to a time; what memory does not have is read from the journal", "J"),
    _dashboard("orders", "orders", "On a small screen: orders in the place of equity, and back", "o"),
    _chart("chart_left", "back", "Cursor one step back in time", "h", "left"),
    _chart("chart_right", "on", "Cursor one step on", "l", "right"),
    _chart("zoom_in", "closer", "Zoom in", "plus", "equals_sign"),
    _chart("zoom_out", "further", "Zoom out; candles go on to the next timeframe", "minus"),
    _chart("zoom_reset", "all", "All of it, and its end as it grows", "0"),
    _chart("pan_left", "earlier", "Half a window earlier", "comma", "shift+left"),
    _chart("pan_right", "later", "Half a window later", "full_stop", "shift+right"),
    _chart("no_cursor", "no cursor", "Take the cursor away, or cancel what is being loaded", "escape"),
    _charts("pick_symbol", "symbol", "Pick the symbol of the candles", "s"),
    _charts("pick_timeframe", "timeframe", "Pick the length of a bar", "f"),
    _charts("pick_bot", "bot", "Show the trades and results of one bot, or the equity of one account", "b"),
    _charts("next_view", "view", "All charts, or one alone", "v"),
    _charts("graph_symbol", "dots", "Draw with braille, blocks or ASCII", "g"),
    _charts("export_chart", "export", "Write the chart to a new SVG file, and say where it went", "E"),
    _gates("pick_scope", "scope", "Gates of the account or of one bot", "b"),
    _gates("pick_question", "why", "Why is it not trading: pick a bot and a symbol", "w"),
    _gates("next_view.gates", "view", "On a small screen: board, why, trips, gates over time", "v"),
    _bots("start_bot", "start", "Start the bot under the cursor; one in ERROR has its error cleared", "S", danger=2),
    _bots("pause_bot", "pause", "Pause it: no new entry until a person resumes it", "P", danger=2),
    _bots("stop_bot", "stop", "Stop it: its positions keep their exits", "D", danger=2),
    _bots(
        "resume_bot", "resume", "Let a paused bot trade again: needs a reason, kept in the audit trail", "R", danger=2
    ),
    _bots("clear_error", "clear error", "Clear its error: it begins again with a fresh strategy", "C", danger=2),
    _operations("verify", "verify", "Verify journal, audit trail and read tables, aside; Esc cancels", "V"),
    _operations("look_again", "look again", "Ask everything again", "r"),
    _configs(
        "activate", "activate", "Activate the version under the cursor: type its number and a reason", "A", danger=4
    ),
    _configs(
        "previous_version", "previous", "Roll back: select the version that was active before this one, then A", "B"
    ),
    _configs("new_config", "new", "Make a version from the one under the cursor: a form, or $EDITOR", "n", danger=1),
    _configs("reload", "reload", "Read the list again", "r"),
)

TARGETS = {
    "app": "Everywhere",
    "table": "In a table",
    "chart": "In a chart",
    "dashboard": "On the dashboard",
    "orders": "On the orders screen",
    "events": "On the events screen",
    "charts": "On the charts screen",
    "gates": "On the gates screen",
    "configs": "On the configs screen",
    "bots": "On the bots screen",
    "operations": "On the operations screen",
}
DANGER_WORDS = ("", "", "asks", "holds at once, then asks", "asks for a typed word and a reason")

_KEY_NAMES = {
    "question_mark": "?",
    "colon": ":",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "space": "Space",
    "slash": "/",
    "plus": "+",
    "minus": "-",
    "comma": ",",
    "full_stop": ".",
    "equals_sign": "=",
    "underscore": "_",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "enter": "Enter",
    "escape": "Esc",
    "tab": "Tab",
    "shift+tab": "Shift+Tab",
    "home": "Home",
    "end": "End",
    "up": "Up",
    "down": "Down",
    "pagedown": "PgDn",
    "pageup": "PgUp",
}


def key_name(key: str) -> str:
    """A Textual key name as people write it: "ctrl+k" -> "Ctrl+K", "f9" -> "F9", single letters as typed."""
    if key in _KEY_NAMES:
        return _KEY_NAMES[key]
    if len(key) == 1:
        return key
    return "+".join(
        part.upper() if len(part) <= 3 and part[-1].isdigit() else part.capitalize() for part in key.split("+")
    )


_remapped: dict[str, tuple[str, ...]] = {}


def remap(keymap: Mapping[str, tuple[str, ...]]) -> None:
    """From now on every word about keys names these: a process has one cockpit, and that one keymap (tui/keymap.py)."""
    _remapped.clear()
    _remapped.update(keymap)


def keys(action: Action) -> tuple[str, ...]:
    """The keys of an action as they are now, the first one is shown."""
    return _remapped.get(action.name, action.keys)


def key_of(name: str) -> str:
    """The key of an action as people write it, for texts: "Ctrl+R resumes"."""
    return key_name(keys(find(name))[0])


def actions_of(target: str) -> list[Action]:
    """The actions of a target, in the registry's order."""
    return [action for action in ACTIONS if action.target == target]


def find(name: str) -> Action:
    """The action with this name. Raises LookupError when there is none."""
    for action in ACTIONS:
        if action.name == name:
            return action
    raise LookupError(f"no action {name!r}; the names are in tui.actions.ACTIONS")


def bindings(target: str) -> list[Binding]:
    """Textual bindings of a target. The binding's id is the action's name, so that a keymap can remap it."""
    return [
        Binding(
            ",".join(action.keys),
            action.method,
            action.label,
            show=False,
            priority=action.priority,
            id=action.id if action.remappable else None,
            tooltip=action.help,
        )
        for action in actions_of(target)
    ]


def help_rows(targets: Iterable[str] = TARGETS) -> list[tuple[str, list[tuple[str, str]]]]:
    """Sections for the help screen: (heading, [(keys, help)])."""
    return [(TARGETS[target], [(keys_of(a), a.help) for a in actions_of(target)]) for target in targets]


def keys_of(action: Action) -> str:
    return " ".join(key_name(key) for key in keys(action))


def actions_markdown() -> str:
    """The documentation's table of keys, one row an action."""
    lines = ["| keys | where | what | before it acts | name |", "|---|---|---|---|---|"]
    for target, where in TARGETS.items():
        for action in actions_of(target):
            named = " ".join(f"`{key_name(key)}`" for key in action.keys)
            asks = DANGER_WORDS[action.danger] or "-"
            lines.append(f"| {named} | {where.lower()} | {action.help} | {asks} | `{action.name}` |")
    return "\n".join(lines) + "\n"
