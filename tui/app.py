"""The cockpit: a Textual app that looks at an engine through `EngineClient` and never runs a part of it.

The engine lives on its own thread (decisions.md 19). Two or four times a second the app reads the newest snapshot and repaints
what changed; it never waits for the engine, the database or the network. Whatever happens to the screen, the engine goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.screen import Screen
from textual.worker import Worker

from engine.client import ConfigLine, EngineClient, EquityPoint, Outcome, Snapshot
from engine.core.text import safe_text
from engine.core.types import Verb
from tui import crash
from tui.actions import bindings, find, remap
from tui.alerts import Alerts
from tui.bell import BellRinger
from tui.killing import KillKeys
from tui.ordering import OrderKeys
from tui.pacing import Pace
from tui.past import OF_THE_PRESENT, TimeKeys, Travelling
from tui.raster import GraphSymbol
from tui.replaying import ReplayKeys
from tui.screens.base import LEAST_HEIGHT, LEAST_WIDTH, CockpitScreen
from tui.screens.dialog import DetailDialog, Dialog
from tui.screens.palette import Palette
from tui.screens.starting import STARTING, StartingScreen, late
from tui.screens.welcome import FirstRun, WelcomeDialog
from tui.settings import Settings
from tui.sizing import grow
from tui.theme import THEMES
from tui.viewmodel import Frame, banners
from tui.watch import Watch
from tui.widgets.line import KeyBar
from tui.widgets.logbook import LogBook

#: Events are read at most this often, the equity curve at most that often: 7 kB a repaint each at 200x50.
LOG_S, CURVE_S = 1.0, 2.0
#: What lies under a dialog is shown anew this often: each time costs the whole screen again, 28 kB at 200x50.
BENEATH_S = 4.0
#: A screen error stays in the banner this long after it was last seen.
PROBLEM_SHOWN_S = 60.0
#: An answer of the engine is looked for this soon after a command, and at every refresh.
ANSWER_POLL_S = 0.05
#: Results of `run()`, and the process's exit codes when the caller passes them on.
RETURN_STOPPED = 0
RETURN_TERMINAL_LOST = 129


class CockpitApp(Travelling, crash.CockpitApp[int]):
    """The screen of one engine. `run()` returns RETURN_STOPPED or RETURN_TERMINAL_LOST, or None after a screen error.

    `client` is the only door to the engine. `actor` is whom the audit trail names. `clock` is monotonic seconds, the same
    clock as the snapshot's `*_mono` fields. With `read_only` every command is refused, the kill key's too.
    """

    TITLE = "quantsail"
    # A bare name would be looked for beside the file of a subclass.
    CSS_PATH = str(Path(__file__).with_name("cockpit.tcss"))
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        name: late(name)
        for name in ("dashboard", "orders", "events", "charts", "gates", "configs", "bots", "operations")
    }
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app")]
    HORIZONTAL_BREAKPOINTS = [
        (0, "-tiny"),
        (LEAST_WIDTH, "-w80"),
        (120, "-w120"),
        (180, "-w200"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (LEAST_HEIGHT, "-h24"), (36, "-h40")]
    NOTIFICATION_TIMEOUT = 4

    def __init__(
        self,
        client: EngineClient,
        *,
        crash_log: Path | None,
        read_only: bool = False,
        actor: str = "cockpit",
        watch: Watch | None = None,
        welcomed: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = watch.settings if watch is not None else Settings()
        # Textual builds its first stack of screens from this name.
        self.DEFAULT_MODE = self.settings.start_screen if client.snapshot() is not None else STARTING  # type: ignore[misc]
        super().__init__(crash_log=crash_log)
        self.add_mode(STARTING, StartingScreen)
        self.engine = client
        self.read_only = read_only
        self.actor = actor
        self.graph_symbol: GraphSymbol = self.settings.marker
        self.clock = clock
        self.animation_level = "none"
        self.watcher = watch
        self.bells = BellRinger(self.bell, clock)
        self.first_run = FirstRun(welcomed)
        self.alerts = Alerts(self)
        self.replay = ReplayKeys(self)
        self.ordering = OrderKeys(self)
        self.killing = KillKeys(self)
        self.past = TimeKeys(self)
        self.now_book = LogBook()
        self.now_curve: Sequence[EquityPoint] = ()
        self.problem = ""
        self._problem_mono = 0.0
        self._frozen_since: float | None = None
        self._log_mono = self._curve_mono = self._beneath_mono = float("-inf")
        self._loud: list[str] = []
        self._curve_seq = -1
        self._pending: list[tuple[Future[Any], Callable[[Future[Any]], None]]] = []
        self.lends_terminal = False
        self._use(self.settings)
        self.frame = self.present = self.look()

    def on_mount(self) -> None:
        self.pace = Pace(self, self.tick)

    def on_ready(self) -> None:
        self.call_after_refresh(self._open_first)

    def _open_first(self) -> None:
        """The first screen with panels, once something is painted. A dialog over the picture before it is answered first."""
        if self.current_mode == STARTING and len(self.screen_stack) == 1:
            self.switch_mode(self.settings.start_screen)
            self.remove_mode(STARTING)

    def _use(self, settings: Settings) -> None:
        """Theme, bell and keys at once; mouse, charts and the first screen count from the next start."""
        before, self.settings = self.settings, settings
        self.bells.wanted = settings.bell
        # A theme chosen by key stays when something else changes.
        if settings.theme != before.theme or not self.is_running:
            self.theme = f"quantsail-{settings.theme}"
        remap(settings.keymap)
        self.set_keymap({find(name).id: ",".join(keys) for name, keys in settings.keymap.items()})
        if self.is_running:
            for bar in self.screen.query(KeyBar):
                bar.retell()

    # -- looking at the engine ---------------------------------------------------------------------------------------

    def look(self) -> Frame:
        snapshot = self.engine.snapshot()
        return Frame(
            snapshot=snapshot,
            mono=self.clock(),
            progress=self.engine.progress(),
            problem=self.problem,
            frozen_since=self._frozen_since,
            read_only=self.read_only,
            alerts=self.alerts.open(snapshot.now) if snapshot is not None else (),
            seen=self.alerts.seen,
            notices=self.watcher.banners if self.watcher is not None else (),
        )

    def tick(self) -> None:
        """One repaint: what is equal to what is shown costs a comparison and writes nothing."""
        self.killing.panic.beat()
        try:
            self._refresh()
            self.pace.saw(self.present, dialog=len(self.screen_stack) > 1)
        except Exception as error:
            # As in CockpitScreen.show: an answer or a view that we cannot handle is said, and the keys go on working.
            self.report(error)

    def _refresh(self) -> None:
        self._poll_answers()
        self._open_first()
        if self.watcher is not None and self.watcher.settings is not self.settings:
            self._use(self.watcher.settings)
        if self.problem and self.clock() - self._problem_mono > PROBLEM_SHOWN_S:
            self.problem = ""
        self.present = present = self.look()
        self.frame = frame = self.past.over(present)
        if present.snapshot is not None:
            self._read_slowly(present.mono, present.snapshot)
            if len(self.screen_stack) == 1 and self.first_run.due():
                self.push_screen(WelcomeDialog(), lambda _: self.first_run.remember())
        self.killing.catch_up()
        beneath = len(self.screen_stack) > 1 and self._due_beneath(frame)
        for screen in self.screen_stack if beneath else self.screen_stack[-1:]:
            if isinstance(screen, CockpitScreen | Dialog | Palette) and screen.is_mounted:
                screen.show(present if getattr(screen, "of_now", False) else frame)

    def _due_beneath(self, frame: Frame) -> bool:
        """Whether what lies under a dialog is shown anew: now and then, and when its banner may be seen to change."""
        loud = [banner.key for banner in banners(frame) if banner.key not in frame.seen]
        due = loud != self._loud or frame.mono - self._beneath_mono >= BENEATH_S
        if due:
            self._beneath_mono, self._loud = frame.mono, loud
        return due

    def _read_slowly(self, mono: float, snapshot: Snapshot) -> None:
        """Events and curve: whole panels are painted anew with them, so that they come less often than ticks."""
        if self.past.home is not None:
            return  # nothing comes any more
        seq = snapshot.seq
        if seq != self.now_book.seq and mono - self._log_mono >= LOG_S:
            self._log_mono = mono
            self.now_book.bots |= {bot.id: bot.name for bot in snapshot.bots}
            found = self.now_book.read(self.engine, seq)
            self.alerts.read(found)
            self.bells.read(found)
        if seq != self._curve_seq and mono - self._curve_mono >= CURVE_S:
            self._curve_mono, self._curve_seq = mono, seq
            self.now_curve = self.engine.equity()

    def report(self, error: Exception) -> None:
        """Show an error of the screen in the banner, once, and log it without values."""
        problem = crash.where(error)
        self._problem_mono = self.clock()
        if problem != self.problem:
            self.problem = problem
            if self.crash_log is not None:
                crash.write_crash_log(self.crash_log, error)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        error = event.worker.error
        if isinstance(error, Exception):
            self.report(error)

    # -- commands ----------------------------------------------------------------------------------------------------

    def may_command(self) -> bool:
        """Whether commands may be given from here; says so if not."""
        if self.past.client is not None:
            self.toast(self.past.refusal, failed=True)
        elif self.read_only:
            self.toast("read-only: this cockpit gives no commands; start it without --view", failed=True)
        return self.commands

    def ask(
        self,
        verb: Verb,
        answered: Callable[[Outcome], None],
        *,
        reason: str = "",
        version: int = 0,
        target: str = "",
    ) -> None:
        """Submit a command; `answered` is called on the UI loop with the engine's answer, or with why there is none."""
        if self.read_only or (self.past.client is not None and verb not in OF_THE_PRESENT):
            answered(Outcome(False, "read-only" if self.read_only else self.past.refusal))
            return
        policy = "keep_with_exits" if verb is Verb.HALT else ""
        future = self.engine.submit(
            verb, actor=self.actor, reason=reason, version=version, policy=policy, target=target
        )
        self.wait_for(future, lambda done: answered(_outcome(done)))

    def ask_configs(self, listed: Callable[[Sequence[ConfigLine], str], None]) -> None:
        """Ask for the list of config versions; `listed` gets it, or an empty one and the problem."""

        def arrived(done: Future[Any]) -> None:
            error = done.exception()
            listed((), _words(error)) if error is not None else listed(done.result(), "")

        self.wait_for(self.client.configs(), arrived)

    def wait_for(self, future: Future[Any], arrived: Callable[[Future[Any]], None]) -> None:
        """Call `arrived` on this loop with a future that has its answer, its error, or was cancelled."""
        # Polled on this loop: a callback of the engine's thread must not touch a widget.
        self._pending.append((future, arrived))
        self.set_timer(ANSWER_POLL_S, self._poll_answers)

    def _poll_answers(self) -> None:
        done = [entry for entry in self._pending if entry[0].done()]
        self._pending = [entry for entry in self._pending if not entry[0].done()]
        for future, arrived in done:
            try:
                arrived(future)
            except Exception as error:  # one that cannot be shown must not end the screen, nor keep the others back
                self.report(error)

    def toast(self, text: str, *, failed: bool = False) -> None:
        """A short word about the operator's own action, in the place of the one before: a pile of them hides the screen."""
        self.clear_notifications()
        self.notify(safe_text(text, 300), severity="warning" if failed else "information", markup=False)

    def told(self, outcome: Outcome) -> None:
        self.toast(outcome.text if outcome.done else f"REFUSED: {outcome.text}", failed=not outcome.done)

    # -- kill --------------------------------------------------------------------------------------------------------

    def panic_key(self, key: str) -> None:
        """Called by the driver's input thread for every F9 and Ctrl+K; acts only when this loop is blocked."""
        if not self.read_only:
            self.killing.panic.press()

    def action_kill(self) -> None:
        self.killing.press()

    # -- leaving -----------------------------------------------------------------------------------------------------

    def terminal_lost(self) -> None:
        """Nobody sees this screen any more: it ends, the engine goes on. A hold without an answer becomes PAUSE."""
        self._leave(RETURN_TERMINAL_LOST)

    def _leave(self, code: int) -> None:
        self.killing.leave()
        self.exit(code, return_code=code)

    async def action_quit(self) -> None:
        """Ask; a second Ctrl+Q is the answer."""
        from tui.screens.plain import QuitDialog

        if self.past.home is not None:
            self._leave(RETURN_STOPPED)  # no engine ends with it
        elif isinstance(self.screen, QuitDialog):
            self.screen.action_stop()
        else:
            self.push_screen(QuitDialog(self.look()), self._quit_answered)

    def _quit_answered(self, stop: bool | None) -> None:
        if stop:
            self._leave(RETURN_STOPPED)

    # -- keys --------------------------------------------------------------------------------------------------------

    def action_screen(self, name: str) -> None:
        if name != self.current_mode:
            self.switch_mode(name)

    def action_resume(self) -> None:
        from tui.screens.typed import ResumeDialog

        snapshot = self.engine.snapshot()
        if snapshot is not None and snapshot.state == "ACTIVE" and not snapshot.held:
            self.toast("trading is ACTIVE already", failed=True)
        elif self.may_command() and not isinstance(self.screen, Dialog):
            self.push_screen(ResumeDialog(self.look()))

    def action_help(self) -> None:
        from tui.screens.plain import HelpDialog

        self.push_screen(HelpDialog())

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, Palette | Dialog):
            self.push_screen(Palette())

    def show_detail(self, heading: str, rows: Sequence[tuple[str, str]]) -> None:
        """Open the detail dialog over the screen."""
        self.push_screen(DetailDialog(heading, rows))

    def action_grow(self, lines: str) -> None:
        focused = self.screen.focused
        if focused is None or not grow(focused, int(lines)):
            self.toast("no room: there is no other panel in this column to take lines from", failed=True)

    def action_freeze(self) -> None:
        self._frozen_since = self.clock() if self._frozen_since is None else None
        self.tick()

    def action_maximise(self) -> None:
        screen = self.screen
        if screen.maximized is not None:
            screen.minimize()
        elif screen.focused is not None:
            screen.maximize(screen.focused, container=False)

    def action_theme(self) -> None:
        names = [theme.name for theme in THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)] if self.theme in names else names[0]
        self.toast(f"theme {self.theme}")

    def action_acknowledge(self) -> None:
        self.alerts.acknowledge()

    def action_alerts(self) -> None:
        self.alerts.show()

    def action_cancel_order(self) -> None:
        self.ordering.cancel_selected()

    def action_close_position(self) -> None:
        self.ordering.close_selected()


def _outcome(done: Future[Any]) -> Outcome:
    error = done.exception()
    return Outcome(False, _words(error)) if error is not None else done.result()


def _words(error: BaseException) -> str:
    return safe_text(f"{error}" or type(error).__name__, 200)
