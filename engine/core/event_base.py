"""What every event is. The events themselves: `engine.core.events`."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from engine.core.inputs import Cause
from engine.core.types import Level


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Base. `level` is how loud, `effect` says whether the shell must act after the commit."""

    level: ClassVar[Level] = Level.INFO
    effect: ClassVar[bool] = False
    public_safe: ClassVar[bool] = False

    ts: int
    cause: Cause
