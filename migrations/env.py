"""Alembic's environment: one connection, handed over by `db.migrate`, one transaction for all revisions.

Alembic's own `fileConfig` is left out on purpose: it would reset our logging. There is no offline mode either, because
roles and the schema's owner are looked up in the database.
"""

from __future__ import annotations

from typing import Any, cast

from alembic import context
from sqlalchemy import Connection

from db.fingerprint import record_migrated
from migrations import head, read_sql

VERSION_SCHEMA = "qs"


def _become_owner(connection: Connection) -> None:
    """Make the roles and the schema, then work as the schema's owner; nothing to become in the reduced profile."""
    connection.exec_driver_sql(read_sql("roles.sql"), execution_options={"no_parameters": True})
    connection.exec_driver_sql(
        "select set_config('role', 'qs_owner', true) from pg_catalog.pg_namespace"
        " where nspname = 'qs' and pg_catalog.pg_get_userbyid(nspowner) = 'qs_owner'"
    )
    connection.exec_driver_sql("set local search_path = qs, pg_catalog")
    # A change that waits for a reader makes every later reader wait for it: give up and say so instead.
    connection.exec_driver_sql("set local lock_timeout = '30s'")


def run(connection: Connection) -> None:
    # transactional_ddl with one transaction for all: an upgrade happens as a whole or not at all.
    context.configure(connection=connection, version_table_schema=VERSION_SCHEMA, transaction_per_migration=False)
    with context.begin_transaction():
        _become_owner(connection)
        context.run_migrations()
        if context.get_context().get_current_revision() == head():
            record_migrated(cast(Any, connection.connection.driver_connection), head())


run(context.config.attributes["connection"])
