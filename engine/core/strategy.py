"""Strategies: what turns closed bars into "enter" and "exit". Rule documents are the only kind so far."""

from __future__ import annotations

from typing import Any

from engine.core.evaluate import compile_rules
from engine.core.inputs import Candle
from engine.core.setup import BotSetup


class RuleStrategy:
    """One bot's rules on one symbol. `enter` and `leave` speak of the last bar, and stay False until warm."""

    __slots__ = ("bars", "bot", "enter", "leave", "rules", "warmup_bars")

    def __init__(self, bot: BotSetup) -> None:
        self.bot = bot
        self.rules = compile_rules(bot.rules)
        self.warmup_bars = self.rules.warmup_bars(bot.warmup_factor)
        self.bars = 0
        self.enter = False
        self.leave = False

    @property
    def warm(self) -> bool:
        return self.bars >= self.warmup_bars

    def on_bar(self, candle: Candle) -> None:
        """Push a closed bar."""
        self.bars += 1
        fired = self.rules.on_bar(candle)
        if fired and self.bars >= self.warmup_bars:
            self.enter = self.rules.entry_long is True
            self.leave = self.rules.exit_long is True
        else:
            self.enter = self.leave = False

    def explain(self) -> dict[str, Any]:
        """The rule tree with its values on the last bar, for the journal: strings only."""
        return self.rules.explain()
