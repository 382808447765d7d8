"""Databases for tests: fresh ones, and copies of one that was migrated once, because a copy takes a third of the time."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from db.embedded import SUPERUSER, EmbeddedServer
from db.migrate import migrate
from tests.patience import until

_numbers = itertools.count(1)
#: A copied database does not have the rights on the database itself (migrations/sql/roles.sql).
_RIGHTS = """
do $$ begin
  if pg_catalog.to_regrole('qs_owner') is not null then
    execute format('grant create on database %I to qs_owner', current_database());
  end if;
end $$
"""
#: Files are copied in a sixth of the time that writing them to the log takes, where nobody waits for the disk.
_COPY = "owner qs_admin strategy file_copy"
Found = TypeVar("Found")
AsSuperuser = Callable[[str], str]


class FillOnce(Protocol):
    """The fixture `filled`."""

    def __call__(self, key: str, fill: Callable[[str, Path], Awaitable[Found]]) -> tuple[str, Found]: ...


class Databases:
    """Makes databases on one server by the URL of a login that may; each is dropped afterwards, open sessions or not."""

    def __init__(self, url: str, superuser: str = "", *, how: str = "", ensure: Callable[[], object] = bool) -> None:
        """`how` is what `create database ... template ...` is told besides; `ensure` starts the server where it died."""
        self._url, self._superuser, self._how, self._ensure = url, superuser, how, ensure
        self._templates: dict[str, Any] = {}

    def as_superuser(self, uri: str) -> str:
        """The database of `uri` as the server's superuser; skips the test where the server has none for us."""
        if urlsplit(uri).username == SUPERUSER:
            return uri
        if not self._superuser:
            pytest.skip("needs a superuser, whom a server reached by QUANTSAIL_TEST_DATABASE_URL does not have for us")
        return _on(self._superuser, urlsplit(uri).path[1:])

    @contextmanager
    def empty(self, template: str = "template0") -> Iterator[str]:
        """URI of a database as `template` is."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        try:
            yield self._create(name, template)
        finally:
            self._ensure()  # a test that killed the server must not fail the next one
            self._drop(name)

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """URI of a database with the whole schema and nothing in it."""
        with self.empty(self._migrated()) as uri:
            yield uri

    @contextmanager
    def filled(self, key: str, fill: Callable[[str], Awaitable[Found]]) -> Iterator[tuple[str, Found]]:
        """URI of a migrated database as `fill(uri)` leaves it, and what that returned: called once for each key."""
        with self.empty(self._made(key, fill, self._migrated())) as uri:
            yield uri, self._templates[key]

    def close(self) -> None:
        """Leave nothing on a server that is not ours."""
        for key in self._templates:
            self._drop(_template(key))

    def _migrated(self) -> str:
        return self._made("migrated", migrate, "template0")

    def _made(self, key: str, fill: Callable[[str], Awaitable[Any]], template: str) -> str:
        """Name of a database to copy."""
        if key not in self._templates:
            uri = self._create(_template(key), template)
            with ThreadPoolExecutor(1) as pool:  # the test's own event loop may be running
                self._templates[key] = pool.submit(lambda: asyncio.run(_called(fill, uri))).result()
        return _template(key)

    def _create(self, name: str, template: str) -> str:
        self._run(f"create database {{}} template {{}} {self._how}", name, template)
        uri = _on(self._url, name)
        if template != "template0":
            with psycopg.connect(uri, autocommit=True) as connection:
                connection.execute(_RIGHTS)
        return uri

    def _drop(self, name: str) -> None:
        until(lambda: self._is_dropped(name), f"drop database {name}")

    def _is_dropped(self, name: str) -> bool:
        try:
            self._run("drop database if exists {} with (force)", name)
        except psycopg.errors.InsufficientPrivilege:
            return False  # autovacuum looks at it just now, and an ordinary login must not end that
        return True

    def _run(self, command: str, *names: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(sql.SQL(command).format(*map(sql.Identifier, names)))  # type: ignore[arg-type]


def on(server: EmbeddedServer) -> Databases:
    """Databases on an embedded server, as its superuser."""
    hurry(server)
    url = server.dsn("postgres", SUPERUSER)
    return Databases(url, url, how=_COPY, ensure=server.ensure)


def hurry(server: EmbeddedServer) -> EmbeddedServer:
    """The same server, which does not wait for the disk any more: tests kill programs and servers, none cuts the power."""
    with psycopg.connect(server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
        connection.execute("alter system set fsync = off")
        connection.execute("select pg_reload_conf()")
    return server


def clone(server: EmbeddedServer, name: str, template: str) -> str:
    """URI, for the superuser, of a new database of qs_admin with all that `template` holds; nobody may be using that."""
    with psycopg.connect(server.dsn("postgres", SUPERUSER), autocommit=True) as connection:
        names = map(sql.Identifier, (name, template))
        connection.execute(sql.SQL(f"create database {{}} template {{}} {_COPY}").format(*names))  # type: ignore[arg-type]
    return server.dsn(name, SUPERUSER)


def by_password(server: EmbeddedServer) -> Databases:
    """Databases on an embedded server of a login with a password that is no superuser; the server forgets our own roles."""
    rules = server.data_dir / "pg_hba.conf"
    rules.write_text("local all ordinary scram-sha-256\n" + rules.read_text())
    url = server.dsn("postgres", SUPERUSER)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("drop role qs_login, qs_admin, qs_owner, qs_engine, qs_app, qs_view")
        connection.execute("create role ordinary login createdb createrole password 'it''s @/? 50%'")
        connection.execute("select pg_reload_conf()")
    return Databases(url.replace(f"{SUPERUSER}@", "ordinary:it%27s%20%40%2F%3F%2050%25@"), url)


async def _called(fill: Callable[[str], Awaitable[Found]], uri: str) -> Found:
    return await fill(uri)


def _template(key: str) -> str:
    return f"{key}_{os.getpid()}"


def _on(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{name}?{parts.query}"
