"""Exit codes, and the one place where an error becomes a line on stderr."""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import NoReturn


class Exit(IntEnum):
    """What a script may rely on; in words: MEANINGS."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    DATABASE = 3
    DATA = 4
    LEDGER = 5
    AUDIT = 6
    NOT_RUNNING = 7
    INTERRUPTED = 130


#: For docs/commands.md.
MEANINGS: dict[Exit, str] = {
    Exit.OK: "Done. For `halt`: the latch is durable.",
    Exit.REFUSED: "Understood and refused (an invalid config, a resume that is not allowed), or it failed for a reason "
    "that has no code of its own.",
    Exit.USAGE: "Options that do not exist, do not go together, or leave open what is meant.",
    Exit.DATABASE: "The database cannot be reached, started or migrated.",
    Exit.DATA: "Candle files or feeds that cannot be trusted or reached.",
    Exit.LEDGER: "Another engine runs this ledger, or the ledger belongs to other data.",
    Exit.AUDIT: "The journal, a stored config, the schema or a copy of them is not what was written.",
    Exit.NOT_RUNNING: "There is no such ledger, or no engine is running where one is needed.",
    Exit.INTERRUPTED: "Ended by Ctrl-C before it was done.",
}

#: Class names rather than classes: importing the database to find out that it is down would cost every command half a second.
_CODES = {
    "EmbeddedPostgresError": Exit.DATABASE,
    "ConnectError": Exit.DATABASE,
    "PostgresError": Exit.DATABASE,  # a connection that broke in the middle of a command
    "InterfaceError": Exit.DATABASE,
    "InternalClientError": Exit.DATABASE,
    "MigrationError": Exit.DATABASE,
    "JournalUnavailable": Exit.DATABASE,
    "FingerprintError": Exit.DATABASE,
    "SchemaChanged": Exit.AUDIT,
    "FeedError": Exit.DATA,
    "JournalError": Exit.LEDGER,
    "ConfigTampered": Exit.AUDIT,
    "ChainBroken": Exit.AUDIT,
    "PastBroken": Exit.AUDIT,
    "ReadFailed": Exit.DATABASE,
    "DumpDamaged": Exit.AUDIT,
    "OtherLedger": Exit.LEDGER,
    "OptionsError": Exit.USAGE,
    "KeyboardInterrupt": Exit.INTERRUPTED,
}


def code_of(error: BaseException) -> Exit:
    """The exit code of an error: that of its nearest known class."""
    for kind in type(error).__mro__:
        if kind.__name__ in _CODES:
            return _CODES[kind.__name__]
    return Exit.REFUSED


def one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__


def fail(message: str, code: Exit = Exit.REFUSED) -> NoReturn:
    """Say why on stderr, in one line, and exit."""
    print(f"quantsail: {message}", file=sys.stderr)
    raise SystemExit(int(code))
