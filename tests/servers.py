"""Databases for tests: fresh ones, and copies of one that was migrated once, because a copy takes a third of the time."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
AsSuperuser = Callable[[str], str]


class Databases:
    """Makes databases on one server by the URL of a login that may; each is dropped afterwards, open sessions or not."""

    def __init__(self, url: str, superuser: str = "", *, owner: str = "", ensure: Callable[[], object] = bool) -> None:
        self._url, self._superuser, self._owner, self._ensure = url, superuser, owner, ensure
        self._template = ""

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
        self._create(name, template)
        try:
            yield _on(self._url, name)
        finally:
            self._ensure()  # a test that killed the server must not fail the next one
            self._drop(name)

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """URI of a database with the whole schema and nothing in it."""
        if not self._template:
            name = f"migrated_{os.getpid()}"
            self._create(name, "template0")
            with ThreadPoolExecutor(1) as pool:  # the test's own event loop may be running
                pool.submit(lambda: asyncio.run(migrate(_on(self._url, name)))).result()
            self._template = name
        with self.empty(self._template) as uri:
            with psycopg.connect(uri, autocommit=True) as connection:
                connection.execute(_RIGHTS)
            yield uri

    def close(self) -> None:
        """Leave nothing on a server that is not ours."""
        if self._template:
            self._drop(self._template)

    def _create(self, name: str, template: str) -> None:
        owner = f" owner {self._owner}" if self._owner else ""
        self._run("create database {} template {}" + owner, name, template)

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
    """Databases on an embedded server, as its superuser. It does not wait for the disk any more: no test cuts the power."""
    url = server.dsn("postgres", SUPERUSER)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter system set fsync = off")
        connection.execute("alter system set full_page_writes = off")
        connection.execute("select pg_reload_conf()")
    return Databases(url, url, owner="qs_admin", ensure=server.ensure)


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


def _on(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{name}?{parts.query}"
