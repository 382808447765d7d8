"""The engine by itself: `python -m tests.bench.engine NAME [ARGUMENT...]` prints one JSON object, in a process of its own.

golden CANDLES       the common workload (tests/golden.py) through decide, evolve, the paper venue and the journal in memory
late CANDLES         the last tenth of them in turns with the first tenth of a fresh run: what a long journal costs
plain CANDLES        the same as a plain event loop (the yardstick)
prototype DIR CANDLES  the yardstick that is kept in DIR (pyevent.py), over the same market
fold EVENTS          `evolve` over so many events, and the same from their journaled bytes
order ORDERS         from a bar that makes a bot enter to the bytes of its order, with every gate asked
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from db.memory import MemoryJournal
from engine.backtest import Backtest
from engine.core import events as ev
from engine.core.config import parse_config
from engine.core.fold import evolve
from engine.core.inputs import Candle, Feature
from engine.core.ledger import Ledger
from engine.core.orders import Order
from engine.core.strategy import ENTER_LONG, EXIT_LONG, NO_PROPOSAL
from tests import golden


def market(candles: int) -> golden.Columns:
    """The first candles of the market. Made once, by a process of its own: the making takes more memory than a run."""
    kept = Path(tempfile.gettempdir()) / f"quantsail-golden-{golden.SEED}.npz"
    if not kept.exists():
        code = f"import numpy; from tests import golden; numpy.savez({str(kept)!r}, **golden.market())"
        subprocess.run([sys.executable, "-c", code], check=True)
    with np.load(kept) as columns:
        return {name: columns[name][:candles].copy() for name in columns.files}


def played(candles: int) -> dict[str, float]:
    columns = market(candles)
    before = _resident_mb()
    result = golden.play(columns)
    return {**result._asdict(), "candles": candles, "peak_mb": _resident_mb(), "before_mb": before}


def late(candles: int) -> dict[str, float]:
    """CPU seconds of the first and of the last tenth, chunk by chunk in turns, so that both meet the same machine."""
    columns, tenth = market(candles), candles // 10
    worn = golden.started(columns)
    rest = golden.chunks(columns)
    for chunk in itertools.islice(rest, (candles - tenth) // golden.CHUNK):
        worn.feed(chunk)
    fresh = golden.started(columns)
    spent = [0.0, 0.0]
    for pair in zip(golden.chunks({name: column[:tenth] for name, column in columns.items()}), rest, strict=True):
        for which, (run, chunk) in enumerate(zip((fresh, worn), pair, strict=True)):
            start = time.process_time()
            run.feed(chunk)
            spent[which] += time.process_time() - start
    return {"candles": tenth, "first_s": spent[0], "last_s": spent[1]}


def plain(candles: int) -> dict[str, float]:
    result = golden.yardstick(market(candles))
    return {**result._asdict(), "candles": candles, "peak_mb": _resident_mb()}


def prototype(folder: str, candles: int) -> dict[str, float]:
    sys.path.insert(0, folder)
    with contextlib.redirect_stdout(io.StringIO()):
        timer, (trades, equity, stops, takes) = importlib.import_module("pyevent").run(market(candles))
    return {"trades": trades, "equity": equity, "stops": stops, "takes": takes, "seconds": timer.cpu}


def fold(events: int) -> dict[str, float]:
    """The journal of the workload, folded again and again by fresh ledgers until so many events are done."""
    journal = MemoryJournal()
    golden.play(market(200_000), journal=journal)
    source = [event for _, event in journal.store.pairs]
    encoded = [ev.encode(event) for event in source]

    def seconds(one: Callable[[Any], ev.Event], items: list[Any]) -> float:
        start, left = time.process_time(), events
        while left > 0:
            ledger = Ledger()
            for item in items[:left]:
                evolve(ledger, one(item))
            left -= len(items)
        return time.process_time() - start

    return {"events": events, "evolve_s": seconds(lambda e: e, source), "decode_s": seconds(ev.decode, encoded)}


class _InAndOut:
    """Enters on one bar, leaves on the next."""

    warmup_bars = 1
    proposal = NO_PROPOSAL

    def __init__(self, params: object) -> None:
        self._bars = 0

    def on_bar(self, candle: Candle) -> int:
        self._bars += 1
        return ENTER_LONG if self._bars % 4 == 1 else EXIT_LONG if self._bars % 4 == 3 else 0

    def on_feature(self, feature: Feature) -> None: ...

    def explain(self) -> dict[str, Any]:
        return {"why": "its turn"}


def ordered(orders: int) -> dict[str, float]:
    wide = {"soft": "1000000", "hard": "10000000"}
    names = (
        "max_order_value",
        "max_order_quantity",
        "max_position_value",
        "max_open_positions",
        "max_leverage",
        "max_jump_atr",
    )
    limits = dict.fromkeys(names, wide) | {
        "max_messages_per_day": wide,
        "max_messages_per_minute": wide,
        "max_entries_per_window": {"hard": "1000"},
        "entries_window_s": 60,
        "max_consecutive_losses": wide,
    }
    sizing = {"kind": "fixed_quantity", "value": "0.01"}
    bot = {"name": "probe", "strategy": {"python": "probe"}, "sizing": sizing, "limits": limits}
    document = {"schema": 1, "bots": [bot], "account": {"limits": limits}}
    run = Backtest(
        parse_config(document),
        [golden.INSTRUMENT],
        MemoryJournal(),
        balance=D(golden.CASH),
        factories={"probe": _InAndOut},
    )
    venue, spent, began = run.engine.dispatch.venue, [], 0.0
    submit, encode = venue.submit, msgspec.json.Encoder().encode

    def wire(order: Order) -> None:
        if not order.reduce_only:
            encode(order)
            spent.append(time.perf_counter() - began)
        submit(order)

    venue.submit = wire  # type: ignore[method-assign]
    gc.collect()
    gc.freeze()  # as the engine's host does after its start
    for chunk in golden.chunks(golden.market(max(orders * 5, 2_000), seed=3)):
        for value in chunk:
            began = time.perf_counter()
            run.feed([value])
    cuts = statistics.quantiles(spent[len(spent) // 10 :], n=100)
    return {"orders": len(spent), "p50_us": cuts[49] * 1e6, "p99_us": cuts[98] * 1e6}


def _resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


JOBS: dict[str, Callable[..., dict[str, float]]] = {
    "golden": lambda candles: played(int(candles)),
    "late": lambda candles: late(int(candles)),
    "plain": lambda candles: plain(int(candles)),
    "prototype": lambda folder, candles: prototype(folder, int(candles)),
    "fold": lambda events: fold(int(events)),
    "order": lambda orders: ordered(int(orders)),
}

if __name__ == "__main__":
    print(json.dumps(JOBS[sys.argv[1]](*sys.argv[2:])))
