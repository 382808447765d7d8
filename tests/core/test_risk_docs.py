"""docs/risk.md is written from the code: `python -m tests.core.test_risk_docs` writes it, the test compares."""

from __future__ import annotations

from pathlib import Path

from engine import house as wait
from engine.core.limits import ACCOUNT_SERIES, MARKET_SERIES, AccountLimits, Floor, Limit, Limits
from engine.core.risk import DENIALS, GATES, DenyCode

PAGE = Path(__file__).resolve().parents[2] / "docs" / "risk.md"

HEAD = """# Risk gates

Generated from `engine/core/risk` and `engine/core/limits.py`: `python -m tests.core.test_risk_docs` writes it anew.

Every order passes every gate, also after the first that blocks, and each says its word: ALLOWED, WARNED or BLOCKED, with the
limit, what it was held against, and the distance. The words are journaled with the decision (`IntentEvaluated`), so that "why is
it not trading?" has an answer, also for a moment in the past.

- A limit has a soft bound, beyond which the gate warns, and a hard one, beyond which it blocks. At the limit is within it.
- Limits are set for the account (`account.limits`) and for each bot (`bots[].limits`). A bot has none until it says so. Where
  both have one on the same thing, the tighter wins; where different things are counted (a bot's exposure, all exposure), each is
  held against its own, and the worse word is told. "Account" is each portfolio as a whole.
- What is not known blocks: no price, no quote where the spread is limited, a number that is not one.
- An order that only closes ("reduce-only") is not asked by the gates that keep risk small, and is only warned by those that ask
  for good data and a house in order. The venue's rules, the collar and the account's message rate hold for it as well. Cancels
  are counted and never refused.
- Loss baselines (peak, start of the day, of the account and of each bot) are facts of the ledger: a restart forgets nothing. A
  person who resumes after a loss accepts it: what tripped is measured anew from the last equity sample. Resuming a bot also
  clears its losses in a row and its window of entries.
- A trip changes a trading state only to a stricter one: HALTED over anything else, REDUCING and PAUSED over ACTIVE alone.
"""

NOTES = f"""
## What some gates mean exactly

- **PRICE_COLLAR**: a buy may be at most the limit above the last price and, as an entry, above the lowest price of the last
  `price_band_s` seconds; a sale the other way round. An exit is held against the last price alone: in a crash it must get out.
  A stop is held against its own trigger.
- **MAX_POSITION, MAX_GROSS_EXPOSURE, MAX_OPEN_POSITIONS, MAX_LEVERAGE** count every open entry as if it filled, in the worst way:
  a netted position of 4 with a sale of 9 under way counts as 5, not as 13. The two sides of a hedge and the positions of several
  bots add up.
- **SELF_TRADE_PREVENTION** compares limit prices with the resting limits of other bots on the same exchange and symbol; a stop
  counts at its trigger, a market order at what it is expected to cost; an order without a price crosses whatever rests there.
- **DATA_REASONABILITY** measures the last close against the close before, and what was heard since against the last close, in
  average true ranges of 14 bars as they were before the jump.
- **MAX_DRAWDOWN** of a bot is its fall from its best profit, in percent of what the portfolio would be worth with that profit alone.
- **JOURNAL_HEALTH** and **CLOCK_SKEW** are measured while live data is traded, and journaled when they change (`HouseChanged`); a
  replay knows neither. Entries wait while a commit takes {wait.COMMIT_MS[0] / 1000:g} s, the engine's loop is {wait.LAG_MS[0] / 1000:g} s late, the
  database is silent for {wait.OUTAGE_S[0]:g} s or {wait.FREE_BYTES[0] >> 20} MB of disk are left. After {wait.OUTAGE_S[1]:g} s of silence, or with {wait.FREE_BYTES[1] >> 20} MB
  left, a person has to resume. It is good again once half of that has held for {wait.BETTER_S:g} s.
- **CUSTOM**: a rule that is unknown counts as true where it stops orders; it never changes a trading state by itself.
"""


def gates() -> str:
    rows = ["| # | gate | what it checks | limits | reduce-only | when it trips |", "|---|---|---|---|---|---|"]
    for gate in GATES:
        what = " ".join((gate.ask.__doc__ or "").split())
        limits = ", ".join(f"`{name}`" for name in gate.limits) or "always"
        closing = "asked" if gate.closing else "skipped"
        rows.append(f"| {gate.number} | {gate.name} | {what} | {limits} | {closing} | {gate.trips or 'block'} |")
    return "\n".join(rows)


def limits() -> str:
    rows = ["| limit | what it is | account's default |", "|---|---|---|"]
    for name, field in Limits.model_fields.items():
        default = AccountLimits.model_fields[name].get_default(call_default_factory=True)
        if isinstance(default, Limit | Floor):
            pairs = (("soft", default.soft), ("hard", default.hard))
            text = ", ".join(f"{word} {value:f}" for word, value in pairs if value is not None) or "none"
        else:
            text = str(default) if default else "none"
        rows.append(f"| `{name}` | {field.description} | {text} |")
    return "\n".join(rows)


def codes() -> str:
    return "\n".join(["| code | why |", "|---|---|", *(f"| `{code}` | {words} |" for code, words in DENIALS.items())])


def series() -> str:
    rows = ["| series | what it is |", "|---|---|"]
    rows += [f"| `{name}` | {words} |" for name, words in ACCOUNT_SERIES.items()]
    rows += [f"| `{name}` | {words}, of the order's symbol |" for name, words in MARKET_SERIES.items()]
    return "\n".join(rows)


def page() -> str:
    return (
        f"{HEAD}\n## Gates\n\n{gates()}\n{NOTES}\n## Limits\n\n{limits()}\n\n## Deny codes\n\n{codes()}\n\n"
        "## Series of risk rules (G15)\n\n"
        'A rule is `{"name": "night", "when": {...}, "action": "warn" | "block" | "reduce" | "halt"}`; `when` is a condition of the\n'
        "rule language without those that look back: gt ge lt le, all any not.\n\n"
        f"{series()}\n"
    )


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python -m tests.core.test_risk_docs"


def test_every_code_has_its_sentence_and_every_gate_its_words() -> None:
    assert set(DENIALS) == set(DenyCode) - {DenyCode.NONE}
    assert all(gate.ask.__doc__ for gate in GATES)
    assert len({gate.name for gate in GATES}) == len(GATES)
    assert {gate.number for gate in GATES} == {f"G{n}" for n in range(1, 16)}
    assert all(field.description for field in Limits.model_fields.values())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
