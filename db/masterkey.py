"""The master key: 32 random bytes that wrap the data keys of `db.vault`. It never enters the database.

Where it comes from, in this order:

1. `QUANTSAIL_MASTER_KEY_FILE`: a file with the key in base64, readable by its owner alone (a secret store's mount);
2. `QUANTSAIL_MASTER_KEY`: the key itself in base64;
3. `master.key` in the config folder: made by us, once, when the first secret is stored.

What the third protects: a stolen dump, backup, replica or disk of a database server, and whoever may read the database but
not this user's files. What it does not protect: whoever can read this user's files, as root or by a copy of the whole home
folder, finds key and embedded database together; nobody is asked for anything. For more than that use 1, with a key that
lives elsewhere. No source protects against a reader of this process's memory. A lost master key is a lost secret: keep a copy
of the file where the database's backups are not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

KEY_BYTES = 32
FILE_VARIABLE = "QUANTSAIL_MASTER_KEY_FILE"
KEY_VARIABLE = "QUANTSAIL_MASTER_KEY"
KEY_NAME = "master.key"
_FILE_BYTES_MAX = 1_024
#: 32 random bytes have fewer distinct values with a probability below 1e-20: whoever comes here typed a word.
_DISTINCT_BYTES_MIN = 10


class MasterKeyError(Exception):
    """There is no master key, or none that may be used. One line with the remedy, never a part of the key."""


class MasterKeyMissing(MasterKeyError):
    """Secrets exist, and the key that they need is not here."""


class MasterKey:
    """The key and where it came from: "FILE", "ENV" or "OWN_FILE". Its repr shows neither the key nor a part of it."""

    __slots__ = ("_key", "origin", "source")

    def __init__(self, key: bytes, source: str, origin: str) -> None:
        """`origin` names the place for people. Raises MasterKeyError for what is no key of 32 random bytes."""
        if len(key) != KEY_BYTES:
            raise MasterKeyError(f"{origin}: a master key is {KEY_BYTES} bytes in base64, not {len(key)}: {_MAKE_ONE}")
        if len(set(key)) < _DISTINCT_BYTES_MIN:
            raise MasterKeyError(f"{origin}: this key is not random: {_MAKE_ONE}")
        self._key = key
        self.source = source
        self.origin = origin

    @property
    def key(self) -> bytes:
        """32 bytes, for the cipher."""
        return self._key

    @property
    def check(self) -> str:
        """16 hex digits that tell one key from another and give nothing away: an HMAC of a constant under the key."""
        return hmac.new(self._key, b"quantsail|master-key|check", hashlib.sha256).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"MasterKey({self.source})"

    def __reduce__(self) -> str:
        raise TypeError("a master key is not pickled")


_MAKE_ONE = "make one with `head -c 32 /dev/urandom | base64`"


def find_master_key(config_home: Path) -> MasterKey | None:
    """The key that this installation has; None where no source names one. Raises MasterKeyError."""
    if name := os.environ.get(FILE_VARIABLE, ""):
        return _read(Path(name), "FILE", FILE_VARIABLE)
    if text := os.environ.get(KEY_VARIABLE, ""):
        return MasterKey(_decode(text, KEY_VARIABLE), "ENV", KEY_VARIABLE)
    path = config_home / KEY_NAME
    return _read(path, "OWN_FILE", "") if os.path.lexists(path) else None


def make_master_key(config_home: Path) -> MasterKey:
    """The key that this installation has, or a new one in `config_home`/master.key. Raises MasterKeyError.

    Two processes at once end up with one key: it is written aside and linked into place, and a link never replaces.
    """
    found = find_master_key(config_home)
    if found is not None:
        return found
    path = config_home / KEY_NAME
    aside = config_home / f".{KEY_NAME}.{secrets.token_hex(8)}"
    try:
        config_home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(aside, base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
        try:
            os.link(aside, path)
        except FileExistsError:
            pass  # another process was faster: its key is the one
        finally:
            aside.unlink()
        _sync_folder(config_home)
    except OSError as error:
        raise MasterKeyError(
            f"the master key cannot be written to {path}: {error.strerror}; make it writable, or set {FILE_VARIABLE}"
        ) from error
    return _read(path, "OWN_FILE", "")


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, source: str, variable: str) -> MasterKey:
    origin = f"{variable}={path}" if variable else str(path)
    try:
        # Non-blocking, so that a FIFO is refused instead of waited for; what is checked is what was opened.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise MasterKeyError(f"{origin}: not a regular file")
            if facts.st_mode & 0o077:
                raise MasterKeyError(
                    f"{origin}: others may read or write it (mode {stat.S_IMODE(facts.st_mode):04o}): chmod 600 {path}"
                )
            if facts.st_uid not in (os.geteuid(), 0):
                raise MasterKeyError(f"{origin}: it belongs to another user: copy it to a file of your own")
            content = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise MasterKeyError(f"{origin}: the master key cannot be read: {error.strerror}") from error
    if len(content) > _FILE_BYTES_MAX:
        raise MasterKeyError(f"{origin}: too long for a master key of {KEY_BYTES} bytes in base64")
    return MasterKey(_decode(content.decode("latin-1"), origin), source, origin)


def _decode(text: str, origin: str) -> bytes:
    # Not chained: the error of the decoder may quote what it could not read.
    try:
        return base64.b64decode(text.strip().encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise MasterKeyError(f"{origin}: a master key is {KEY_BYTES} bytes in base64: {_MAKE_ONE}") from None
