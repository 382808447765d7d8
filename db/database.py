"""Where ledgers are kept: the embedded server, one database each, or the one database of DATABASE_URL."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from db.embedded import EmbeddedPostgresError, EmbeddedServer, default_server
from db.logins import Login
from db.migrate import MigrationError, MigrationResult, migrate

if TYPE_CHECKING:
    from db.restore import Place


class Database:
    """Where the ledgers are: the embedded server, or the one database of DATABASE_URL."""

    def __init__(self, url: str, data_home: Path) -> None:
        self.url = url
        self._data_home = data_home
        self.server: EmbeddedServer | None = None
        #: The copy that `migrate` made before it changed a schema.
        self.last_backup: Path | None = None

    async def open(self, name: str) -> str:
        """DSN of a ledger's database for the application, created and migrated.

        Raises EmbeddedPostgresError, ConnectError, MigrationError.
        """
        if not self.url:
            await asyncio.to_thread(self._create, name)
        await self.migrate(name)
        return await self.locate(name)

    async def locate(self, name: str, login: Login = "qs_login") -> str:
        """DSN of a ledger's database as it is: neither created nor migrated. Raises EmbeddedPostgresError.

        As qs_admin for what works as the owner: migrations, rebuild, retention, convert, backup. DATABASE_URL is used as it
        is, whoever logs in there.
        """
        return self.url or (await asyncio.to_thread(self._start)).dsn(name, login)

    def names(self) -> list[str]:
        """Databases of the embedded server. Raises EmbeddedPostgresError."""
        return self._start().databases()

    async def migrate(self, name: str) -> MigrationResult:
        """Bring a ledger's schema up to date; an embedded one is copied first. Raises MigrationError, ConnectError."""
        dsn = await self.locate(name, "qs_admin")
        return await migrate(dsn, backup=None if self.url else partial(self._copy_first, name, dsn))

    def backups(self, name: str) -> Path:
        """Where the copies of a ledger are kept."""
        return self._data_home / "backups" / name

    async def place(self, name: str) -> Place:
        """The server of a ledger, for whoever makes and renames databases on it. Raises EmbeddedPostgresError, ConnectError."""
        from db.clients import tools_for
        from db.restore import place_of, place_of_url, server_major

        if self.url:
            return place_of_url(self.url, tools_for(await server_major(self.url)))
        return place_of(await asyncio.to_thread(self._start))

    def _copy_first(self, name: str, dsn: str, revision: str) -> None:
        """Runs in the migration's thread. Raises MigrationError: without a copy the schema stays as it is."""
        from db.backup import KEPT, BackupError, prune, save

        try:
            copy = asyncio.run(save(dsn, self.backups(name), name, self._start().binaries.tool, kind="migration"))
            prune(self.backups(name), KEPT, "migration")
        except (BackupError, EmbeddedPostgresError, OSError) as error:
            raise MigrationError(
                f"the schema stays at {revision}, because it could not be copied first: {error}"
            ) from error
        self.last_backup = copy.path

    def _start(self) -> EmbeddedServer:
        if self.server is None:
            self.server = default_server(self._data_home).start()
        return self.server

    def _create(self, name: str) -> None:
        self._start().create_database(name)

    def ensure(self) -> bool:
        """Start the embedded server again if it died: True when it had to. Nothing for a foreign one."""
        return self.server is not None and self.server.ensure()

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None
