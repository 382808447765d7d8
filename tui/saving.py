"""Export: a new file below the data folder, written on a thread, and a word about where it went."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from engine import paths
from tui.exporting import ExportError, write_new

if TYPE_CHECKING:
    from tui.app import CockpitApp


def export(app: CockpitApp, name: str, suffix: str, make: Callable[[], str], what: str) -> None:
    """Write what `make` gives; `make` is called on the thread and must not touch a widget."""
    ledger = app.frame.snapshot.ledger if app.frame.snapshot is not None else "quantsail"
    stem = f"{ledger}-{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"

    def write() -> None:
        try:
            path = write_new(paths.data_home() / "exports", stem, suffix, make())
        except ExportError as error:
            app.call_from_thread(app.toast, f"not exported: {error}", failed=True)
        else:
            app.call_from_thread(app.toast, f"{what} exported to {path}")

    app.run_worker(write, thread=True, exit_on_error=False)
