"""The console script. Errors are one line on stderr and an exit status of `engine.cli.exits`, never a traceback.

`quantsail halt` is taken before the command line library is imported: the way out must be fast and must not depend on it.
So is the cockpit with its ordinary options: its first picture would wait for every other command to be built.
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
        if code is None:
            code = _cockpit_at_once(argv)
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
    if not argv or argv[0] != "halt":
        return None
    from engine.cli.stop import halt
    from engine.halt import HALT_REASON

    values, flags = {"--reason": HALT_REASON, "--ledger": ""}, {"--wait": False, "--json": False}
    if not _taken(argv[1:], values, flags):
        return None
    return halt(values["--ledger"], values["--reason"], wait=flags["--wait"], as_json=flags["--json"])


def _cockpit_at_once(argv: Sequence[str]) -> int | None:
    """The cockpit with its ordinary options; None for everything else. Raises OptionsError."""
    values, flags = dict(COCKPIT_VALUES), {"--view": False, "--mouse": False, "--no-mouse": False}
    if not _taken(argv, values, flags) or (flags["--mouse"] and flags["--no-mouse"]):
        return None
    try:
        simulate, seed = (int(values[name]) if values[name] else None for name in ("--simulate", "--seed"))
    except ValueError:
        return None
    from engine.cli.run import make_options, run_cockpit

    live_data, timeframe, speed, ledger, balance = (
        values[name] for name in ("--live-data", "--timeframe", "--speed", "--ledger", "--balance")
    )
    options = make_options(None, simulate, live_data, None, timeframe, speed, seed, ledger, balance, default_speed=60)
    return run_cockpit(options, mouse=not flags["--no-mouse"], view=flags["--view"])


#: The cockpit's options that take one value, and what they are without it: as in `engine.cli.app` (a test compares the two).
COCKPIT_VALUES = {
    "--simulate": "",
    "--live-data": "",
    "--timeframe": "1m",
    "--speed": "",
    "--seed": "",
    "--ledger": "",
    "--balance": "10000",
}


_SHORT = {"-r": "--reason"}


def _taken(words: Sequence[str], values: dict[str, str], flags: dict[str, bool]) -> bool:
    """Put the options of a command line into `values` and `flags`; False when there is anything else in it."""
    rest = iter(words)
    for word in rest:
        name, has_value, value = word.partition("=")
        name = _SHORT.get(word, name)
        if word in flags:
            flags[word] = True
        elif name in values:
            found = value if has_value else next(rest, None)
            if not found:
                return False
            values[name] = found
        else:
            return False
    return "_QUANTSAIL_COMPLETE" not in os.environ


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
