"""What a screen shows of a past moment, made of the ledger as it was then and the newest events before it. Pure.

The present's pictures come from the same functions (`engine.publish`) over the market; of the past the journal knows the prices
of fills and samples alone. What it does not know is marked as not recorded, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeVar

import msgspec

from engine import publish
from engine.client import WHOLE, EquityPoint, GateView, OrderView, Snapshot, TradeView, whole
from engine.core import events as ev
from engine.core.config import ConfigError, parse_config
from engine.core.events import Recorded
from engine.core.ledger import Ledger
from engine.core.market import Market
from engine.core.risk import View
from engine.core.setup import Setup
from engine.core.types import ALLOWED, ZERO, Instrument, InstrumentKind
from engine.curves import Curves
from engine.history import FillView, fill_view
from engine.journals import LOUD, Kinds, PastError, Place
from engine.standing import GateLine, Standing, standing_of
from engine.trips import Trips

#: The newest events of a kind that pictures are made of: (types, how many).
LANES: dict[str, tuple[Kinds, int]] = {
    "log": (LOUD, 500),
    "gates": (frozenset({"IntentEvaluated", "StopCompleted"}), 200),
    "equity": (frozenset({"EquitySampled"}), 2_000),
    "trips": (frozenset({"PositionOpened", "PositionClosed", "ExitsMoved"}), 2_000),
    "bots": (frozenset({"SignalGenerated", "BotStatusChanged"}), 200),
    "config": (frozenset({"ConfigActivated"}), 1),
}
NOT_RECORDED = "~ not recorded"
#: Gates whose numbers need what was not journaled; their verdicts are, whenever they change.
_UNSEEN = frozenset({"STALE_DATA", "SPREAD", "DATA_REASONABILITY"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
G = TypeVar("G", GateView, GateLine)


def utc(ts: int) -> str:
    """2026-11-21 03:12:04Z."""
    try:
        return (_EPOCH + timedelta(microseconds=ts)).strftime("%Y-%m-%d %H:%M:%SZ")
    except OverflowError:
        return f"{ts} us"


class Moment(NamedTuple):
    """What is known of one: the ledger as it was in a view, what its events had said, and the newest of them by lane."""

    view: View
    memory: publish.BoardMemory
    lanes: Mapping[str, Sequence[Recorded]]

    @classmethod
    def of(cls, ledger: Ledger, at: int, lanes: Mapping[str, Sequence[Recorded]], setups: dict[str, Setup]) -> Moment:
        """`lanes` are those of LANES, up to `at`; `setups` keeps the configs that were read, by hash. Raises PastError."""
        setup = _setup(ledger, lanes["config"], setups)
        market = _market(ledger, lanes["equity"], (one.event for one in lanes["trips"]))
        memory = publish.BoardMemory()
        for one in (*lanes["gates"], *lanes["bots"]):
            memory.see(one.event)
        return cls(View(ledger, market, setup, max(at, ledger.now), ledger.account), memory, lanes)

    def standing(self, bot: str) -> Standing:
        """How things stood, with the gates of the account and of a bot."""
        found = standing_of(self.view, self.memory, bot)
        words = self.view.ledger.gates
        gates = tuple(_then(line, None if line.bot else words.get(f"{line.gate} account")) for line in found.gates)
        return msgspec.structs.replace(found, gates=gates, of_past=True)


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One moment: right after the event `seq`, at `ts` (us UTC; `stepped`: the time of that event)."""

    seq: int
    ts: int
    stepped: bool
    kind: str
    first: Place
    head: Place
    snapshot: Snapshot
    log: tuple[Recorded, ...]
    curves: dict[str, Sequence[EquityPoint]]
    trades: tuple[TradeView, ...]
    orders: tuple[OrderView, ...]
    names: dict[str, str]

    @classmethod
    def of(cls, name: str, moment: Moment, event: Recorded, ts: int | None) -> Picture:
        """Of the moment right after `event`, at `ts` (us UTC; None: its own time)."""
        view, lanes = moment.view, moment.lanes
        ledger, market, setup = view.ledger, view.market, view.setup
        names = {bot_id: publish.bot_name(setup, bot_id) for bot_id in ledger.bots}
        trips = Trips(lambda bot_id: names.get(bot_id, bot_id[:8]))
        for one in lanes["trips"]:
            trips.see(one.event)
        trips.catch_up(ledger)
        return cls(
            seq=event.seq,
            ts=event.event.ts if ts is None else ts,
            stepped=ts is None,
            kind=type(event.event).__name__,
            first=Place(0, 0),
            head=Place(0, 0),
            snapshot=_snapshot(name, moment),
            log=tuple(lanes["log"]),
            curves=_curves(ledger, lanes["equity"]),
            trades=tuple(trips.views()),
            orders=publish.all_orders(ledger, market, setup),
            names=names,
        )

    def among(self, first: Place, head: Place) -> Picture:
        """The same moment in a journal that may have grown."""
        return msgspec.structs.replace(self, first=first, head=head)

    def equity(self, account: str = WHOLE) -> Sequence[EquityPoint]:
        """As `EngineClient.equity`."""
        found = whole(self.snapshot.accounts) if not account else None
        return self.curves.get(found.id if found is not None else account, ())

    def fill(self, recorded: Recorded) -> FillView:
        event = recorded.event
        assert isinstance(event, ev.OrderFilled)
        return fill_view(event, self.names.get(event.bot_id, event.bot_id[:8]))


