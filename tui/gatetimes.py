"""What each gate said over time, from recorded breakdowns (IntentEvaluated) and changes of standing gates (GateChanged). Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from engine.core.events import Event, GateChanged, IntentEvaluated
from engine.core.types import Verdict

ACCOUNT = "account"


class Said(NamedTuple):
    """One word of a gate. `standing`: it holds until the gate's next word; else it was about one order, `what`."""

    ts: int
    verdict: Verdict
    actual: str
    limit: str
    what: str
    standing: bool


#: Words of each gate, by time.
Times = Mapping[str, Sequence[Said]]
_WORST = {Verdict.ALLOWED: 0, Verdict.WARNED: 1, Verdict.BLOCKED: 2}


def words_of(event: Event, scope: str) -> Iterable[tuple[str, Said]]:
    """(gate, word) of an event, as far as they are of `scope`: "" is the account with all bots, else a bot's id."""
    if isinstance(event, IntentEvaluated) and scope in ("", event.bot_id):
        what = f"{event.side} {event.symbol}"
        for g in event.gates:
            yield g.gate, Said(event.ts, g.verdict, g.actual, g.limit, what, False)
    elif isinstance(event, GateChanged) and event.scope == (scope or ACCOUNT):
        yield event.gate, Said(event.ts, event.verdict, event.actual, event.limit, "", True)


def times_of(events: Iterable[Event], scope: str) -> dict[str, list[Said]]:
    """All words by gate; gates that blocked come first, then those that warned, then by name."""
    found: dict[str, list[Said]] = {}
    for event in events:
        for gate, said in words_of(event, scope):
            found.setdefault(gate, []).append(said)
    for told in found.values():
        told.sort(key=lambda said: said.ts)
    return dict(sorted(found.items(), key=lambda one: (-max(_WORST[said.verdict] for said in one[1]), one[0])))


class Slice(NamedTuple):
    """The worst word of a stretch of time, and in how many words; `carried`: only what stood from before."""

    said: Said | None
    looks: int
    carried: bool


EMPTY = Slice(None, 0, False)


def slices(told: Sequence[Said], edges: Sequence[int]) -> list[Slice]:
    """A slice for each stretch [edges[n], edges[n+1]): times in us UTC, ascending."""
    starts = [bisect_left(told, edge, key=lambda said: said.ts) for edge in edges]
    out: list[Slice] = []
    stands = next((said for said in reversed(told[: starts[0]]) if said.standing), None) if starts else None
    for first, last in pairwise(starts):
        within = told[first:last]
        worst = max(within, key=lambda said: _WORST[said.verdict], default=None)
        if stands is not None and (worst is None or _WORST[stands.verdict] > _WORST[worst.verdict]):
            out.append(Slice(stands, len(within), True))
        else:
            out.append(Slice(worst, len(within), False) if worst is not None else EMPTY)
        stands = next((said for said in reversed(within) if said.standing), stands)
    return out
