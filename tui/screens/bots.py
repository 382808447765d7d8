"""Screen 7: bots and their strategies. Start, pause, stop, resume and clear an error by key; each asks first."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget
from textual.widgets import Input, Label

from engine.client import BotView, EngineClient, Snapshot
from engine.core.text import safe_text
from engine.core.types import Verb
from engine.standing import Standing, Standings
from tui.actions import bindings
from tui.botlines import bot_lines
from tui.glyphs import levels
from tui.screens.asking import AskingScreen, LinesPanel
from tui.screens.confirm import ConfirmDialog
from tui.screens.dialog import Dialog, Scroll, keys_line, prose
from tui.story import wrapped
from tui.viewmodel import Frame, Line, Span
from tui.widgets.bot_table import BotTable
from tui.widgets.line import SpanBlock
from tui.widgets.panel import COPY_MAX, Panel
from tui.widgets.table_messages import RowSelected


class BotsScreen(AskingScreen[Standing]):
    target = "bots"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("bots")]

    def body(self) -> Iterable[Widget]:
        self.bots = BotTable(id="bots")
        self.about = LinesPanel(id="about")
        self.about.border_title = "about the bot under the cursor"
        yield self.bots
        yield self.about

    def ask(self, client: EngineClient, snapshot: Snapshot) -> Future[Standing] | None:
        bot = self.bots.selected() or next(iter(snapshot.bots), None)
        return client.standing(bot.id if bot is not None else "") if isinstance(client, Standings) else None

    def paint_answer(self, frame: Frame, snapshot: Snapshot) -> None:
        self.bots.note("S start  P pause  D stop  R resume  C clear error" if self.has_class("-w80") else "")
        blocks = levels(self.cockpit.graph_symbol)
        self.bots.paint(snapshot, self.answer, self.cockpit.client.trades(), blocks)
        self.about.set_lines(self._about(snapshot))

    def _about(self, snapshot: Snapshot) -> list[Line]:
        bot = self.bots.selected()
        if bot is None:
            return [[Span("A bot's strategy, its rules, its warm-up and its last error are shown here.", "dim")]]
        return bot_lines(snapshot, bot, self.answer)

    def on_panel_moved(self, event: Panel.Moved) -> None:
        """Its rules are asked for at once."""
        event.stop()
        self.ask_again()

    def on_virtual_table_row_selected(self, event: RowSelected) -> None:
        event.stop()
        snapshot, bot = self.cockpit.frame.snapshot, self.bots.selected()
        if snapshot is not None and bot is not None:
            self.app.push_screen(BotDialog(bot.name, bot_lines(snapshot, bot, self.answer)))

    # -- commands ----------------------------------------------------------------------------------------------------

    def action_start_bot(self) -> None:
        bot = self._selected()
        if bot is not None and bot.status == "ERROR":
            self._ask(ClearError(bot))
        elif bot is not None and self._may(bot, bot.status == "STOPPED", f"it is {bot.status} already"):
            self._ask(StartBot(bot))

    def action_clear_error(self) -> None:
        bot = self._selected()
        if bot is not None and self._may(bot, bot.status == "ERROR", "it has no error"):
            self._ask(ClearError(bot))

    def action_stop_bot(self) -> None:
        bot = self._selected()
        stopped = bot is not None and bot.status in ("STOPPED", "ERROR")
        if bot is not None and self._may(bot, not stopped, f"it is {bot.status} already"):
            self._ask(StopBot(bot))

    def action_pause_bot(self) -> None:
        bot = self._selected()
        if bot is not None and self._may(bot, bot.state == "ACTIVE", f"it is {bot.state} already"):
            self._ask(PauseBot(bot))

    def action_resume_bot(self) -> None:
        bot = self._selected()
        if bot is not None and self._may(bot, bot.state != "ACTIVE", "it may trade already"):
            self._ask(ResumeBot(bot))

    def _selected(self) -> BotView | None:
        bot = self.bots.selected()
        if bot is None:
            self.cockpit.toast("there is no bot here: make a config with one, 6", failed=True)
        return bot

    def _may(self, bot: BotView, fits: bool, words: str) -> bool:
        if not fits:
            self.cockpit.toast(f"{safe_text(bot.name, 40)}: {safe_text(words, 80)}", failed=True)
        return fits

    def _ask(self, dialog: BotCommand) -> None:
        if self.cockpit.may_command():
            self.app.push_screen(dialog)


class BotDialog(Dialog[None]):
    """The drawer: everything known of a bot, with the traceback of its error."""

    BINDINGS: ClassVar[list[BindingType]] = [("enter", "leave", "Back"), ("q", "leave", "Back"), ("y", "copy", "Copy")]

    def __init__(self, name: str, lines: list[Line]) -> None:
        super().__init__()
        self.heading = f"bot {safe_text(name, 60)}"
        self._lines = lines

    def body(self) -> Iterable[Widget]:
        width = max(20, min(self.app.size.width, 120) - 6)
        yield Scroll(SpanBlock([row for line in self._lines for row in wrapped(line, width)], id="bot"))
        yield keys_line(("Esc", "back"), ("j k", "scroll"), ("y", "copy"))

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.query_one("#bot", SpanBlock).plain[:COPY_MAX])
        self.cockpit.toast("copied all of it")


class BotCommand(ConfirmDialog):
    """One command to one bot; a reason goes into the journal."""

    word: ClassVar[str]
    says: ClassVar[str]
    needs_reason: ClassVar[bool] = False

    def __init__(self, bot: BotView) -> None:
        super().__init__(bot.id)
        self._bot = bot
        self.heading = f"{self.word} - bot {safe_text(bot.name, 40)}"

    def text(self) -> Iterable[Widget]:
        b = self._bot
        yield prose(self.says, "strong")
        kept = f"{b.positions} position{'s' * (b.positions != 1)} of it stay open and keep their exits."
        yield prose(kept if b.positions else "It holds no position.")
        yield Label(f"Reason{'' if self.needs_reason else ' (may be empty)'}, kept in the journal", markup=False)
        yield Input(id="reason", max_length=200, select_on_focus=False)

    def reason(self) -> str:
        return self.query_one("#reason", Input).value.strip()

    def lacks(self) -> str:
        return "a reason is needed: it is kept in the audit trail" if self.needs_reason and not self.reason() else ""

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one("#go").focus()

    def now(self, frame: Frame) -> str:
        bots = frame.snapshot.bots if frame.snapshot is not None else ()
        found = next((b for b in bots if b.id == self._bot.id), None)
        if found is None:
            return "it is not there any more"
        return safe_text(f"{found.status}, {found.state}, {found.positions} positions", 90)


class StartBot(BotCommand):
    verb, word, go_label = Verb.START_BOT, "start", "Start it"
    stay_label = "Leave it stopped"
    says = "It begins again with a fresh strategy: it warms up, and trades when it is warm."


class ClearError(StartBot):
    word, go_label = "clear the error", "Clear and start"
    says = "The error is cleared: the bot begins again with a fresh strategy. It may fail again on the same data."

    def text(self) -> Iterable[Widget]:
        yield prose(f"Its error: {safe_text(self._bot.reason, 200) or 'not recorded'}")
        yield from super().text()


class StopBot(BotCommand):
    verb, word, go_label = Verb.STOP_BOT, "stop", "Stop it"
    stay_label = "Let it run"
    says = "No new entry of it; open entries are cancelled. START makes it begin again, with a warm-up."


class PauseBot(BotCommand):
    verb, word, go_label = Verb.PAUSE, "pause", "Pause it"
    stay_label = "Let it trade"
    says = "No new entry of it until a person resumes it; its indicators go on."


class ResumeBot(BotCommand):
    verb, word, go_label = Verb.RESUME, "resume", "Resume it"
    stay_label = "Leave it"
    says = "It may enter again. Its row of losses and its window of entries begin anew."
    needs_reason = True

    def text(self) -> Iterable[Widget]:
        b = self._bot
        who = safe_text(b.state_actor, 40) or "unknown"
        why = safe_text(b.state_reason, 120) or "no reason given"
        yield prose(f"{safe_text(b.state, 12)} by {who}: {why}")
        yield from super().text()
