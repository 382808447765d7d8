"""Times as people type them. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from engine.core.types import DAY_US, HOUR_US, MINUTE_US, SECOND_US

HINT = "14:03, 14:03:22, 2026-03-14, 2026-03-14 14:03, or -10m, -2h, -3d (UTC)"

_UNITS = {"s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US}
_AGO = re.compile(r"-\s*(\d{1,9})\s*([smhd])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_CLOCKS = ("%H:%M:%S", "%H:%M")


def moment(text: str, now: int) -> int | None:
    """Microseconds UTC of what was typed; a time of day is the last one before `now`. None when it is no time."""
    word = " ".join(text.replace("T", " ").split()).rstrip("Zz").strip()
    ago = _AGO.fullmatch(word)
    if ago is not None:
        return now - int(ago[1]) * _UNITS[ago[2]]
    for form in _FORMS:
        found = _parsed(word, form)
        if found is not None:
            return (found - _EPOCH) // timedelta(microseconds=1)
    for form in _CLOCKS:
        found = _parsed(word, form)
        if found is not None:
            in_day = (found.hour * 3_600 + found.minute * 60 + found.second) * SECOND_US
            at = now - now % DAY_US + in_day
            return at if at <= now else at - DAY_US
    return None


def _parsed(word: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(word, form).replace(tzinfo=UTC)
    except ValueError:
        return None
