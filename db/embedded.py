"""The PostgreSQL server that Quantsail runs for itself when no `DATABASE_URL` is given.

One server per home directory, `<data>/pg/<major>`:

    pgdata/          the cluster (checksums on); pgdata.init/ only while initdb runs
    run/             the unix socket; no TCP port is ever opened
    users.lock       every program that uses the server holds a shared flock: the reference count
    start.lock       exclusive flock around every start, stop and repair
    postgres.log     the server's log (the one before it: postgres.log.1)

The kernel drops a flock when its process ends, however it ends, so a killed program is never counted again.
The server outlives a killed program; the next last user stops it. "Does it run?" is answered by a real connection
attempt and, where /proc exists, by the working directory of the process that postmaster.pid names: a pid alone
proves nothing after a reboot. Without /proc (macOS) there is no such witness: a server runs when it answers on its
socket, and a left-over postmaster.pid is not deleted but loses its pid, so that PostgreSQL's own shared-memory
check still refuses to start beside orphaned backends.

The superuser makes the cluster, its roles and its databases; programs log in as those of `db.logins`.
All methods block: an asyncio program calls them through `asyncio.to_thread`, from any thread. POSIX only (flock).
Sources: PostgreSQL 18 documentation, "Server Setup and Operation" (SIGINT is the fast shutdown), "initdb",
"Managing Databases"; flock(2); unix(7).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from db import logins, pgbin
from db.logins import Login
from db.pgbin import SUPERUSER, EmbeddedPostgresError, PgBinaries, ServerStartError, find_binaries, major_of

if TYPE_CHECKING:
    import psycopg

START_TIMEOUT_S = 300  # crash recovery of a busy cluster takes seconds, on a slow disk minutes
STOP_TIMEOUT_S = 60.0  # a fast shutdown writes a checkpoint
ORPHANS_TIMEOUT_S = 30.0
POLL_S = 0.01
DEAF_POLLS_MAX = 3000  # a living postmaster without a socket: it appears within a second, or was deleted
STARTS_MAX = 2
LOG_BYTES_MAX = 10 * 1024 * 1024
NO_PROCESS = 2**31 - 1  # above every kernel's largest pid
RESERVED_DATABASES = frozenset({"postgres", "template0", "template1"})
INITDB_OPTIONS = (
    *("--username", SUPERUSER, "--auth-local=trust", "--auth-host=reject", "--data-checksums"),
    *("--encoding=UTF8", "--locale=C", "--no-instructions"),
)
PG_CTL_START = ("pg_ctl", "-s", "-w", "-t", str(START_TIMEOUT_S), "start")
SETTINGS_FILE = "quantsail.conf"
SETTINGS = f"""# written by quantsail at every start
listen_addresses = ''
port = {pgbin.PORT}
unix_socket_permissions = 0700
max_connections = 100
timezone = 'UTC'
log_timezone = 'UTC'
cluster_name = 'quantsail'
"""
__all__ = ["SUPERUSER", "EmbeddedPostgresError", "EmbeddedServer", "PgBinaries", "default_server", "find_binaries"]


def default_server(data_dir: Path) -> EmbeddedServer:
    """The server of a data directory: its newest existing cluster, else a new one of the version that is found.

    So newer programs never open an empty database. Raises BinariesError when those of the cluster are gone.
    """
    homes = {major_of(home / "pgdata") or 0: home for home in (data_dir / "pg").glob("*")}
    if newest := max(homes, default=0):
        return EmbeddedServer(homes[newest], find_binaries(newest))
    binaries = find_binaries()
    return EmbeddedServer(data_dir / "pg" / str(binaries.major), binaries)


class EmbeddedServer:
    """One program's share in the server of `home`.

    `binaries` default to `find_binaries()` for the version of the cluster in `home`. An object counts as one user
    between `start()` and `close()`; a second `start()` adds nothing. After a fork only the parent's object counts.
    """

    def __init__(self, home: Path, binaries: PgBinaries | None = None) -> None:
        self.home = home.expanduser().resolve()
        self.data_dir = self.home / "pgdata"
        self.log_path = self.home / "postgres.log"
        self.socket_dir = pgbin.socket_dir_of(self.home)
        self._binaries = binaries
        self._mutex = threading.RLock()
        self._users_fd: int | None = None
        self._owner_pid = 0
        self._log_start = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def binaries(self) -> PgBinaries:
        """The programs that serve this home. Raises BinariesError when they are missing or of another version."""
        major = major_of(self.data_dir)
        if self._binaries is None:
            self._binaries = find_binaries(major)
        if major is not None and major != self._binaries.major:
            raise pgbin.BinariesError(
                f"{self.data_dir} is a PostgreSQL {major} cluster, {self._binaries.bin_dir} is version "
                f"{self._binaries.major}: set QUANTSAIL_PG_BIN to version {major}, or set DATABASE_URL"
            )
        return self._binaries

    @property
    def pid(self) -> int | None:
        """The postmaster's pid; None when it does not run."""
        return pgbin.postmaster(self.data_dir, self.socket_dir)

    def dsn(self, database: str, login: Login = "qs_login") -> str:
        """Connection URI for `database` over the socket (see `db.logins`); for asyncpg and psycopg alike."""
        return logins.uri(self.socket_dir, database, login)

    def start(self) -> Self:
        """Become a user of the server; create the cluster and start it where needed. Idempotent.

        Raises BinariesError, DataDirectoryError, ServerStartError.
        """
        with self._exclusive() as lock_fd:
            if self._users_fd is not None and self._owner_pid == os.getpid():
                self._serve(lock_fd)
                return self
            _ = self.binaries.major  # a wrong version is refused even when a server happens to answer
            users_fd = self._open("users.lock")
            try:
                self._flock(users_fd, fcntl.LOCK_SH)
                self._create_cluster(lock_fd)
                self._serve(lock_fd)
                logins.make(self.dsn("postgres", SUPERUSER))
            except BaseException:
                os.close(users_fd)
                raise
            self._users_fd, self._owner_pid = users_fd, os.getpid()
        return self

    def ensure(self) -> bool:
        """Start the server again if it died; True when it had to. For a program that lost its connection.

        Raises ServerStartError when this object was not started or the server does not come back, and
        DataDirectoryError when the cluster is gone: it is never replaced by an empty one.
        """
        if self._users_fd is None or self._owner_pid != os.getpid():
            raise ServerStartError(f"the server in {self.home} was not started by this program: call start() first")
        if major_of(self.data_dir) is None:
            raise pgbin.DataDirectoryError(f"{self.data_dir} has vanished while in use: restore a backup")
        with self._exclusive() as lock_fd:
            return self._serve(lock_fd)

    def close(self) -> bool:
        """Stop being a user; True when this was the last one and the server does not run any more. Idempotent."""
        with self._mutex:
            users_fd, self._users_fd = self._users_fd, None
            if users_fd is None:
                return False
            if self._owner_pid != os.getpid() or not self.data_dir.is_dir():
                os.close(users_fd)  # a forked child, whose lock is its parent's; or the cluster has been deleted
                return False
            try:
                with self._exclusive():
                    try:
                        # The conversion drops our share even when it fails; under start.lock nobody can slip in.
                        fcntl.flock(users_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        return False
                    return self._stop()
            finally:
                os.close(users_fd)

    def databases(self) -> list[str]:
        """Names of the databases that programs have created, sorted."""
        with self._connect() as connection:
            rows = connection.execute("select datname from pg_database where not datistemplate").fetchall()
        return sorted(row[0] for row in rows if row[0] not in RESERVED_DATABASES)

    def create_database(self, name: str, template: str = "template0") -> bool:
        """Create a database of qs_admin; False when it exists already, also when another program creates it right now.

        Raises ValueError for a reserved name or one that PostgreSQL cannot keep, and psycopg.Error (a template in use).
        """
        from psycopg import errors, sql

        if not name or "\0" in name or len(name.encode("utf-8", "replace")) > 63 or name in RESERVED_DATABASES:
            raise ValueError(f"{name[:80]!r} cannot name a database: use 1 to 63 bytes, none of PostgreSQL's own")
        command = sql.SQL("create database {} template {} owner qs_admin").format(
            *map(sql.Identifier, (name, template))
        )
        if name in self.databases():
            return False  # the usual case leaves no error in the server's log
        with self._connect() as connection:
            try:
                connection.execute(command)
            except (errors.DuplicateDatabase, errors.UniqueViolation):
                return False  # which of the two depends on how close the race was
        self.extend(name)
        return True

    def extend(self, name: str) -> None:
        """Install in a database what the schema uses of this server's extensions. Repeatable. Raises ServerStartError."""
        logins.make_extensions(self.dsn(name, SUPERUSER))

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        import psycopg  # only here: a program that talks through asyncpg need not load it

        return psycopg.connect(self.dsn("postgres", SUPERUSER), autocommit=True, connect_timeout=30)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[int]:
        """Alone with the server: among this object's threads and among all programs. Gives start.lock's fd.

        Whatever the file system refuses in here (rights, space, locks) becomes a DataDirectoryError.
        """
        with self._mutex:
            try:
                self._prepare_home()
                lock_fd = self._open("start.lock")
                try:
                    self._flock(lock_fd, fcntl.LOCK_EX)
                    self._prepare_socket_dir()
                    yield lock_fd
                finally:
                    os.close(lock_fd)
            except OSError as error:
                raise pgbin.DataDirectoryError(f"{self.home} cannot be used ({error}): {pgbin.OWNER_REMEDY}") from error

    def _prepare_home(self) -> None:
        """Make the home, mode 0700. Only directories that are ours change their mode; parents never do.

        postmaster.pid has one line for its path: with a line break in it pg_ctl would wait in vain.
        """
        if not str(self.home).isprintable():
            raise pgbin.DataDirectoryError(f"{str(self.home)!r} has control characters: set XDG_DATA_HOME elsewhere")
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = self.home.stat()
        if os.geteuid() not in (0, status.st_uid):
            raise pgbin.DataDirectoryError(f"{self.home} belongs to uid {status.st_uid}: {pgbin.OWNER_REMEDY}")
        if stat.S_IMODE(status.st_mode) != 0o700:
            self.home.chmod(0o700)

    def _open(self, name: str, flags: int = 0) -> int:
        path = self.home / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
        self._hand_over(path)
        return descriptor

    def _hand_over(self, path: Path) -> None:
        """What root makes in a home that belongs to an ordinary account belongs to that account too."""
        owner = self.home.stat()
        pgbin.hand_over(pgbin.RunAs(prefix=(), uid=owner.st_uid, gid=owner.st_gid), path)

    def _prepare_socket_dir(self) -> None:
        """Make the socket's directory. A foreign one is refused: in /tmp anybody could have put a server there."""
        path = self.socket_dir
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            self._hand_over(path)
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (os.geteuid(), self.home.stat().st_uid):
            raise pgbin.DataDirectoryError(f"{path} belongs to someone else: set XDG_DATA_HOME to a shorter path")
        if stat.S_IMODE(status.st_mode) != 0o700:
            path.chmod(0o700)

    def _flock(self, descriptor: int, mode: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ServerStartError(f"{self.home} stays locked by another program: end it") from None
                time.sleep(POLL_S)

    def _serve(self, lock_fd: int) -> bool:
        """Return once the server takes sessions; True when it had to be started. The caller holds start.lock."""
        deadline = time.monotonic() + START_TIMEOUT_S
        starts = deaf_polls = 0
        while (answer := pgbin.probe(self.socket_dir)) is not pgbin.Serving.READY:
            if answer is pgbin.Serving.NOBODY and self.pid is None:
                if starts == STARTS_MAX:
                    remedy = f"see {self.log_path}, or set DATABASE_URL"
                    raise ServerStartError(f"PostgreSQL does not start ({self._last_words()}): {remedy}")
                starts += 1
                self._clear_stale()
                self._launch(lock_fd)
                continue
            deaf_polls = deaf_polls + 1 if answer is pgbin.Serving.NOBODY else 0
            if deaf_polls > DEAF_POLLS_MAX or time.monotonic() > deadline:
                raise ServerStartError(
                    f"the server in {self.home} runs (process {self.pid}) but takes no sessions "
                    f"({self._last_words()}): stop that process and start again, or set DATABASE_URL"
                )
            time.sleep(POLL_S)
        return starts > 0

    def _launch(self, lock_fd: int) -> None:
        """Run `pg_ctl start` until it took sessions or failed; without -D and -l no path of ours meets its shell."""
        self._write_settings()
        with contextlib.suppress(FileNotFoundError):
            if self.log_path.stat().st_size > LOG_BYTES_MAX:
                self.log_path.replace(self.log_path.with_name("postgres.log.1"))
        log_fd = self._open(self.log_path.name, os.O_APPEND)
        try:
            self._log_start = os.lseek(log_fd, 0, os.SEEK_END)
            failed = self._run(lock_fd, self.data_dir, *PG_CTL_START, stdout=log_fd)
            if failed and os.fstat(log_fd).st_size == self._log_start:  # the server had no chance to speak
                os.write(log_fd, f"quantsail: {failed}\n".encode())
        finally:
            os.close(log_fd)

    def _write_settings(self) -> None:
        """Rewrite our settings before each start, because the home may have moved. ALTER SYSTEM still wins."""
        path = self.data_dir / SETTINGS_FILE
        draft = path.with_suffix(".new")
        draft.write_text(f"{SETTINGS}unix_socket_directories = '{self.socket_dir}'\n", "utf-8")
        self._hand_over(draft)
        draft.replace(path)

    def _create_cluster(self, lock_fd: int) -> None:
        """initdb into a directory beside, then rename: a killed initdb leaves no half cluster."""
        if major_of(self.data_dir) is not None:
            return
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise pgbin.DataDirectoryError(f"{self.data_dir} holds files but no cluster: move them elsewhere")
        draft = self.home / "pgdata.init"
        shutil.rmtree(draft, ignore_errors=True)
        failed = self._run(lock_fd, draft, "initdb", *INITDB_OPTIONS)
        if failed is not None:
            shutil.rmtree(draft, ignore_errors=True)
            raise ServerStartError(f"initdb failed in {self.home} ({failed}): free space there, or set DATABASE_URL")
        with (draft / "postgresql.conf").open("a", encoding="utf-8") as conf:
            conf.write(f"\ninclude = '{SETTINGS_FILE}'\n")
            conf.flush()
            os.fsync(conf.fileno())
        draft.rename(self.data_dir)

    def _run(self, lock_fd: int, data_dir: Path, *argv: str, stdout: int = subprocess.DEVNULL) -> str | None:
        """Run one of PostgreSQL's programs as the right account; None when it succeeded, else its last words."""
        way = pgbin.run_as(self.home, self.binaries)
        pgbin.hand_over(way, self.home, self.socket_dir)
        program = str(self.binaries.tool(argv[0]))
        return pgbin.run_locked([*way.prefix, program, *argv[1:]], data_dir, lock_fd, stdout, START_TIMEOUT_S + 10)

    def _clear_stale(self) -> None:
        """Make room for a new postmaster once no process at all uses the data directory (orphaned backends write!).

        The pid in postmaster.pid may by now be any innocent process, for which PostgreSQL would refuse to start. It
        is replaced, not deleted with the file: the shared-memory key beside it lets PostgreSQL look for orphans.
        """
        deadline = time.monotonic() + ORPHANS_TIMEOUT_S
        while orphans := pgbin.processes_using(self.data_dir):
            if time.monotonic() > deadline:
                raise ServerStartError(f"processes {orphans} still use {self.data_dir}: stop them, then start again")
            time.sleep(POLL_S)
        pid_file = self.data_dir / "postmaster.pid"
        if pgbin.recorded_pid(self.data_dir) is None:
            pid_file.unlink(missing_ok=True)  # empty or torn after a power failure: it names nobody
        else:
            rest = pid_file.read_bytes().partition(b"\n")[2]
            pid_file.write_bytes(b"%d\n%b" % (NO_PROCESS, rest))
        for name in (f".s.PGSQL.{pgbin.PORT}.lock", f".s.PGSQL.{pgbin.PORT}"):
            (self.socket_dir / name).unlink(missing_ok=True)

    def _stop(self) -> bool:
        """Fast shutdown, then after STOP_TIMEOUT_S an immediate one (the next start recovers from the log)."""
        pid = self.pid
        if pid is None:
            # Nothing to stop; or it answers from where its process cannot be seen (another container): left alone.
            return pgbin.probe(self.socket_dir) is pgbin.Serving.NOBODY
        for sign, patience_s in ((signal.SIGINT, STOP_TIMEOUT_S), (signal.SIGQUIT, 10.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
            deadline = time.monotonic() + patience_s
            while pgbin.uses(pid, self.data_dir):
                if time.monotonic() > deadline:
                    break
                time.sleep(POLL_S)
            else:
                with contextlib.suppress(OSError):
                    self.socket_dir.rmdir()  # nothing is left behind in /tmp
                return True
        raise ServerStartError(f"the server in {self.home} does not stop: end process {pid} with kill -QUIT {pid}")

    def _last_words(self) -> str:
        try:
            with self.log_path.open("rb") as log:
                log.seek(self._log_start)
                return pgbin.one_line(log.read(65536).decode("utf-8", "replace")) or "its log is empty"
        except OSError:
            return "it left no log"
