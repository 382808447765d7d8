"""Screen 5: the gates of the account or of a bot, why it is not trading, and the history of trips; now or at a past moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from engine.client import Snapshot
from engine.core.events import Recorded
from engine.core.text import safe_text
from engine.history import GateHistory
from engine.standing import GateLine, Standing, Standings
from tui.actions import bindings
from tui.paging import Pager
from tui.screens.base import CockpitScreen
from tui.screens.dialog import Scroll
from tui.screens.picker import PickDialog
from tui.story import wrapped
from tui.viewmodel import Frame, Line, Span
from tui.why import Asked, headline, lines, why
from tui.widgets.gate_tables import GateBoard, TripsTable
from tui.widgets.line import SpanBlock, SpanLine
from tui.widgets.table_messages import EdgeReached

#: Between two questions to the engine.
ASK_S = 1.0
PAGE = 500
ACCOUNT = "account"
VIEWS = ("board", "why", "trips")


class WhyPanel(Scroll, can_focus=True):
    """The reasons, the first to stop it on top."""

    def __init__(self, *, id: str) -> None:
        self.block = SpanBlock()
        super().__init__(self.block, id=id)

    def set_lines(self, found: Sequence[Line]) -> None:
        width = max(20, self.size.width - 3)
        self.block.set_lines([row for line in found for row in wrapped(list(line), width)])


class GatesScreen(CockpitScreen):
    target = "gates"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("gates"), ("escape", "stop_reading", "Stop reading")]

    def __init__(self) -> None:
        super().__init__()
        self._scope = ""  # id of the bot whose gates are shown; "" is the account
        self._picked: tuple[str, str, str] | None = None  # bot id, exchange, symbol of the question
        self._standing: Standing | None = None
        self._asking: Future[Standing] | None = None
        self._asked_mono = float("-inf")
        self._told: Sequence[Recorded] = ()
        self._read_seq = -1
        self._ended = False
        self._view = 0

    def body(self) -> Iterable[Widget]:
        self.headline = SpanLine(id="headline")
        self.board = GateBoard(id="gates")
        self.why = WhyPanel(id="why")
        self.why.border_title = "why is it not trading?"
        self.trips = TripsTable(id="trips")
        self._pager = Pager(self.cockpit, self.trips, "older trips")
        yield self.headline
        yield self.board
        yield self.why
        yield self.trips

    def on_mount(self) -> None:
        self._show_view()
        super().on_mount()

    # -- painting ----------------------------------------------------------------------------------------------------

    def paint(self, frame: Frame) -> None:
        snapshot = frame.snapshot
        if snapshot is None:
            return
        client = self.cockpit.client
        if not isinstance(client, Standings):
            self._standing = None
        elif frame.mono - self._asked_mono >= ASK_S and self._asking is None:
            self._asked_mono = frame.mono
            asked = self._question(snapshot)
            self._asking = client.standing(self._scope or asked.bot, asked.exchange, asked.symbol)
            self.cockpit.wait_for(self._asking, self._came)
        self._paint_trips(snapshot)
        self._paint_now(snapshot)

    def _came(self, done: Future[Any]) -> None:
        self._asking = None
        if not done.cancelled() and done.exception() is None:
            self._standing = done.result()
            snapshot = self.cockpit.frame.snapshot
            if snapshot is not None and self.is_mounted and self.cockpit.frame.frozen_since is None:
                self._paint_now(snapshot)

    def _paint_now(self, snapshot: Snapshot) -> None:
        names = {bot.id: bot.name for bot in snapshot.bots}
        if self._scope and self._scope not in names:
            self._scope = ""
        name = f"bot {safe_text(names[self._scope], 24)}" if self._scope else ACCOUNT
        self.board.paint(self._lines(snapshot), name)
        asked = self._question(snapshot)
        reasons = why(snapshot, asked, self._standing, self._told)
        self.headline.set_line([Span(" "), *headline(asked, reasons)])
        self.why.border_subtitle = safe_text(f"bot {asked.name or 'none'}  {asked.symbol or 'no symbol'}", 60)
        self.why.set_lines(lines(reasons))

    def _lines(self, snapshot: Snapshot) -> tuple[GateLine, ...]:
        """The gates of the scope; of a moment of the past those of the account, as the journal has them."""
        if self._standing is not None:
            found = tuple(line for line in self._standing.gates if line.bot == self._scope)
            if found or self._scope:
                return found
        return tuple(
            GateLine(
                bot="", number="", gate=g.gate, verdict=g.verdict, standing=True, actual=g.actual, limit=g.limit,
                hard="" if g.used is None else g.limit, unit=g.unit, used=g.used,
                blocked_ts=g.blocked_ts, blocked_what=g.blocked_what,
            )
            for g in snapshot.gates
        )  # fmt: skip

    def _question(self, snapshot: Snapshot) -> Asked:
        """Whom the reasons are about: what was picked, else the first bot on its first symbol."""
        offered = self._offered(snapshot)
        picked = self._picked if self._picked in offered else None
        if picked is None:
            picked = next((one for one in offered if one[0] == self._scope), offered[0] if offered else ("", "", ""))
        name = next((bot.name for bot in snapshot.bots if bot.id == picked[0]), "")
        return Asked(picked[0], name, picked[1], picked[2])

    def _offered(self, snapshot: Snapshot) -> list[tuple[str, str, str]]:
        """Every bot on every symbol that it trades."""
        markets = [(mark.exchange, mark.symbol) for mark in snapshot.marks]
        found = []
        for bot in snapshot.bots:
            own = [m for m in markets if "*" in bot.symbols or m[1] in bot.symbols]
            found += [(bot.id, *market) for market in own] or [(bot.id, "", "")]
        return found

    # -- history -----------------------------------------------------------------------------------------------------

    def _paint_trips(self, snapshot: Snapshot) -> None:
        book = self.cockpit.log_book
        if book.seq == self._read_seq:
            return
        first, self._read_seq = self._read_seq < 0, book.seq
        self._told = tuple(book.entries)
        self.trips.add(self._told, book.bots)
        if first:
            self._read_older(None)

    def _read_older(self, before: int | None) -> None:
        history = self.cockpit.client.history
        if isinstance(history, GateHistory) and not self._pager.reading:
            self._pager.ask(history.gate_changes(before, PAGE), self._older_came)

    def _older_came(self, page: Sequence[Recorded]) -> None:
        self.trips.add(page, self.cockpit.log_book.bots)
        self._ended = len(page) < PAGE

    def on_virtual_table_edge_reached(self, event: EdgeReached) -> None:
        event.stop()
        if event.table is not self.trips or event.top:
            return
        if self._ended or self.trips.full:
            self.trips.note("nothing is older" if self._ended else "enough for a screen; 3 has them all")
        else:
            self._read_older(self.trips.oldest)

    def forget(self) -> None:
        """Another moment is shown: what was read of the one before must go."""
        super().forget()
        self._pager.stop()
        self._standing, self._told, self._read_seq, self._ended = None, (), -1, False
        self._asked_mono = float("-inf")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._pager.reading if action == "stop_reading" else True

    def action_stop_reading(self) -> None:
        self._pager.stop()

    # -- keys --------------------------------------------------------------------------------------------------------

    def action_pick_scope(self) -> None:
        """Whose gates are shown."""
        snapshot = self.cockpit.frame.snapshot
        if snapshot is None:
            return
        ids = {ACCOUNT: ""} | {safe_text(bot.name, 60): bot.id for bot in snapshot.bots}
        current = next((name for name, bot_id in ids.items() if bot_id == self._scope), ACCOUNT)
        beside = {bot.id: f"{bot.status} {bot.state}" for bot in snapshot.bots}
        choices = [(name, beside.get(bot_id, "all bots together")) for name, bot_id in ids.items()]

        def picked(name: str | None) -> None:
            if name is not None:
                self._scope, self._picked = ids.get(name, ""), None
                self._now()

        self.app.push_screen(PickDialog("gates of", choices, current), picked)

    def action_pick_question(self) -> None:
        """Which bot on which symbol the reasons are about."""
        snapshot = self.cockpit.frame.snapshot
        if snapshot is None:
            return
        offered = self._offered(snapshot)
        if not offered:
            self.cockpit.toast("there is no bot: make a config with one, 6", failed=True)
            return
        names = {bot.id: safe_text(bot.name, 40) for bot in snapshot.bots}
        by_text = {f"{names[one[0]]}  {safe_text(one[2], 30)} {safe_text(one[1], 16)}": one for one in offered}
        asked = self._question(snapshot)
        current = next((t for t, one in by_text.items() if one == (asked.bot, asked.exchange, asked.symbol)), "")

        def picked(text: str | None) -> None:
            if text is not None:
                self._picked = by_text.get(text)
                self._scope = self._picked[0] if self._scope and self._picked else self._scope
                self._now()

        self.app.push_screen(PickDialog("why does it not trade?", [(t, "") for t in by_text], current), picked)

    def _now(self) -> None:
        self._asked_mono = float("-inf")
        if self.is_mounted:
            self.cockpit.tick()

    def action_next_view(self) -> None:
        self._view = (self._view + 1) % len(VIEWS)
        self._show_view()

    def _show_view(self) -> None:
        """On a small screen one of the three at a time; on a large one all of them."""
        for at, name in enumerate(VIEWS):
            self.set_class(at == self._view, f"-view-{name}")
        self.board.note("v: why, trips" if self.has_class("-w80") else "")
        shown = (self.board, self.why, self.trips)[self._view]
        self.call_after_refresh(shown.focus)
