"""The cockpit for an hour: what it keeps, writes and loses. Never part of the tests.

    python tests/bench/soak.py --minutes 60                              a table on stdout, progress on stderr
    python tests/bench/soak.py --minutes 60 --write docs/performance.md  replaces its section in the page's marked block
    python tests/bench/soak.py --minutes 10 --warm-up 3 --samples soak.jsonl

One cockpit in a pseudo-terminal of 200x50 plays a simulated market of 20 candles a second on the dashboard. Each minute is a
line of JSON in the samples file. Memory is the resident set of the cockpit's process (screen, engine, their threads; not
PostgreSQL's processes); its drift is the mean of the last five minutes less the mean of the first five after the warm-up.
A beat is the engine's sign of life, one a second; the lag of its loop is the worst that each second had. Needs Linux (/proc).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)  # a script's own folder would come first, and its modules shadow those of others

from engine import status  # noqa: E402
from tests.bench.figures import Book, written  # noqa: E402
from tests.bench.painting import DATA, LIVE, home_of, percentile  # noqa: E402
from tests.bench.plan import SOAK  # noqa: E402
from tests.bench.probe import Probe, ProbeError, cpu_s, program  # noqa: E402
from tests.bench.run import machine  # noqa: E402

MINUTE_S = 60.0
#: The status file is written once a second; looked at more often, no sign of life is missed.
LOOK_S = 0.4
#: Between two signs of life; what is longer than two of them has lost one.
BEAT_S = 1.0
#: Samples at each end that the drift is taken from.
ENDS = 5


class Look(NamedTuple):
    """One picture as the status file has it: when it was made, the worst lag of the second before it, candles so far."""

    beat_mono: float
    lag_ms: float
    candles: int


class Engine:
    """The engine as seen through its status file."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._path: Path | None = None
        self.seen: list[Look] = []
        self.lost = 0

    def look(self) -> None:
        """Take in the newest picture, once."""
        if self._path is None:
            self._path = next((self._home / "data" / "quantsail" / "ledgers").glob(f"*/{status.STATUS_NAME}"), None)
        found = status.read(self._path) if self._path is not None else None
        if found is None or not found.get("replay"):
            return
        now = Look(found["beat_mono"], found["lag_ms"], found["replay"]["played"])
        if self.seen:
            gap_s = now.beat_mono - self.seen[-1].beat_mono
            if gap_s == 0:
                return
            self.lost += max(0, int(gap_s / BEAT_S) - 1)
        self.seen.append(now)

    def taken(self) -> list[Look]:
        """What was seen since this was last asked, the newest kept for the next gap."""
        seen, self.seen = self.seen, self.seen[-1:]
        return seen


def minutes(probe: Probe, engine: Engine, count: int) -> Iterator[dict[str, Any]]:
    """A sample at the end of each minute. Raises ProbeError when the cockpit ends."""
    proc = Path(f"/proc/{probe.process.pid}")
    engine.taken()
    for number in range(1, count + 1):
        began, received, cpu, lost = time.perf_counter(), probe.received, cpu_s(probe.process.pid), engine.lost
        while (spent := time.perf_counter() - began) < MINUTE_S:
            probe.drain(min(LOOK_S, MINUTE_S - spent))
            engine.look()
            if probe.process.poll() is not None:
                raise ProbeError(f"the cockpit ended with {probe.process.returncode} in minute {number}")
        seen = engine.taken()
        lags = [look.lag_ms for look in seen[1:]]
        if not lags:
            raise ProbeError(f"no sign of life of the engine in minute {number}")
        yield {
            "minute": number,
            "rss_mb": round(probe.rss_mb, 2),
            "kb_s": round((probe.received - received) / spent / 1e3, 2),
            "cpu_percent": round((cpu_s(probe.process.pid) - cpu) / spent * 100, 2),
            "candles_s": round((seen[-1].candles - seen[0].candles) / spent, 1),
            "beats": len(lags),
            "lost_beats": engine.lost - lost,
            "lag_p50_ms": round(percentile(lags, 50), 2),
            "lag_p99_ms": round(percentile(lags, 99), 2),
            "lag_max_ms": round(max(lags), 2),
            "threads": len(list((proc / "task").iterdir())),
            "files": len(list((proc / "fd").iterdir())),
            "lags_ms": [round(lag, 2) for lag in lags],
        }


