"""Who logs in to the embedded server. The superuser makes the cluster, its roles, logins and databases, and nothing else.

    qs_login   every connection of the application; may become qs_engine, qs_app and qs_view
    qs_admin   owns the databases and may become qs_owner as well: migrations, rebuild, retention, convert, backup
    quantsail  the superuser: initdb, roles, databases; no connection of the application

Neither login inherits anything: without SET ROLE, and after RESET ROLE, it may do what anybody may. The socket's directory
(0700) is what keeps others out; inside it, everybody may log in as anybody. With DATABASE_URL its own login is used as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, LiteralString
from urllib.parse import quote

from db.pgbin import PORT, ServerStartError, one_line

Login = Literal["qs_login", "qs_admin", "quantsail"]

#: May be repeated. In a cluster of an earlier version there are roles without logins, and the superuser owns the databases.
_MAKE = """
do $$
declare
  means constant text := case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end;
  wanted text;
  login text;
begin
  foreach wanted in array array['qs_owner', 'qs_engine', 'qs_app', 'qs_view'] loop
    if to_regrole(wanted) is null then
      execute format('create role %I nologin', wanted);
    end if;
  end loop;
  foreach login in array array['qs_login', 'qs_admin'] loop
    if to_regrole(login) is null then
      execute format('create role %I', login);
    end if;
    if exists (select from pg_roles where rolname = login and (not rolcanlogin or rolsuper or rolinherit or rolcreaterole
                 or rolcreatedb or rolreplication or rolbypassrls)) then
      execute format('alter role %I login nosuperuser noinherit nocreaterole nocreatedb noreplication nobypassrls', login);
    end if;
    foreach wanted in array array['qs_engine', 'qs_app', 'qs_view', 'qs_owner'] loop
      if (wanted <> 'qs_owner' or login = 'qs_admin') and not pg_has_role(login, wanted, means) then
        execute format('grant %I to %I', wanted, login);  -- of a NOINHERIT role, so without inheriting
      end if;
    end loop;
  end loop;
  if pg_has_role('qs_login', 'qs_owner', 'MEMBER') then
    revoke qs_owner from qs_login;
  end if;
  for wanted in select datname from pg_database where not datistemplate and datname <> 'postgres'
                   and datdba = current_user::regrole loop
    execute format('alter database %I owner to qs_admin', wanted);
  end loop;
end $$
"""


#: Extensions that the schema has a use for, where this server has them; only the superuser may install one.
_EXTENSIONS = """
do $$
declare
  wanted text;
begin
  foreach wanted in array array['vector'] loop
    if exists (select from pg_available_extensions where name = wanted and installed_version is null) then
      execute format('create extension if not exists %I schema public', wanted);
    end if;
  end loop;
end $$
"""


def uri(socket_dir: Path, database: str, login: Login) -> str:
    """Connection URI over the socket. The port is in it, so that a stray PGPORT in the environment cannot point elsewhere."""
    return f"postgresql://{login}@/{quote(database, safe='')}?host={quote(str(socket_dir), safe='')}&port={PORT}"


def make(superuser: str) -> None:
    """Make the roles and logins that are missing, by the superuser's URI; hand over its databases. Raises ServerStartError."""
    _run(superuser, _MAKE, "the server makes no logins")


def make_extensions(superuser: str) -> None:
    """Install in a database what the server has and the schema uses. Repeatable. Raises ServerStartError."""
    _run(superuser, _EXTENSIONS, "the server cannot install its own extensions")


def _run(superuser: str, statement: LiteralString, wrong: str) -> None:
    import psycopg  # only here: a program that talks through asyncpg need not load it

    try:
        with psycopg.connect(superuser, autocommit=True, connect_timeout=30) as connection:
            connection.execute(statement)
    except psycopg.Error as error:
        raise ServerStartError(f"{wrong} ({one_line(str(error))}): set DATABASE_URL") from error
