"""The cockpit in a pseudo-terminal: first paint, key to paint, rest, work, memory. Every sample is a fresh process."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.halt import LATCH_NAME
from tests.bench.figures import Book
from tests.bench.probe import Probe, ProbeError, cpu_s, environment, program, rss_mb

#: Four symbols, 20 candles a second: 300 data seconds a second.
LIVE = ("--simulate", "7", "--speed", "300")
STARTED, BARE, READY = b"STARTING", b"BARE APP", b"READY"
#: Only a picture with a market says how it is played.
DATA = b"candles"
CURSOR = "▸".encode()
UP, F9, ESCAPE, SPACE = b"\x1b[A", b"\x1b[20~", b"\x1b", b" "
DOWN = b"\x1b[B"
KILL_DIALOG = b"HALT cancels"
KEYS, KILLS = 80, 9
SETTLE_S, REST_S, WORK_S = 4.0, 8.0, 12.0
LAG_LOOKS, KILLS_BLOCKED = 60, 3
#: An engine's beats with nothing to do between them; prints the worst lag of each second, in milliseconds.
IDLE_LOOP = """
import asyncio, sys, time
async def worst():
    late = []
    for _ in range(4):
        due = time.perf_counter() + 0.25
        await asyncio.sleep(0.25)
        late.append(time.perf_counter() - due)
    return max(late) * 1e3
async def main():
    print(*[await worst() for _ in range(int(sys.argv[1]))])
asyncio.run(main())
"""
TROUBLED = Path(__file__).resolve().parents[1] / "chaos" / "troubled.py"
NOWHERE = "postgresql://nobody@127.0.0.1:9/none?connect_timeout=1"


def app(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.bench.apps", *arguments]


def home_of(folder: Path) -> dict[str, str]:
    """The environment of an installation below `folder`, whose owner has been welcomed: no dialog lies over the screen."""
    marker = folder / "data" / "quantsail" / "welcomed"
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()
    return {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config")}


def first_paint(book: Book, folder: Path) -> None:
    """Bare, fresh, second start, small, without a database: one sample of each."""
    with Probe(app("bare")) as probe:
        book.add("paint_bare", probe.wait_for(BARE))
        probe.drain(1.0)
        book.add("rss_bare", probe.rss_mb)
    shutil.rmtree(folder, ignore_errors=True)
    home = home_of(folder)
    starts = (
        ("paint_fresh_200", 200, 50, "data_fresh"),
        ("paint_again_200", 200, 50, "data_again"),
        ("paint_again_80", 80, 24, ""),
    )
    for key, cols, rows, data_key in starts:
        with Probe([*program(), *LIVE], home, cols, rows) as probe:
            book.add(key, probe.wait_for(STARTED))
            until_data = probe.wait_for(DATA)
            if data_key:
                book.add(data_key, until_data)
    elsewhere = home_of(folder.with_name("down"))  # its ledger must not stand beside the one that others use
    with Probe([*program(), *LIVE], {**elsewhere, "DATABASE_URL": NOWHERE}) as probe:
        book.add("paint_down_200", probe.wait_for(STARTED))


def table_keys(book: Book, kind: str, rows: int, key: str) -> None:
    """Key to paint of a table alone: until the row that the cursor has come to is drawn."""
    rng = random.Random(2)
    times = []
    with Probe(app(kind, str(rows))) as probe:
        probe.wait_for(READY, 120)
        probe.drain(1.5)
        row, step = 0, 1
        for _ in range(KEYS):
            step = -1 if row > 30 else 1 if row == 0 else step
            row += step
            times.append(probe.press(DOWN if step == 1 else UP, f"ROW{row:05d}".encode()))
            probe.drain(rng.uniform(0.03, 0.12))
    add_percentiles(book, key, times)


def cockpit_keys(book: Book, folder: Path) -> None:
    """Key to paint in the events of a ledger with a past, while 20 candles a second come in; then the kill key."""
    home = home_of(folder)
    rng = random.Random(3)
    with Probe([*program(), *LIVE], home) as probe:
        probe.wait_for(DATA)
        probe.drain(SETTLE_S)
        probe.send(b"3")
        probe.drain(1.0)
        for _ in range(12):  # away from the end, where the table follows the market
            probe.send(UP)
            probe.drain(0.1)
        if CURSOR in probe.drain(2.0):
            book.note("The cursor of the events was drawn without a key: its key to paint may be too low.")
        times = []
        for i in range(KEYS):
            times.append(probe.press(UP if i % 2 else DOWN, CURSOR))
            probe.drain(rng.uniform(0.03, 0.12))
        add_percentiles(book, "key_live", times)
        kills = []
        for _ in range(KILLS):
            kills.append(probe.press(F9, KILL_DIALOG))
            probe.drain(0.3)
            probe.send(ESCAPE)
            probe.drain(0.7)
        book.add("kill_dialog", percentile(kills, 50))


def add_percentiles(book: Book, key: str, times: Sequence[float]) -> None:
    book.add(f"{key}_p50", percentile(times, 50))
    book.add(f"{key}_p95", percentile(times, 95))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of all are not above (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(percent / 100 * len(ordered)))]


def work(book: Book, folder: Path) -> None:
    """A market of 20 candles a second on the dashboard, then the same at rest."""
    home = home_of(folder)
    with Probe([*program(), *LIVE], home) as probe:
        probe.wait_for(DATA)
        probe.drain(SETTLE_S)
        cpu, output = probe.work_over(WORK_S)
        book.add("live_cpu", cpu)
        book.add("live_bytes", output / 1e3)
        lags = lags_ms(probe.drain, folder)
        book.add("live_lag_p50", percentile(lags, 50))
        book.add("live_lag_p99", percentile(lags, 99))
        whole = probe.rss_mb
        book.add("rss_whole", whole)
        probe.send(SPACE)
        probe.drain(SETTLE_S)
        cpu, output = probe.work_over(REST_S)
        book.add("idle_cpu", cpu)
        book.add("idle_bytes", output)
    with Probe(app("scripted")) as probe:
        probe.wait_for(DATA)
        probe.drain(SETTLE_S)
        cpu, _ = probe.work_over(REST_S)
        book.add("idle_ui_cpu", cpu)
        book.add("rss_ui", probe.rss_mb)
    book.add("rss_added", whole - headless_work(book, folder))
    idle = subprocess.run([sys.executable, "-c", IDLE_LOOP, str(LAG_LOOKS // 2)], capture_output=True, check=True)
    book.add("bare_lag_p99", percentile([float(lag) for lag in idle.stdout.split()], 99))


def lags_ms(wait: Callable[[float], object], folder: Path) -> list[float]:
    """What the status file says of the lag of the engine's loop: each time the worst of the second before."""
    (status,) = (folder / "data" / "quantsail" / "ledgers").glob("*/status.json")
    found = {}
    for _ in range(LAG_LOOKS):
        wait(0.5)
        told = json.loads(status.read_text())
        found[told["beat_mono"]] = float(told["lag_ms"])
    return list(found.values())


