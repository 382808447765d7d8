"""The cockpit's own reads: a thread, a loop and a small pool beside the engine's, so that a slow query slows nobody down.

Neither the screen's loop nor the engine's ever waits for one of these: every read is a `Future`, which can be cancelled.
Nothing is started before the first read.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
#: What a read gets: an asyncpg connection whose search path begins with qs.
Work = Callable[[Any], Coroutine[Any, Any, T]]

POOL_MAX = 2
#: A database that accepts and never answers must not keep a word like "loading" on the screen for ever.
READ_TIMEOUT_S = 20.0


class ReadFailed(Exception):
    """What was asked for could not be read or written; one line why."""


class Reader:
    """Reads one ledger's database as its operator. Any thread may ask."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pool: Any = None
        self._making: asyncio.Lock | None = None

    def read(self, work: Work[T]) -> Future[T]:
        """Run `work` on a connection that may only look. The future raises ReadFailed."""
        return asyncio.run_coroutine_threadsafe(_answered(self._read(work)), self._running())

    def go(self, task: Coroutine[Any, Any, T]) -> Future[T]:
        """Run something of many reads on the reading thread; no bound on its time. Cancelling the future ends it."""
        return asyncio.run_coroutine_threadsafe(task, self._running())

    async def use(self, work: Work[T]) -> T:
        """As `read`, for what runs on the reading thread. Raises ReadFailed."""
        return await _answered(self._read(work))

    def write(self, work: Work[T]) -> Future[T]:
        """Run `work` on a connection of its own, with the rights of the operator's program. The future raises ReadFailed."""
        return asyncio.run_coroutine_threadsafe(_answered(self._write(work)), self._running())

    def close(self) -> None:
        """Drop the connections at once; what is under way fails, and nothing can be asked any more."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(self._end, loop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="cockpit reads", daemon=True).start()
            return self._loop

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._pool is not None:
            self._pool.terminate()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.call_later(0.1, loop.stop)

    async def _read(self, work: Work[T]) -> T:
        from db.connect import OPERATOR, acquire, create_pool

        if self._making is None:
            self._making = asyncio.Lock()
        async with self._making:
            if self._pool is None:
                self._pool = await create_pool(
                    self._dsn, "qs_view", name="quantsail cockpit", min_size=0, max_size=POOL_MAX
                )
        async with acquire(self._pool, OPERATOR) as conn:
            return await work(conn)

    async def _write(self, work: Work[T]) -> T:
        from db.connect import OPERATOR, connect

        conn = await connect(self._dsn, "qs_app", user=OPERATOR, name="quantsail cockpit")
        try:
            return await work(conn)
        finally:
            await conn.close()


async def _answered(work: Coroutine[Any, Any, T]) -> T:
    from db.connect import BROKEN, ConnectError

    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            return await work
    except TimeoutError as error:
        raise ReadFailed(f"the database has not answered for {READ_TIMEOUT_S:.0f} s") from error
    except (ConnectError, *BROKEN) as error:
        raise ReadFailed(" ".join(str(error).split()) or type(error).__name__) from error