def _setup(ledger: Ledger, activated: Sequence[Recorded], setups: dict[str, Setup]) -> Setup:
    """The config that was active, from its event. Its Python strategies are named, never loaded."""
    event = activated[-1].event if activated else None
    if not isinstance(event, ev.ConfigActivated):
        raise PastError("no config was active yet: step on to the first that was")
    if event.sha256 not in setups:
        try:
            config = parse_config(msgspec.json.decode(event.config))
        except ConfigError as error:
            raise PastError(f"config {event.version} of that time cannot be read by this program: {error}") from error
        setups[event.sha256] = Setup(config, ledger.ledger_id, event.version)
    return setups[event.sha256]


def _market(ledger: Ledger, samples: Sequence[Recorded], traded: Iterable[ev.Event]) -> Market:
    """The markets as the journal knows them: prices of fills and samples, with as many decimals as were seen."""
    seen: dict[tuple[str, str], list[Decimal]] = {}
    last: dict[tuple[str, str], tuple[int, Decimal]] = {}
    contracts: dict[tuple[str, str], tuple[InstrumentKind, Decimal]] = {}
    for order in (*ledger.orders.values(), *ledger.closed_orders.values()):
        prices = seen.setdefault((order.exchange, order.symbol), [])
        prices += [price for price in (order.price, order.stop_price) if price is not None]
    for e in traded:
        if isinstance(e, ev.PositionOpened):
            seen.setdefault((e.exchange, e.symbol), [])
    for event in (one.event for one in samples[-1:]):
        for place, price in event.marks.items() if isinstance(event, ev.EquitySampled) else ():
            exchange, _, symbol = place.partition(" ")
            last[exchange, symbol] = (event.ts, price)
    for position in ledger.positions.values():
        key = (position.exchange, position.symbol)
        contracts[key] = (position.kind, position.contract_size)
        if key not in last or last[key][0] <= position.updated_ts:
            last[key] = (position.updated_ts, position.mark_price)
    for key, (_, price) in last.items():
        seen.setdefault(key, []).append(price)
    instruments = []
    for (exchange, symbol), prices in seen.items():
        kind, size = contracts.get((exchange, symbol), (InstrumentKind.SPOT, Decimal(1)))
        base, _, quote = symbol.partition("/")
        places = max((_places(price) for price in prices), default=2)
        instruments.append(
            Instrument(
                exchange=exchange, symbol=symbol, base=base, quote=quote.partition(":")[0], kind=kind,
                contract_size=size, tick_size=Decimal(1).scaleb(-places), source=NOT_RECORDED,
            )
        )  # fmt: skip
    market = Market(instruments, 1)
    for key, (_, price) in last.items():
        market.series[key].last = float(price)
    return market


def _places(price: Decimal) -> int:
    exponent = price.normalize().as_tuple().exponent
    return min(8, max(0, -exponent)) if isinstance(exponent, int) else 2


def _curves(ledger: Ledger, samples: Sequence[Recorded]) -> dict[str, Sequence[EquityPoint]]:
    curves = Curves(len(samples) + 1)
    for one in samples:
        e = one.event
        if isinstance(e, ev.EquitySampled):
            curves.add(e.portfolio_id, EquityPoint(e.ts, e.equity, e.drawdown))
    return {account: curves.of(account) for account in (WHOLE, *ledger.accounts)}


def _snapshot(name: str, moment: Moment) -> Snapshot:
    ledger = moment.view.ledger
    made = publish.snapshot(name, moment.view, moment.memory, number=ledger.seq, held=ledger.held)
    return msgspec.structs.replace(
        made,
        positions=tuple(msgspec.structs.replace(p, sampled=True) for p in made.positions),
        gates=tuple(_then(gate, ledger.gates.get(f"{gate.gate} account")) for gate in made.gates),
        bots=tuple(
            msgspec.structs.replace(b, reason=f"{NOT_RECORDED}: bars to warm up") if b.status == "WARMING_UP" else b
            for b in made.bots
        ),
    )


def _then(gate: G, verdict: str | None) -> G:
    """The journaled verdict, where there is one; numbers are those at the newest recorded prices."""
    if gate.gate in _UNSEEN:
        word = verdict or (ALLOWED if gate.gate == "STALE_DATA" else gate.verdict)
        return msgspec.structs.replace(gate, verdict=word, actual=NOT_RECORDED, limit="", used=None)
    return gate if verdict is None else msgspec.structs.replace(gate, verdict=verdict)


def denied(recorded: Recorded, names: Mapping[str, str]) -> OrderView:
    """An order that was never sent, as its event has it."""
    e = recorded.event
    assert isinstance(e, ev.OrderDenied)
    return OrderView(
        id=e.order_id, ts=e.ts, bot=names.get(e.bot_id, e.bot_id[:8]), exchange=e.exchange, symbol=e.symbol, side=e.side,
        order_type="", role="ENTRY", quantity=e.quantity, filled_quantity=ZERO, price=None, price_places=2,
        status="DENIED", flags="", reason=e.reason, is_open=False, config_version=e.config_version,
    )  # fmt: skip
