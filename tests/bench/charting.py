"""Milliseconds of CPU to draw a chart, ours beside plain plotext in the same process: 120x30 cells, data that moves on each time.

Ours includes the axes with other ticks for every drawing, as a live chart has them, and ends with strips; plotext's ends
with its string of escape sequences, which a widget would still have to turn into cells.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

WIDTH, HEIGHT = 120, 30
POINTS, BARS, RESULTS, MANY = 480, 100, 300, 1_000_000
ROUNDS = 31
T0, MINUTE_US = 1_735_689_600_000_000, 60_000_000


def chart() -> dict[str, float]:
    """Medians of ROUNDS drawings in milliseconds of CPU, the imports not counted."""
    import numpy as np
    import plotext

    from tui.charts import bins_of, candle_chart, drawdown_chart, histogram_chart, line_chart
    from tui.plot import ChartColours

    rng = random.Random(7)
    ys = [10_000 + (i % 37) * 3.5 - (i % 11) * 8.0 for i in range(POINTS)]
    falls = [-(i % 23) * 0.1 for i in range(POINTS)]
    results = [rng.gauss(2, 20) for _ in range(RESULTS)]
    many = np.cumsum(np.random.default_rng(7).standard_normal(MANY)) + 10_000
    closes = [100.0]
    for _ in range(BARS):
        closes.append(closes[-1] + rng.gauss(0, 1))
    pairs = [(a, b, max(a, b) + rng.random(), min(a, b) - rng.random()) for a, b in pairwise(closes)]
    colours = ChartColours("#56b4e9", "#444444", "#999999", "#000000")

    def xs(round_: int, count: int = POINTS) -> list[int]:
        return [T0 + (i + round_) * MINUTE_US for i in range(count)]

    def seconds(round_: int) -> list[float]:
        return [x / 1e6 for x in xs(round_)]

    def bars(round_: int) -> list[tuple[int, float, float, float, float, float]]:
        at = xs(round_, BARS)
        return [(x, a, high, low, b, 1.0) for x, (a, b, high, low) in zip(at, pairs, strict=True)]

    def plain(draw: Callable[[], object]) -> str:
        plotext.clf()
        plotext.limit_size(False, False)
        plotext.plot_size(WIDTH, HEIGHT)
        draw()
        return str(plotext.build())

    def plain_candles(round_: int) -> str:
        dates = [time.strftime("%d/%m/%Y", time.gmtime(86_400 * (round_ + i))) for i in range(BARS)]
        opens, closes_, highs, lows = zip(*pairs, strict=True)
        data = {"Open": list(opens), "Close": list(closes_), "High": list(highs), "Low": list(lows)}
        return plain(lambda: plotext.candlestick(dates, data))

    many_xs = np.arange(MANY, dtype=np.int64) * MINUTE_US + T0
    jobs: dict[str, Callable[[int], object]] = {
        "line": lambda n: line_chart(xs(n), ys, WIDTH, HEIGHT, colours),
        "line_plain": lambda n: plain(lambda: plotext.plot(seconds(n), ys, marker="braille")),
        "drawdown": lambda n: drawdown_chart(xs(n), falls, WIDTH, HEIGHT, colours),
        "drawdown_plain": lambda n: plain(lambda: plotext.plot(seconds(n), falls, marker="hd", fillx=True)),
        "candles": lambda n: candle_chart(bars(n), WIDTH, HEIGHT, colours),
        "candles_plain": plain_candles,
        "results": lambda n: histogram_chart(bins_of([v + n for v in results], 40), WIDTH, HEIGHT, colours),
        "results_plain": lambda n: plain(lambda: plotext.hist([v + n for v in results], bins=18)),
        "many": lambda n: line_chart(many_xs + n * MINUTE_US, many, WIDTH, HEIGHT, colours),
    }
    return {name: _median_ms(draw) for name, draw in jobs.items()}


def _median_ms(draw: Callable[[int], object]) -> float:
    draw(0)
    times = []
    for n in range(1, ROUNDS + 1):
        start = time.process_time()
        draw(n)
        times.append((time.process_time() - start) * 1e3)
    return statistics.median(times)
