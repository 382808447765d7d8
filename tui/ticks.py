"""Round numbers and round times for the axes of a chart."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from engine.core.types import SECOND_US

_DAY_S = 86_400
_TIME_STEPS_S = (
    1, 5, 10, 30, 60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000,
    7776000, 31536000,
)  # fmt: skip


def round_step(rough: float) -> tuple[float, int]:
    """The next step at or above `rough` that people count in (1, 2, 2.5, 5 times a power of ten), and its decimals."""
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10, 20) if power * factor >= rough * 0.999)
    places = max(0, -math.floor(math.log10(step) + 1e-9)) + (1 if step / power == 2.5 and step < 25 else 0)
    return step, places


def value_ticks(low: float, high: float, count: int) -> tuple[list[float], list[str]]:
    """At most `count` + 1 round values from `low` to `high`, with thousands separators and just the decimals that tell them
    apart."""
    step, places = round_step((high - low) / max(1, count))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    ticks = [n * step for n in range(first, min(last, first + 20) + 1)]
    return ticks, [f"{tick + 0.0:,.{places}f}" for tick in ticks]


def count_ticks(most: int, count: int) -> tuple[list[float], list[str]]:
    """Whole numbers from 0 to `most`, at most `count` + 1 of them, evenly apart."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            step = factor * power
            if most <= step * max(1, count):
                ticks = list(range(0, most + 1, step))
                return [float(tick) for tick in ticks], [f"{tick:,}" for tick in ticks]
        power *= 10


def time_ticks(start_us: int, span_s: float, count: int) -> tuple[list[float], list[str]]:
    """Round UTC times as seconds after `start_us`, labelled by their step: `14:30Z`, `14:30:05Z`, `11-20` or `2026-11`.

    Midnight among times is labelled by its day.
    """
    step = next((s for s in _TIME_STEPS_S if span_s / s <= max(1, count)), _TIME_STEPS_S[-1])
    start_s = start_us / SECOND_US
    first = math.ceil(start_s / step - 1e-9)
    times = [n * step for n in range(first, first + 2 * max(1, count) + 2) if n * step <= start_s + span_s]
    if not times:
        times = [math.floor(start_s)]
    return [t - start_s for t in times], [time_label(t, step) for t in times]


def time_label(time_s: int, step_s: int) -> str:
    """A UTC time as an axis names it whose ticks are `step_s` seconds apart."""
    if step_s < _DAY_S and time_s % _DAY_S:
        form = "%H:%M:%SZ" if step_s < 60 else "%H:%MZ"
    else:
        form = "%m-%d" if step_s < 2_592_000 else "%Y-%m"
    return datetime.fromtimestamp(time_s, UTC).strftime(form)