def say(sample: dict[str, Any], count: int) -> None:
    print(
        f"minute {sample['minute']:>3} of {count}: {sample['rss_mb']:7.2f} MB  {sample['kb_s']:5.2f} kB/s  "
        f"CPU {sample['cpu_percent']:5.2f} %  {sample['candles_s']:5.1f} candles/s  lost beats {sample['lost_beats']}  "
        f"lag p50 {sample['lag_p50_ms']:.2f} p99 {sample['lag_p99_ms']:.2f} max {sample['lag_max_ms']:.2f} ms  "
        f"{sample['threads']} threads, {sample['files']} files",
        file=sys.stderr,
        flush=True,
    )


def drift_mb(samples: list[dict[str, Any]], warm_up: int) -> float:
    """Megabytes that the process has grown by after its warm-up."""
    steady = [sample["rss_mb"] for sample in samples if sample["minute"] > warm_up]
    ends = max(1, min(ENDS, len(steady) // 2))
    return statistics.fmean(steady[-ends:]) - statistics.fmean(steady[:ends])


def figures(samples: list[dict[str, Any]], warm_up: int) -> Book:
    book = Book((SOAK,))
    steady = [sample for sample in samples if sample["minute"] > warm_up] or samples
    drift = drift_mb(samples, warm_up)
    lags = [lag for sample in samples for lag in sample["lags_ms"]]
    book.add("soak_drift", abs(drift))
    book.add("soak_rss", *(sample["rss_mb"] for sample in steady))
    book.add("soak_bytes", *(sample["kb_s"] for sample in samples))
    book.add("soak_cpu", *(sample["cpu_percent"] for sample in samples))
    book.add("soak_candles", *(sample["candles_s"] for sample in samples))
    book.add("soak_lost", sum(sample["lost_beats"] for sample in samples))
    book.add("soak_lag_p50", percentile(lags, 50))
    book.add("soak_lag_p99", percentile(lags, 99))
    book.add("soak_lag_max", max(lags))
    return book


def heading(samples: list[dict[str, Any]], warm_up: int) -> str:
    facts = machine()
    return (
        f"Measured {facts['date']} over {len(samples)} minutes, {warm_up} of them warm-up, with Python {facts['python']} on "
        f"{facts['system']}, {facts['cores']} cores that others use too (load average at the end {facts['load'][0]}, "
        f"{facts['load'][1]}); memory changed by {drift_mb(samples, warm_up):+.2f} MB."
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60, metavar="N", help="how long (default 60)")
    parser.add_argument(
        "--warm-up", type=int, default=10, metavar="N", help="minutes before memory counts (default 10)"
    )
    parser.add_argument(
        "--samples", type=Path, metavar="FILE", help="where the lines of JSON go (default: a temporary file)"
    )
    parser.add_argument("--write", type=Path, metavar="PAGE", help="replace its section in the marked block of a page")
    parser.add_argument("--keys", default="", help="keys pressed once the market is there, as 3 for another screen")
    asked = parser.parse_args()
    if asked.minutes - asked.warm_up < 2:
        parser.error("memory needs two minutes behind the warm-up: give more --minutes or a shorter --warm-up")
    return asked


def soak(asked: argparse.Namespace, folder: Path, out: Path) -> list[dict[str, Any]]:
    samples = []
    home = folder / "home"
    with Probe([*program(), *LIVE], home_of(home)) as probe, out.open("w", encoding="utf-8") as file:
        probe.wait_for(DATA)
        engine = Engine(home)
        for _ in range(10):
            probe.drain(LOOK_S)
            engine.look()
        probe.send(asked.keys.encode())
        try:
            for sample in minutes(probe, engine, asked.minutes):
                samples.append(sample)
                say(sample, asked.minutes)
                file.write(json.dumps(sample) + "\n")
                file.flush()
        except KeyboardInterrupt:
            print("stopped by hand; the table has what was measured", file=sys.stderr)
    return samples


def main() -> int:
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="quantsail-soak-") as folder:
        out = asked.samples or Path(tempfile.mkstemp(prefix="quantsail-soak-", suffix=".jsonl")[1])
        print(f"samples: {out}", file=sys.stderr, flush=True)
        try:
            samples = soak(asked, Path(folder), out)
        except ProbeError as error:
            print(f"soak.py: {error}", file=sys.stderr)
            return 1
    if not samples:
        return 1
    warm_up = min(asked.warm_up, len(samples) - 1)
    book = figures(samples, warm_up)
    page = book.markdown(heading(samples, warm_up))
    if not written(asked.write, page, "soak.py"):
        return 1
    print(page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
