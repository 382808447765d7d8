"""The console script. Errors are one line on stderr and an exit status of `engine.cli.exits`, never a traceback.

`quantsail halt` is taken before the command line library is imported: the way out must be fast and must not depend on it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from engine.cli.exits import Exit, code_of, fail, one_line


def main() -> None:
    """Run one command and exit."""
    argv = sys.argv[1:]
    try:
        code = _halt_at_once(argv)
        raise SystemExit(_by_typer(argv) if code is None else code)
    except KeyboardInterrupt as error:
        fail("interrupted", code_of(error))
    except BrokenPipeError:
        # Whoever read us has gone (`quantsail events | head`); the interpreter's last flush must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(int(Exit.REFUSED)) from None
    except Exception as error:
        if "structlog" in sys.modules:
            from engine.logs import record_crash

            record_crash(error)
        fail(one_line(error), code_of(error))


def _halt_at_once(argv: Sequence[str]) -> int | None:
    """`halt` with its ordinary options; None for everything else, which is then Typer's to run or to refuse."""
    if not argv or argv[0] != "halt" or "_QUANTSAIL_COMPLETE" in os.environ:
        return None
    from engine.cli.stop import halt
    from engine.halt import HALT_REASON

    values = {"--reason": HALT_REASON, "--ledger": ""}
    flags = {"--wait": False, "--json": False}
    words = iter(argv[1:])
    for word in words:
        name, has_value, value = word.partition("=")
        name = "--reason" if word == "-r" else name
        if word in flags:
            flags[word] = True
        elif name in values:
            found = value if has_value else next(words, None)
            if found is None:
                return None
            values[name] = found
        else:
            return None
    return halt(values["--ledger"], values["--reason"], wait=flags["--wait"], as_json=flags["--json"])


def _by_typer(argv: Sequence[str]) -> int:
    """Every other command. What Typer says of a wrong command line becomes one line."""
    from typer import Abort

    from engine.cli.app import app, expand_replay

    try:
        return int(app(args=expand_replay(list(argv)), prog_name="quantsail", standalone_mode=False) or 0)
    except Abort as error:
        raise KeyboardInterrupt from error
    except Exception as error:
        # Typer brings its own copy of click, or not, by version: its errors are known by what they can do.
        said = getattr(error, "format_message", None)
        if said is None:
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(said(), file=sys.stderr)
            return Exit.USAGE
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "quantsail"
        fail(f"{' '.join(str(said()).split())} (see {path} --help)", Exit.USAGE)


if __name__ == "__main__":
    main()
