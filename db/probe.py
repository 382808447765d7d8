"""Does a foreign database answer? One bounded try: connect with the TLS that was asked for, ask for the version, leave.

PostgreSQL needs nothing more than what the program brings. MySQL and MongoDB need a driver, an extra of the package that is
imported when it is asked for. TLS is all or nothing: what was asked for is never silently left out.
"""

from __future__ import annotations

import asyncio
import importlib
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import asyncpg
import msgspec

from db.vault import scrub
from engine.core.text import safe_text

TIMEOUT_S = 10.0
ERROR_CHARS_MAX = 300

TlsMode = Literal["verify-full", "verify-ca", "require", "disable"]
TLS_MODES: tuple[TlsMode, ...] = ("verify-full", "verify-ca", "require", "disable")
DbType = Literal["POSTGRESQL", "MYSQL", "MONGODB"]


class ProbeError(Exception):
    """The try failed; the message may come from the server, and may hold anything."""


class ExtraMissing(Exception):
    """The driver is an extra that is not installed. Says nothing about the database."""


class Tls(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """`database_configs.ssl_config`: verify-full checks certificate and name, verify-ca the certificate, require neither
    (an eavesdropper is kept out, an impostor is not). Files are PEM, by path; without `ca_file` the system's authorities hold.
    """

    mode: TlsMode = "verify-full"
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect. Its repr has no password."""

    db_type: DbType
    host: str
    port: int
    database: str
    username: str
    password: str
    tls: Tls

    def __repr__(self) -> str:
        return f"Target({self.db_type} {self.host}:{self.port})"

    def __rich_repr__(self) -> Any:
        return []


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the try said: `last_test_result` as it is stored. `error` is one line without the password."""

    ok: bool
    latency_ms: int
    server_version: str = ""
    tls: bool = False
    error: str = ""


async def probe(target: Target, timeout_s: float = TIMEOUT_S) -> Answer:
    """Try it. Raises ExtraMissing; every other failure is an answer."""
    ask: Callable[[Target, float], Awaitable[str]] = {"POSTGRESQL": _postgresql, "MYSQL": _mysql, "MONGODB": _mongodb}[
        target.db_type
    ]
    started = time.monotonic()

    def after_ms() -> int:
        return round((time.monotonic() - started) * 1_000)

    try:
        version = await asyncio.wait_for(ask(target, timeout_s), timeout_s)
    except TimeoutError:
        return Answer(ok=False, latency_ms=after_ms(), error=f"no answer within {timeout_s:g} s")
    except ProbeError as error:
        said = " ".join(safe_text(scrub(str(error), target.password), ERROR_CHARS_MAX).split())
        return Answer(ok=False, latency_ms=after_ms(), error=said or "it failed")
    secure = target.tls.mode != "disable" and not target.host.startswith("/")
    return Answer(ok=True, latency_ms=after_ms(), server_version=safe_text(version, 100), tls=secure)


def tls_context(tls: Tls) -> ssl.SSLContext | None:
    """None for "disable". Raises ProbeError for files that cannot be used."""
    if tls.mode == "disable":
        return None
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
        if tls.cert_file:
            # A key with a passphrase is refused by its empty answer; OpenSSL would ask on the terminal.
            context.load_cert_chain(tls.cert_file, tls.key_file or None, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = ", ".join(filter(None, (tls.ca_file, tls.cert_file, tls.key_file)))
        raise ProbeError(f"the TLS files cannot be used ({files}): {error}") from error
    if tls.mode != "verify-full":
        context.check_hostname = False
    if tls.mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context


async def _postgresql(target: Target, timeout_s: float) -> str:
    context = tls_context(target.tls)
    try:
        conn: Any = await asyncpg.connect(
            host=target.host,
            port=target.port,
            user=target.username or None,
            # Nothing is taken from the environment or from ~/.pgpass: what is tested is what is stored.
            password=target.password,
            database=target.database,
            ssl=False if context is None or target.host.startswith("/") else context,
            timeout=timeout_s,
            server_settings={"application_name": "quantsail test"},
        )
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError,
            asyncpg.InternalClientError) as error:  # fmt: skip
        raise ProbeError(str(error) or type(error).__name__) from error
    try:
        return str(await conn.fetchval("show server_version"))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise ProbeError(str(error) or type(error).__name__) from error
    finally:
        conn.terminate()


async def _mysql(target: Target, timeout_s: float) -> str:
    pymysql = _driver("pymysql", "mysql")
    context = tls_context(target.tls)

    def ask() -> str:
        limit = max(1, round(timeout_s))
        try:
            conn = pymysql.connect(
                host=target.host,
                port=target.port,
                user=target.username,
                password=target.password,
                database=target.database,
                ssl=context,  # given as a context it is required, not preferred
                ssl_disabled=context is None,
                connect_timeout=limit,
                read_timeout=limit,
                write_timeout=limit,
            )
            try:
                # MariaDB says it is a MySQL of long ago first.
                return str(conn.get_server_info()).removeprefix("5.5.5-")
            finally:
                conn.close()
        except pymysql.err.Error as error:
            raise ProbeError(str(error.args[-1]) if error.args else type(error).__name__) from error  # (number, text)
        except (OSError, ValueError, RuntimeError) as error:
            raise ProbeError(str(error) or type(error).__name__) from error

    return await _in_a_thread(ask)


async def _mongodb(target: Target, timeout_s: float) -> str:
    pymongo = _driver("pymongo", "mongodb")
    tls_context(target.tls)  # pymongo takes no context: this one only checks the files
    client: Any = None
    try:
        client = pymongo.AsyncMongoClient(
            f"[{target.host}]" if ":" in target.host else target.host,
            target.port,
            serverSelectionTimeoutMS=int(timeout_s * 1_000),
            connectTimeoutMS=int(timeout_s * 1_000),
            directConnection=True,
            **_mongodb_options(target),
        )
        await client[target.database].command("ping")
        return str((await client.server_info())["version"])
    except (OSError, ValueError, KeyError, pymongo.errors.PyMongoError) as error:
        raise ProbeError(str(error) or type(error).__name__) from error
    finally:
        if client is not None:
            await client.close()


def _mongodb_options(target: Target) -> dict[str, Any]:
    options: dict[str, Any] = {"appname": "quantsail test", "tls": target.tls.mode != "disable"}
    if target.username:
        options |= {"username": target.username, "password": target.password}
    if options["tls"]:
        options["tlsAllowInvalidHostnames"] = target.tls.mode != "verify-full"
        options["tlsAllowInvalidCertificates"] = target.tls.mode == "require"
        if target.tls.ca_file:
            options["tlsCAFile"] = target.tls.ca_file
        if target.tls.cert_file:
            options["tlsCertificateKeyFile"] = target.tls.cert_file  # certificate and key in one file
    return options


def _driver(module: str, extra: str) -> Any:
    """A module that is an extra. Raises ExtraMissing."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ExtraMissing(f"this needs a driver that is not installed: pip install 'quantsail[{extra}]'") from None


async def _in_a_thread(work: Callable[[], str]) -> str:
    """Run blocking work in a thread that nobody waits for at exit: a server that drips its bytes cannot hold the program."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[str] = loop.create_future()

    def settle(answer: str | None, error: Exception | None) -> None:
        if done.done():  # the caller has given up
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(answer or "")

    def run() -> None:
        answer, failed = None, None
        try:
            answer = work()
        except Exception as error:
            failed = error
        try:
            loop.call_soon_threadsafe(settle, answer, failed)
        except RuntimeError:
            pass  # the loop is closed: the caller has long gone

    threading.Thread(target=run, daemon=True, name="probe").start()
    return await done
