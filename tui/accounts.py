"""Whose equity a chart shows: all together, one account, or one bot. What was picked is a text of the picker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.client import WHOLE, AccountView, EngineClient, EquityPoint, Snapshot, TradeView, whole

ALL_BOTS, ACCOUNT = "all bots", "account "


def choices(snapshot: Snapshot | None) -> list[tuple[str, str]]:
    """What can be picked; accounts only where there are several."""
    if snapshot is None:
        return [(ALL_BOTS, "equity of the account")]
    accounts = snapshot.accounts if len(snapshot.accounts) > 1 else ()
    shown = whole(accounts)
    everything = f"equity of {f'account {shown.name}' if shown is not None and shown.id else 'all accounts'}"
    return [
        (ALL_BOTS, everything if accounts else "equity of the account"),
        *((f"{ACCOUNT}{one.name}", f"{one.equity:,.2f} {one.currency}") for one in accounts),
        *((b.name, f"{b.status} {b.realized_pnl:+,.2f}") for b in snapshot.bots),
    ]


def account_of(picked: str, snapshot: Snapshot) -> AccountView | None:
    """The account that was picked; None for a bot, or for all."""
    name = picked.removeprefix(ACCOUNT)
    return next((one for one in snapshot.accounts if name != picked and one.name == name), None)


def stored_as(picked: str, snapshot: Snapshot | None) -> str:
    """The account's name whose curve is shown; "" where storage has no such curve: of a bot, of all accounts together."""
    if snapshot is None:
        return ""
    account = account_of(picked, snapshot)
    if account is None and picked == ALL_BOTS:
        account = whole(snapshot.accounts)
        if account is None:
            return "main"
    return account.name if account is not None and account.id != WHOLE else ""


def trips_of(picked: str, snapshot: Snapshot, trips: Iterable[TradeView]) -> tuple[TradeView, ...]:
    """The round trips of what was picked."""
    account = account_of(picked, snapshot)
    if account is None:
        return tuple(trip for trip in trips if picked in (ALL_BOTS, trip.bot))
    bots = {bot.name for bot in snapshot.bots if bot.portfolio == account.name}
    return tuple(trip for trip in trips if trip.bot in bots)


class AccountCurve:
    """The curve of an account: the same object until there is another sample."""

    def __init__(self) -> None:
        self._of: tuple[str, int] = ("", -1)
        self._points: Sequence[EquityPoint] = ()

    def read(self, client: EngineClient, account: AccountView, seq: int) -> Sequence[EquityPoint]:
        """As of event `seq`."""
        if self._of != (account.id, seq):
            found = client.equity(account.id)
            if self._of[0] != account.id or len(found) != len(self._points) or found[-1:] != self._points[-1:]:
                self._points = found
            self._of = (account.id, seq)
        return self._points


def closer(curve: Sequence[EquityPoint], detail: Sequence[EquityPoint]) -> Sequence[EquityPoint]:
    """The curve with a part of it in the place of what it has of that time."""
    if not detail:
        return curve
    since, until = detail[0].ts, detail[-1].ts
    return [*(p for p in curve if p.ts < since), *detail, *(p for p in curve if p.ts > until)]
