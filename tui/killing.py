"""The kill key in the cockpit: hold at once, ask, then halt. What a press did while the screen was blocked is not done twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.client import Outcome
from engine.core.types import Verb
from tui.screens.kill import KillDialog, NoKillDialog, PanicKey, Pressed

if TYPE_CHECKING:
    from tui.app import CockpitApp

_REASONS = {
    Verb.HALT: "kill key",
    Verb.PAUSE: "the kill dialog was not answered",
    Verb.RELEASE: "released in the kill dialog",
}


class KillKeys:
    """Level 3 of the danger levels (cockpit.md). `panic` is the key as the driver's input thread sees it."""

    def __init__(self, app: CockpitApp) -> None:
        self._app = app
        self._dialog: KillDialog | None = None
        self.panic = PanicKey(app.clock, self._submit)

    def _submit(self, verb: Verb) -> None:
        """Any thread, no waiting, no answer needed."""
        self._app.engine.submit(verb, actor=self._app.actor, reason="kill key, cockpit not responding")

    def press(self) -> None:
        """First press: hold at once, then ask. Second press: halt. It is about now, whatever is on the screen."""
        app = self._app
        if app.read_only:
            self._say_who_can_kill()
            return
        if app.past.client is not None:
            app.toast("PAST is on the screen: the kill key works on NOW", failed=True)
        pressed = self.panic.taken()
        if pressed is not None:
            self._pressed_before(pressed)
        elif self._dialog is not None:
            self._dialog.settle(Verb.HALT)
        else:
            app.ask(Verb.HOLD, self._held, reason="kill key")
            self._open(app.clock())

    def catch_up(self) -> None:
        """Show what a press did whose key never came."""
        pressed = self.panic.leftover()
        if pressed is not None:
            self._pressed_before(pressed)

    def leave(self) -> None:
        """Nobody will answer any more: an open hold becomes PAUSE."""
        if self._dialog is not None:
            self._dialog.close_answered(Verb.PAUSE)
            self._decided(Verb.PAUSE)

    def _say_who_can_kill(self) -> None:
        """A screen that only looks must not be taken for one that stops."""
        if not isinstance(self._app.screen, NoKillDialog):
            snapshot = self._app.frame.snapshot
            self._app.push_screen(NoKillDialog(snapshot.ledger if snapshot is not None else ""))

    def _held(self, outcome: Outcome) -> None:
        if not outcome.done:
            self._app.told(outcome)

    def _pressed_before(self, pressed: Pressed) -> None:
        """A press that the input thread has acted upon: show it, do not do it again."""
        if pressed.verb is Verb.HOLD:
            if self._dialog is None:
                self._open(pressed.mono)
        else:
            if self._dialog is not None:
                self._dialog.close_answered(Verb.HALT)
                self._dialog = None
            self._app.toast("HALT was given by the key while the screen did not respond", failed=True)

    def _open(self, pressed_mono: float) -> None:
        self._dialog = KillDialog(self._app.look(), pressed_mono, self._decided)
        self._app.push_screen(self._dialog)

    def _decided(self, verb: Verb) -> None:
        self._dialog = None
        self._app.ask(verb, self._app.told, reason=_REASONS[verb])
