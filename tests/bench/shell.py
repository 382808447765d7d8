"""What a shell sees: the commands' wall time, the headless run, the jobs, the installed size."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import Book
from tests.bench.painting import home_of
from tests.bench.probe import ROOT, environment, program

#: Real candles beside the checkout, when there are any; they are no part of it.
DATA = ROOT.parent / "shared" / "data" / "ohlcv"
MONTH = tuple(DATA / f"binance_{symbol}_1m_2025-01.parquet" for symbol in ("BTCUSDT", "ETHUSDT"))
YARDSTICK = ROOT.parent / "shared" / "research" / "prototypes" / "speed"
SIMULATED_CANDLES = 90_000
MB = 1e6


class CommandFailed(Exception):
    """A measured command ended with an error; one line with what it said."""


def timed(argv: Sequence[str], env: dict[str, str] | None = None) -> tuple[float, str]:
    """(milliseconds, stdout) of a command, from its start to its end. Raises CommandFailed."""
    start = time.perf_counter()
    done = subprocess.run(argv, env=environment(env), cwd=ROOT, capture_output=True, text=True, check=False)
    spent = (time.perf_counter() - start) * 1e3
    if done.returncode:
        raise CommandFailed(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return spent, done.stdout


def have_month() -> bool:
    return all(file.exists() for file in MONTH)


def commands(book: Book, folder: Path) -> None:
    """On the data folder of the runs before, so that there is a ledger to halt and to report."""
    home = home_of(folder)
    book.add("python", timed([sys.executable, "-c", "pass"])[0])
    book.add("help", timed([*program(), "--help"], home)[0])
    book.add("status", timed([*program(), "status", "--json"], home)[0])
    book.add("halt", timed([*program(), "halt"], home)[0])


def headless(book: Book, folder: Path) -> None:
    """A whole run of the program, server start and all, in a fresh data folder."""
    if have_month():
        feed = [word for file in MONTH for word in ("--replay", str(file))]
    else:
        feed = ["--simulate", "7", "--max-candles", str(SIMULATED_CANDLES)]
        book.note(f"No recorded candles here: the engine was measured on {SIMULATED_CANDLES:,} simulated ones.")
    argv = [*program(), "run", "--headless", "--seed", "7", *feed, "--until-end", "--json"]
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        spent, out = timed(argv, home_of(Path(fresh)))
    result = json.loads(out)
    book.add("run_candles", result["candles"] / spent * 1e3)
    book.note(
        f"Headless run: {result['candles']:,} candles, {result['events']:,} events, {result['orders']:,} orders, "
        f"{result['trades']:,} trades, state {result['state_hash'][:12]}."
    )


def job(name: str, *arguments: str, module: str = "jobs") -> dict[str, float]:
    _, out = timed([sys.executable, "-m", f"tests.bench.{module}", name, *arguments])
    return dict(json.loads(out))


def database(book: Book) -> None:
    """Each job on a server of its own."""
    ticks = job("ticks", module="databases")
    book.add("tick_rows", ticks["rows"])
    book.add("tick_raw", ticks["raw"])
    book.add("tick_ratio", ticks["ratio"])
    for tasks in (1, 8, 128):
        found = job("producers", str(tasks), module="databases")
        book.add(f"journal_{tasks}", found["events"])
        book.add(f"journal_{tasks}_ratio", found["ratio"])
        book.add("journal_lost", found["lost"])
    reads = job("reads", module="databases")
    book.add("newest_200", reads["newest_200_ms"])
    book.add("cursor_10000", reads["cursor_10000_ms"])
    rollup = job("rollup", module="databases")
    book.add("rollup_minutes", rollup["minutes_s"])
    book.add("rollup_longer", rollup["longer_s"])
    book.add("rollup_plain", rollup["plain_s"])
    book.add("fingerprint", job("fingerprint", module="databases")["snapshot_ms"])


def core(book: Book) -> None:
    found = job("core", *(str(file) for file in MONTH if have_month()))
    book.add("core_candles", found["candles"] / found["seconds"])


def travel(book: Book) -> None:
    found = job("100000", module="travel")
    book.add("travel_step_p50", found["step_p50_ms"])
    book.add("travel_step_p95", found["step_p95_ms"])
    book.add("travel_jump", found["jump_p50_ms"])
    book.add("travel_lag_p99", found["lag_p99_ms"])
    book.add("travel_quiet_p99", found["quiet_p99_ms"])


def engine(book: Book) -> None:
    """The common workload, ours and the yardsticks right after one another, so that all meet the same machine."""
    million = 1_000_000
    before = job("golden", str(million // 10), module="engine")
    ours = job("golden", str(million), module="engine")
    after = job("golden", str(million // 10), module="engine")
    plain = job("plain", str(million), module="engine")
    if ours["trades"] != plain["trades"] or round(ours["equity"], 2) != round(plain["equity"], 2):
        raise CommandFailed(f"the results differ, so no time is told: {ours} and {plain}")
    book.add("golden_candles", million / ours["seconds"])
    book.add("plain_candles", million / plain["seconds"])
    book.add("golden_share", plain["seconds"] / ours["seconds"])
    book.add("golden_growth", ours["seconds"] / (before["seconds"] + after["seconds"]) / 5)
    late = job("late", str(million), module="engine")
    book.add("golden_late", late["last_s"] / late["first_s"])
    book.add("golden_peak", ours["peak_mb"])
    book.add("plain_peak", plain["peak_mb"])
    if (YARDSTICK / "pyevent.py").exists():
        found = job("prototype", str(YARDSTICK), str(million), module="engine")
        book.add("prototype_candles", million / found["seconds"])
        book.add("golden_share_prototype", found["seconds"] / ours["seconds"])
    else:
        book.note("The yardstick of the research folder is not on this machine; ours has the same shape.")
    folded = job("fold", str(million), module="engine")
    book.add("fold_events", folded["evolve_s"])
    book.add("fold_decoded", folded["decode_s"])
    orders = job("order", "2000", module="engine")
    book.add("order_p50", orders["p50_us"])
    book.add("order_p99", orders["p99_us"])


def journal(book: Book) -> None:
    found = job("journal")
    book.add("commits_1", found["commits_1"])
    book.add("commits_10", found["commits_10"])
    book.add("events_500", found["events_500"])


def server(book: Book) -> None:
    found = job("server")
    book.add("server_first", found["first_ms"])
    book.add("server_again", found["again_ms"])


def charts(book: Book) -> None:
    for name, value in job("chart").items():
        book.add(f"chart_{name}", value)


def installed_size(book: Book, folder: Path) -> None:
    """A fresh environment with the base dependencies and nothing else; needs a package index."""
    place = folder / "venv"
    timed([sys.executable, "-m", "venv", str(place)])
    pip = [
        str(place / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "-c",
        str(ROOT / "constraints.txt"),
        str(ROOT),
    ]
    timed(pip)
    sizes = [(path, path.lstat().st_size) for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
    whole = sum(size for _, size in sizes)
    tools = sum(size for path, size in sizes if _is_tool(path))
    book.add("install_whole", whole / MB)
    book.add("install", (whole - tools) / MB)


def _is_tool(path: Path) -> bool:
    """Whether a file belongs to pip or setuptools, which every environment has and we do not need."""
    names = {part.split("-")[0] for part in path.parts if "site-packages" in path.parts}
    return bool(names & {"pip", "setuptools", "pkg_resources", "_distutils_hack"})
