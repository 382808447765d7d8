"""Where ledgers are kept: the embedded server, one database each, or the one database of DATABASE_URL."""

from __future__ import annotations

import asyncio
from pathlib import Path

from db.embedded import EmbeddedServer, default_server
from db.migrate import MigrationResult, migrate


class Database:
    """Where the ledgers are: the embedded server, or the one database of DATABASE_URL."""

    def __init__(self, url: str, data_home: Path) -> None:
        self.url = url
        self._data_home = data_home
        self.server: EmbeddedServer | None = None
        #: The copy that `migrate` made before it changed a schema.
        self.last_backup: Path | None = None

    async def open(self, name: str) -> str:
        """DSN of a ledger's database, created and migrated. Raises EmbeddedPostgresError, ConnectError, MigrationError."""
        dsn = self.url or await asyncio.to_thread(self._embedded, name)
        await self.migrate(name)
        return dsn

    async def locate(self, name: str) -> str:
        """DSN of a ledger's database as it is: neither created nor migrated. Raises EmbeddedPostgresError."""
        return self.url or (await asyncio.to_thread(self._start)).dsn(name)

    async def migrate(self, name: str) -> MigrationResult:
        """Bring a ledger's schema up to date. Raises MigrationError, ConnectError."""
        return await migrate(await self.locate(name))

    def _start(self) -> EmbeddedServer:
        if self.server is None:
            self.server = default_server(self._data_home).start()
        return self.server

    def _embedded(self, name: str) -> str:
        server = self._start()
        server.create_database(name)
        return server.dsn(name)

    def ensure(self) -> bool:
        """Start the embedded server again if it died: True when it had to. Nothing for a foreign one."""
        return self.server is not None and self.server.ensure()

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None