def chart_keys(book: Book, folder: Path) -> None:
    """Key to paint of a chart's cursor: at rest, so that whatever is written is the key's."""
    times = []
    with Probe([*program(), *LIVE], home_of(folder)) as probe:
        probe.wait_for(DATA)
        probe.drain(SETTLE_S)
        probe.send(b"4")
        probe.drain(2.0)
        probe.send(SPACE)
        probe.drain(SETTLE_S)
        for i in range(KEYS // 2):
            times.append(probe.press(b"l" if i % 8 == 7 else b"h", b"\x1b["))
            probe.drain(0.2)
    add_percentiles(book, "chart_cursor", times)


def kill_blocked(book: Book, folder: Path) -> None:
    """The second F9 of a cockpit whose own loop is blocked by Python code, until the latch file is there."""
    times = []
    for number in range(KILLS_BLOCKED):
        home = folder.with_name(f"blocked-{number}")
        env = home_of(home)
        with Probe([sys.executable, str(TROUBLED), str(home), *LIVE], env) as probe:
            probe.wait_for(DATA)
            probe.drain(SETTLE_S)
            probe.send(b"T")
            probe.drain(3.0)
            probe.send(F9)
            probe.drain(0.5)
            (ledger,) = (home / "data" / "quantsail" / "ledgers").iterdir()
            sent = time.perf_counter()
            probe.send(F9)
            while not (ledger / LATCH_NAME).exists():
                if time.perf_counter() - sent > 5.0:
                    raise ProbeError("the kill key did not latch within 5 s of a blocked loop")
                time.sleep(0.0005)
            times.append((time.perf_counter() - sent) * 1e3)
            (home / "unblock").touch()
            probe.drain(0.5)
        shutil.rmtree(home, ignore_errors=True)
    book.add("kill_blocked", percentile(times, 50))


def headless_work(book: Book, folder: Path) -> float:
    """The same market without a screen, on the same ledger; returns its resident set in MB."""
    argv = [*program(), "run", "--headless", *LIVE]
    process = subprocess.Popen(argv, env=environment(home_of(folder)), stdout=subprocess.DEVNULL)
    try:
        time.sleep(SETTLE_S)
        if process.poll() is not None:
            raise ProbeError(f"{' '.join(argv)} ended with {process.returncode}")
        cpu, start = cpu_s(process.pid), time.perf_counter()
        time.sleep(WORK_S)
        book.add("live_headless_cpu", (cpu_s(process.pid) - cpu) / (time.perf_counter() - start) * 100)
        resident = rss_mb(process.pid)
        book.add("rss_headless", resident)
        book.add("headless_lag_p99", percentile(lags_ms(time.sleep, folder), 99))
        return resident
    finally:
        process.terminate()
        process.wait(30)
