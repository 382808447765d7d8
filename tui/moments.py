"""Times as people type them. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from engine.core.types import DAY_US, HOUR_US, MINUTE_US, SECOND_US

HINT = "14:03, 14:03:22, 2026-03-14, 2026-03-14 14:03, or -10m, -2h, -3d (UTC)"

_UNITS = {"s": SECOND_US, "m": MINUTE_US, "h": HOUR_US, "d": DAY_US}
_PART = r"(\d{1,9})\s*(?:(s)(?:ec(?:ond)?s?)?|(m)(?:in(?:ute)?s?)?|(h)(?:ours?)?|(d)(?:ays?)?)"
_AGO = re.compile(rf"-\s*(?:{_PART}\s*)+|(?:{_PART}\s*)+ago")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMS = (
    "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y%m%d %H%M", "%d %b %Y %H:%M",
    "%d %b %Y", "%b %d %Y %H:%M",
)  # fmt: skip
_CLOCKS = ("%H:%M:%S.%f", "%H:%M:%S", "%H:%M")


def moment(text: str, now: int) -> int | None:
    """Microseconds UTC of what was typed; a time of day is the last one before `now`. None when it is no time."""
    word = (
        " ".join(re.sub(r"(?<=\d)T(?=\d)", " ", text).split())
        .rstrip("Zz")
        .replace("UTC", "")
        .replace("+00:00", "")
        .strip()
    )
    if _AGO.fullmatch(word):
        return now - sum(int(count) * _UNITS["".join(unit)] for count, *unit in re.findall(_PART, word))
    for name, days in (("today", 0), ("yesterday", 1)):
        if word.lower().startswith(name):
            word = f"{_EPOCH + timedelta(days=now // DAY_US - days):%Y-%m-%d}{word[len(name) :]}"
    for form in _FORMS:
        found = _parsed(word, form)
        if found is not None:
            return (found - _EPOCH) // timedelta(microseconds=1)
    for form in _CLOCKS:
        found = _parsed(word, form)
        if found is not None:
            in_day = (found.hour * 3_600 + found.minute * 60 + found.second) * SECOND_US + found.microsecond
            at = now - now % DAY_US + in_day
            return at if at <= now else at - DAY_US
    return None


def _parsed(word: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(word, form).replace(tzinfo=UTC)
    except ValueError:
        return None
