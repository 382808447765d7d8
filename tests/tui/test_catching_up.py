"""Until an engine has caught up with its own past there is no picture: old prices would look like losses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from engine.local import LocalClient


def test_no_picture_is_made_of_prices_of_long_ago() -> None:
    client = LocalClient()
    running: Any = SimpleNamespace(engine=SimpleNamespace(catching_up=True), pacer=SimpleNamespace(played=4_212))
    client._running = cast(Any, running)
    client.refresh()
    assert client.snapshot() is None and "4,212 candles" in client.progress()
