"""Connections: every one takes its role, says whose rows it reads, names its search path and lives in UTC (decisions.md 25).

Roles are taken by `SET ROLE` right after connecting; where the schema is not owned by `qs_owner` (the reduced profile,
see migrations/sql/roles.sql) there is no role to take and the login's own rights hold. qs_app and qs_view see the rows of
the user that they were given for, and nobody's without one (migrations/sql/0010_row_security.sql). `numeric` is Decimal,
`timestamptz` an aware datetime and `jsonb` text: asyncpg's own codecs, because a text codec for numeric would break COPY.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, get_args

import asyncpg

Role = Literal["qs_owner", "qs_engine", "qs_app", "qs_view"]
Profile = Literal["FULL", "REDUCED"]
ROLES: tuple[Role, ...] = get_args(Role)
#: As a `user`: the one to whom the ledger of the database is bound; nobody before its first event.
OPERATOR: Final = "operator"

STATEMENT_TIMEOUT_MS = 30_000
LOCK_TIMEOUT_MS = 10_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000
CONNECT_TIMEOUT_S = 10.0

#: SQLSTATE of the schema's own errors (migrations/sql/0003_journal.sql; the last one: 0002_accounts.sql).
FENCED = "QS001"
CONFLICT = "QS002"
MALFORMED = "QS003"
REPEATED = "QS004"
KEY_NOT_IN_USE = "QS005"

#: What connecting may raise when there is no server, or none that lets us in.
UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InternalClientError,
)

#: What a statement may raise when its server dies under it. asyncpg answers some deaths with its own "cannot switch to state",
#: which is none of its database errors.
BROKEN = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_SET_ROLE = """
select pg_catalog.set_config('role', $1, false) from pg_catalog.pg_namespace
 where nspname = 'qs' and pg_catalog.pg_get_userbyid(nspowner) = 'qs_owner'
"""
_SET_USER = "select pg_catalog.set_config('app.user_id', $1, false)"
_SET_OPERATOR = (
    "select pg_catalog.set_config('app.user_id', coalesce((select user_id::text from qs.ledger), ''), false)"
)
_PROFILE = "select case when pg_catalog.pg_get_userbyid(nspowner) = 'qs_owner' then 'FULL' else 'REDUCED' end \
from pg_catalog.pg_namespace where nspname = 'qs'"


class ConnectError(Exception):
    """The database cannot be used as asked; the message says what to do."""


class DatabaseUnreachable(ConnectError):
    """No connection could be made. Nothing was sent."""


class RoleRefused(ConnectError):
    """The login may not take the role that it needs."""


def _settings(name: str, statement_timeout_ms: int) -> dict[str, str]:
    # Sent with the connection, so that a pool's RESET ALL comes back to them instead of losing them.
    return {
        "application_name": name,
        "search_path": "qs, pg_catalog",
        "timezone": "UTC",
        "statement_timeout": str(statement_timeout_ms),
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
        "jit": "off",  # our statements are short; compiling them costs more than running them
    }


async def take_role(connection: Any, role: Role) -> None:
    """SET ROLE for the session; does nothing in the reduced profile. Raises RoleRefused."""
    try:
        await connection.fetchval(_SET_ROLE, role)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError) as error:
        raise RoleRefused(
            f"the login may not take role {role} ({error}): let an administrator run GRANT {role} TO <login>"
        ) from error


async def set_user(connection: Any, user: str) -> None:
    """Whose rows qs_app and qs_view see from here on: a UUID, OPERATOR, or nobody's ("", and whatever is no UUID).

    Not inside a transaction: its rollback would bring the user before back.
    """
    if user == OPERATOR:
        await connection.fetchval(_SET_OPERATOR)
    else:
        await connection.fetchval(_SET_USER, user)


async def connect(
    dsn: str,
    role: Role = "qs_engine",
    *,
    user: str = "",
    name: str = "quantsail",
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
) -> Any:
    """An asyncpg connection in `role` that sees the rows of `user` (see `set_user`); a statement timeout of 0 means none.

    Raises DatabaseUnreachable, RoleRefused.
    """
    try:
        connection = await asyncpg.connect(
            dsn, server_settings=_settings(name, statement_timeout_ms), timeout=CONNECT_TIMEOUT_S
        )
    except UNREACHABLE as error:
        raise unreachable(error) from error
    try:
        await take_role(connection, role)
        if user:
            await set_user(connection, user)
    except UNREACHABLE as error:
        connection.terminate()
        raise unreachable(error) from error
    except BaseException:
        connection.terminate()  # a word of farewell may never be answered
        raise
    return connection


@asynccontextmanager
async def transaction(connection: Any, **kind: Any) -> AsyncIterator[None]:
    """`connection.transaction(**kind)`; cancelled, it cuts the connection: asyncpg's own waits for its rollback to be answered,
    and a server that hangs never does."""
    opened = connection.transaction(**kind)
    await opened.start()
    try:
        yield
    except asyncio.CancelledError:
        connection.terminate()
        raise
    except BaseException:
        await opened.rollback()
        raise
    await opened.commit()


async def create_pool(
    dsn: str,
    role: Role = "qs_engine",
    *,
    name: str = "quantsail",
    min_size: int = 1,
    max_size: int = 4,
    statement_timeout_ms: int = STATEMENT_TIMEOUT_MS,
) -> Any:
    """An asyncpg pool whose connections are as `connect` makes them, for nobody: see `acquire`.

    Role and user are set at every acquire: whoever had the connection before may have changed them. Raises DatabaseUnreachable,
    RoleRefused.
    """

    async def setup(connection: Any) -> None:
        await take_role(connection, role)
        await set_user(connection, "")

    try:
        return await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            setup=setup,
            server_settings=_settings(name, statement_timeout_ms),
            timeout=CONNECT_TIMEOUT_S,
        )
    except UNREACHABLE as error:
        raise unreachable(error) from error


@asynccontextmanager
async def acquire(pool: Any, user: str) -> AsyncIterator[Any]:
    """A connection of a pool that sees the rows of `user` (see `set_user`) until it is given back.

    Raises DatabaseUnreachable when the pool has to make one and cannot.
    """
    try:
        connection = await pool.acquire()
    except UNREACHABLE as error:
        raise unreachable(error) from error
    try:
        await set_user(connection, user)
        yield connection  # the pool's own RESET ALL forgets the user, and rolls back before it does
    finally:
        await pool.release(connection)


async def profile(connection: Any) -> Profile:
    """FULL where roles and grants guard the schema, REDUCED where the login owns it."""
    value: Profile | None = await connection.fetchval(_PROFILE)
    if value is None:
        raise ConnectError("this database has no schema yet: run `quantsail db migrate`")
    return value


def unreachable(error: BaseException) -> DatabaseUnreachable:
    """The one-line form of a failed connection."""
    text = " ".join(str(error).split()) or ("no answer" if isinstance(error, TimeoutError) else type(error).__name__)
    return DatabaseUnreachable(f"the database cannot be reached: {text}. Check DATABASE_URL and that the server runs")
