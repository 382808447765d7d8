"""The engine on its own thread and loop, in the cockpit's process: no slow terminal and no widget can stop it."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from typing import TYPE_CHECKING

from engine import logs
from engine.cli.exits import code_of, one_line
from engine.local import LocalClient
from engine.options import Options

if TYPE_CHECKING:
    from engine.app import Session

#: How long Python code of one thread may keep the interpreter from the others. The default of 5 ms is a visible lag at the
#: kill key when the engine replays at full speed (decisions.md 19).
SWITCH_INTERVAL_S = 0.001
STOP_TIMEOUT_S = 20.0


class EngineHost:
    """Starts a session on a thread; `client` works at once, from any thread. `error` is why the engine ended, if it did."""

    def __init__(self, options: Options, client: LocalClient) -> None:
        self.client = client
        self.error = ""
        self.exit_code = 0
        self._options = options
        self._session: Session | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._stopping = ""

    def start(self) -> None:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread.start()

    def stop(self, why: str) -> None:
        """Ask for a safe stop; `join` waits for it."""
        self._stopping = why
        session, loop = self._session, self._loop
        if session is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(session.stop, why)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def join(self, timeout_s: float | None = None) -> bool:
        """True when the engine has ended."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        import structlog  # as late as the log is set up: the first screen does not wait for it

        logs.set_up()
        try:
            asyncio.run(self._main())
        except Exception as error:
            self.error, self.exit_code = one_line(error), int(code_of(error))
            logs.record_crash(error)
            structlog.get_logger(__name__).error("engine.stopped", reason=self.error, kind=type(error).__name__)
        self.client.detach(self.error)

    async def _main(self) -> None:
        from engine.app import Session

        session = Session(self._options, self.client)
        await session.boot()
        gc.collect()
        gc.freeze()  # what the start made lives on; collections need not look at it again
        self._session, self._loop = session, asyncio.get_running_loop()
        if self._stopping:
            session.stop(self._stopping)
        await session.serve()
