"""The gates (design/risk.md, docs/risk.md): every order passes every one of them, and each says its word.

Names follow RTS 6 art. 12 and 15, SEC 15c3-5 and the FIA recommendations. Limits are the bot's and the account's, soft
(warns) and hard (blocks); at the limit is within it. What is not known blocks: fail closed. A reduce-only order skips what
keeps risk small (G4 to G7, G9, G10, G13, G15), never G1, G2, G3 and G8, and is only warned by G11, G12 and G14.
"""

from engine.core.risk.gates import GATES, Gate, board, evaluate, verdict_of
from engine.core.risk.trips import Trip, calm, trips, watches
from engine.core.risk.view import Intent, View, fee_rate, notional
from engine.core.risk.words import DENIALS, DenyCode

__all__ = [
    "DENIALS",
    "GATES",
    "DenyCode",
    "Gate",
    "Intent",
    "Trip",
    "View",
    "board",
    "calm",
    "evaluate",
    "fee_rate",
    "notional",
    "trips",
    "verdict_of",
    "watches",
]
