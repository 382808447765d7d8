"""The one registry of what a key can do. Bindings, palette, help screen and the documentation's table all come from it.

An action belongs to a `target`: the app (works on every screen), a screen by its mode name, or "table" and "dialog",
whose bindings live in the widget and are listed here so that help cannot forget them (a test compares the two).
Danger levels are those of the design (cockpit.md): 0 navigation, 1 acknowledge, 2 one order, 3 kill, 4 typed word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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


def _mode(number: str, name: str, label: str, help: str) -> Action:
    return Action(name=f"screen.{name}", target="app", label=label, help=help, keys=(number,), argument=name)


def _time(name: str, key: str, label: str, help: str, argument: str = "") -> Action:
    return Action(name=name, target="app", label=label, help=help, keys=(key,), argument=argument)


ACTIONS: tuple[Action, ...] = (
    Action(
        name="kill",
        target="app",
        label="KILL",
        help="Hold new entries at once; Enter or the key again halts, Esc releases, no answer becomes PAUSE",
        keys=("f9", "ctrl+k", "K"),
        danger=3,
        priority=True,
    ),
    Action(
        name="resume",
        target="app",
        label="re-arm",
        help="Trade again after a stop: type RESUME and a reason, kept in the audit trail",
        keys=("ctrl+r",),
        danger=4,
    ),
    _mode("1", "dashboard", "dash", "Dashboard: positions, orders, equity, gates, events"),
    _mode("2", "orders", "orders", "Orders and fills: all of them, each order's whole story, cancel"),
    _mode("3", "events", "events", "Events: everything that was decided, newest last"),
    _mode("4", "charts", "charts", "Charts: candles with trades, equity, drawdown, results"),
    _mode("5", "gates", "gates", "Risk gates: actual against limit, distance, trips, and why it is not trading"),
    _mode("6", "configs", "config", "Config versions: compare, activate, roll back"),
    _mode("7", "bots", "bots", "Bots and strategies: state, warm-up, results, rules, errors; start, pause, stop"),
    _mode("0", "operations", "ops", "Operations: database, disk, feeds, clock, runs, retention, backups, audit trail"),
    Action(name="focus_next", target="app", label="panel", help="Next panel", keys=("tab",)),
    Action(name="focus_previous", target="app", label="panel back", help="Previous panel", keys=("shift+tab",)),
    Action(
        name="maximise", target="app", label="maximise", help="Give the panel the whole screen, and back", keys=("M",)
    ),
    Action(
        name="acknowledge",
        target="app",
        label="seen",
        help="Acknowledge the alert in the banner: who and when is kept in the audit trail",
        keys=("a",),
        danger=1,
    ),
    Action(
        name="acknowledge.anywhere",
        target="app",
        label="seen, anywhere",
        help="The same from inside inputs, dialogs and the palette",
        keys=("f8",),
        danger=1,
        priority=True,
    ),
    Action(name="alerts", target="app", label="alerts", help="Open alerts, and who acknowledged what", keys=("L",)),
    Action(
        name="cancel_order",
        target="app",
        label="cancel order",
        help="Cancel the selected order (dashboard, orders): asks, with the focus on keeping it",
        keys=("x",),
        danger=2,
    ),
    Action(
        name="close_position",
        target="app",
        label="close position",
        help="Close the selected position at market (dashboard): asks, with the focus on keeping it",
        keys=("X",),
        danger=2,
    ),
    Action(name="grow", target="app", label="higher", help="Make the panel higher", keys=("plus",), argument="3"),
    Action(name="grow.less", target="app", label="lower", help="Make it lower", keys=("underscore",), argument="-3"),
    Action(
        name="freeze",
        target="app",
        label="freeze",
        help="Pause repainting the panels; the engine goes on, and the first line stays alive",
        keys=("p",),
    ),
    Action(
        name="replay_toggle",
        target="app",
        label="play/pause",
        help="Pause or resume a recorded or simulated feed",
        keys=("space",),
    ),
    Action(
        name="replay_slower", target="app", label="slower", help="Halve the replay's speed", keys=("less_than_sign",)
    ),
    Action(
        name="replay_faster",
        target="app",
        label="faster",
        help="Double the replay's speed, up to max",
        keys=("greater_than_sign",),
    ),
    _time(
        "step.back",
        "left_square_bracket",
        "back",
        "Time machine: all as it was one event before; nothing can be sent",
        "-1",
    ),
    _time("step", "right_square_bracket", "on", "One event on", "1"),
    _time(
        "leap.back",
        "left_curly_bracket",
        "back to type",
        "Back to an event of the type under the cursor, or picked",
        "-1",
    ),
    _time("leap", "right_curly_bracket", "on to type", "On to the next event of that type", "1"),
    _time("time", "t", "time", "Show everything as it was at a time (UTC); empty: now"),
    _time("now", "escape", "now", "From the past back to now; give up what is being read"),
    Action(
        name="theme",
        target="app",
        label="theme",
        help="Next theme: dark, light, high-contrast, mono, classic",
        keys=("T",),
    ),
    Action(
        name="command_palette",
        target="app",
        label="palette",
        help="Find an action by name",
        keys=("colon", "ctrl+p"),
    ),
    Action(name="help", target="app", label="help", help="Show all keys", keys=("question_mark",)),
    Action(
        name="quit",
        target="app",
        label="quit",
        help="Ask, then stop safely: state saved, protective orders kept",
        keys=("ctrl+q",),
        danger=1,
        priority=True,
    ),
    Action(name="down", target="table", label="down", help="Next row", keys=("j", "down")),
    Action(name="up", target="table", label="up", help="Previous row", keys=("k", "up")),
    Action(name="first", target="table", label="first", help="First row", keys=("g", "home")),
    Action(name="last", target="table", label="last", help="Last row; events follow again", keys=("G", "end")),
    Action(name="half_down", target="table", label="half page", help="Half a page down", keys=("ctrl+d",)),
    Action(name="half_up", target="table", label="half page", help="Half a page up", keys=("ctrl+u",)),
    Action(name="page_down", target="table", label="page", help="A page down", keys=("pagedown",)),
    Action(name="page_up", target="table", label="page", help="A page up", keys=("pageup",)),
    Action(name="select", target="table", label="detail", help="Show everything known about the row", keys=("enter",)),
    Action(
        name="sort",
        target="table",
        label="sort",
        help="Sort by the next column, up, down, then as they came",
        keys=("s",),
    ),
    Action(
        name="filter",
        target="table",
        label="filter",
        help="Show only rows with these words: text, column:text, -text; Esc shows all",
        keys=("slash",),
    ),
    Action(name="clear_filter", target="table", label="show all", help="Take the filter away", keys=("escape",)),
    Action(name="copy", target="table", label="copy", help="Copy the row to the clipboard (OSC 52)", keys=("y",)),
    Action(name="copy_id", target="table", label="copy id", help="Copy the row's id", keys=("Y",)),
    Action(
        name="export",
        target="table",
        label="export",
        help="Write the table as filtered to a new CSV file, and say where it went",
        keys=("E",),
    ),
    Action(name="open_only", target="orders", label="open only", help="Open orders alone, and back", keys=("o",)),
    Action(
        name="follow",
        target="events",
        label="follow/freeze",
        help="Follow the newest event, or stay where the cursor is",
        keys=("f",),
    ),
    Action(
        name="jump",
        target="events",
        label="jump",
        help="Jump to a time; what memory does not have is read from the journal",
        keys=("J",),
    ),
    Action(
        name="orders",
        target="dashboard",
        label="orders",
        help="On a small screen: orders in the place of equity, and back",
        keys=("o",),
    ),
    Action(name="chart_left", target="chart", label="back", help="Cursor one step back in time", keys=("h", "left")),
    Action(name="chart_right", target="chart", label="on", help="Cursor one step on", keys=("l", "right")),
    Action(name="zoom_in", target="chart", label="closer", help="Zoom in", keys=("plus", "equals_sign")),
    Action(
        name="zoom_out",
        target="chart",
        label="further",
        help="Zoom out; candles go on to the next timeframe",
        keys=("minus",),
    ),
    Action(name="zoom_reset", target="chart", label="all", help="All of it, and its end as it grows", keys=("0",)),
    Action(
        name="pan_left", target="chart", label="earlier", help="Half a window earlier", keys=("comma", "shift+left")
    ),
    Action(
        name="pan_right", target="chart", label="later", help="Half a window later", keys=("full_stop", "shift+right")
    ),
    Action(
        name="no_cursor",
        target="chart",
        label="no cursor",
        help="Take the cursor away, or cancel what is being loaded",
        keys=("escape",),
    ),
    Action(name="pick_symbol", target="charts", label="symbol", help="Pick the symbol of the candles", keys=("s",)),
    Action(name="pick_timeframe", target="charts", label="timeframe", help="Pick the length of a bar", keys=("f",)),
    Action(name="pick_bot", target="charts", label="bot", help="Show the trades and results of one bot", keys=("b",)),
    Action(name="next_view", target="charts", label="view", help="All charts, or one alone", keys=("v",)),
    Action(
        name="graph_symbol",
        target="charts",
        label="dots",
        help="Draw with braille, blocks or ASCII",
        keys=("g",),
    ),
    Action(
        name="export_chart",
        target="charts",
        label="export",
        help="Write the chart to a new SVG file, and say where it went",
        keys=("E",),
    ),
    Action(name="pick_scope", target="gates", label="scope", help="Gates of the account or of one bot", keys=("b",)),
    Action(
        name="pick_question",
        target="gates",
        label="why",
        help="Why is it not trading: pick a bot and a symbol",
        keys=("w",),
    ),
    Action(
        name="next_view.gates",
        target="gates",
        label="view",
        help="On a small screen: board, why, trips, gates over time",
        keys=("v",),
    ),
    Action(
        name="start_bot",
        target="bots",
        label="start",
        help="Start the bot under the cursor; one in ERROR has its error cleared",
        keys=("S",),
        danger=2,
    ),
    Action(
        name="pause_bot",
        target="bots",
        label="pause",
        help="Pause it: no new entry until a person resumes it",
        keys=("P",),
        danger=2,
    ),
    Action(
        name="stop_bot",
        target="bots",
        label="stop",
        help="Stop it: its positions keep their exits",
        keys=("D",),
        danger=2,
    ),
    Action(
        name="resume_bot",
        target="bots",
        label="resume",
        help="Let a paused bot trade again: needs a reason, kept in the audit trail",
        keys=("R",),
        danger=2,
    ),
    Action(
        name="clear_error",
        target="bots",
        label="clear error",
        help="Clear its error: it begins again with a fresh strategy",
        keys=("C",),
        danger=2,
    ),
    Action(
        name="verify",
        target="operations",
        label="verify",
        help="Verify journal, audit trail and read tables, aside; Esc cancels",
        keys=("V",),
    ),
    Action(name="look_again", target="operations", label="look again", help="Ask everything again", keys=("r",)),
    Action(
        name="activate",
        target="configs",
        label="activate",
        help="Activate the version under the cursor: type its number and a reason",
        keys=("A",),
        danger=4,
    ),
    Action(
        name="previous_version",
        target="configs",
        label="previous",
        help="Roll back: select the version that was active before this one, then A",
        keys=("B",),
    ),
    Action(
        name="new_config",
        target="configs",
        label="new",
        help="Make a version from the one under the cursor: a form, or $EDITOR",
        keys=("n",),
        danger=1,
    ),
    Action(name="reload", target="configs", label="reload", help="Read the list again", keys=("r",)),
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
