"""Screen 5: the gates of the account or of a bot, why it is not trading, and the history of trips; now or at a past moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from engine.client import EngineClient, Snapshot
from engine.core.events import Recorded
from engine.core.text import safe_text
from engine.history import GateHistory
from engine.standing import GateLine, Standing, Standings
from tui.actions import bindings
from tui.paging import Pager
from tui.screens.asking import AskingScreen, LinesPanel
from tui.screens.picker import PickDialog
from tui.viewmodel import Frame, Span
from tui.why import Asked, headline, lines, why
from tui.widgets.gate_tables import GateBoard, TripsTable
from tui.widgets.gate_times import GateTimes
from tui.widgets.line import SpanLine
from tui.widgets.table_messages import EdgeReached

PAGE = 500
ACCOUNT = "account"
VIEWS = ("board", "why", "trips", "times")


class GatesScreen(AskingScreen[Standing]):
    target = "gates"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("gates"), ("escape", "stop_reading", "Stop reading")]

    def __init__(self) -> None:
        super().__init__()
        self._scope = ""  # id of the bot whose gates are shown; "" is the account
        self._picked: tuple[str, str, str] | None = None  # bot id, exchange, symbol of the question
        self._told: Sequence[Recorded] = ()
        self._read_seq = -1
        self._ended = False
        self._view = 0

    def body(self) -> Iterable[Widget]:
        self.headline = SpanLine(id="headline")
        self.board = GateBoard(id="gates")
        self.why = LinesPanel(id="why")
        self.why.border_title = "why is it not trading?"
        self.trips = TripsTable(id="trips")
        self.times = GateTimes(id="times")
        self._pager = Pager(self.cockpit, self.trips, "older trips")
        yield self.headline
        yield self.board
        yield self.why
        yield self.trips
        yield self.times

    def on_mount(self) -> None:
        self._show_view()
        super().on_mount()

    # -- painting ----------------------------------------------------------------------------------------------------

    def ask(self, client: EngineClient, snapshot: Snapshot) -> Future[Standing] | None:
        if not isinstance(client, Standings):
            return None
        asked = self._question(snapshot)
        return client.standing(self._scope or asked.bot, asked.exchange, asked.symbol)

    def paint_answer(self, frame: Frame, snapshot: Snapshot) -> None:
        self._paint_trips(snapshot)
        names = {bot.id: bot.name for bot in snapshot.bots}
        if self._scope and self._scope not in names:
            self._scope = ""
        name = f"bot {safe_text(names[self._scope], 24)}" if self._scope else ACCOUNT
        self.board.paint(self._lines(snapshot), name, snapshot.marks)
        self.times.show_scope(self._scope, name)
        asked = self._question(snapshot)
        reasons = why(snapshot, asked, self.answer, self._told)
        self.headline.set_line([Span(" "), *headline(asked, reasons)])
        self.why.border_subtitle = safe_text(f"bot {asked.name or 'none'}  {asked.symbol or 'no symbol'}", 60)
        self.why.set_lines(lines(reasons))

    def _lines(self, snapshot: Snapshot) -> tuple[GateLine, ...]:
        """The gates of the scope; before they have come, those of the account, as the picture has them."""
        if self.answer is not None:
            found = tuple(line for line in self.answer.gates if line.bot == self._scope)
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
        self.times.add(self._told)
        if first:
            self._read_older(None)

    def _read_older(self, before: int | None) -> None:
        history = self.cockpit.client.history
        if isinstance(history, GateHistory) and not self._pager.reading:
            self._pager.ask(history.gate_changes(before, PAGE), self._older_came)

    def _older_came(self, page: Sequence[Recorded]) -> None:
        self.trips.add(page, self.cockpit.log_book.bots)
        self.times.add(page)
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
        self.times.forget()
        self._told, self._read_seq, self._ended = (), -1, False

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
                self.ask_again()

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
                self.ask_again()

        self.app.push_screen(PickDialog("why does it not trade?", [(t, "") for t in by_text], current), picked)

    def action_next_view(self) -> None:
        self._view = (self._view + 1) % len(VIEWS)
        self._show_view()

    def _show_view(self) -> None:
        """On a small screen one of the four at a time; on a large one all of them."""
        for at, name in enumerate(VIEWS):
            self.set_class(at == self._view, f"-view-{name}")
        self.board.note("v: why, trips, over time" if self.has_class("-w80") else "")
        shown = (self.board, self.why, self.trips, self.times)[self._view]
        self.call_after_refresh(shown.focus)
