"""Whether a config version may take hold, and what is journaled of it. The loop swaps it in between two inputs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from engine.config_diff import diff
from engine.core import events as ev
from engine.core.config import ConfigError, parse_config
from engine.core.inputs import Command
from engine.core.ledger import Ledger
from engine.core.market import Market
from engine.core.setup import Setup
from engine.strategies import StrategyError, factories_for

#: The document of a version and the hash that it was kept with.
LoadConfig = Callable[[int], Awaitable[tuple[object, str]]]


class ActivationRefused(Exception):
    """A config version that must not take hold; one line why."""


async def load(load_config: LoadConfig, version: int, ledger_id: str) -> Setup:
    """Raises ActivationRefused for a version that is not there, is none, or is not what it was."""
    try:
        document, sha256 = await load_config(version)
    except Exception as error:
        raise ActivationRefused(f"config {version}: {error}") from error
    try:
        config = parse_config(document)
        setup = Setup(config, ledger_id, version, factories_for(config))
    except (ConfigError, StrategyError) as error:
        raise ActivationRefused(str(error)) from error
    if setup.sha256 != sha256:
        raise ActivationRefused(f"config {version}: its content does not match its hash; it was changed by hand")
    return setup


def check_now(setup: Setup, ledger: Ledger, market: Market) -> None:
    """Raises ActivationRefused for what cannot be traded here, and while an outcome is not known."""
    if market.series and (untradable := setup.untradable(market.instruments.values())):
        raise ActivationRefused(untradable)
    if any(order.in_doubt for order in ledger.orders.values()):
        raise ActivationRefused("an order is in doubt; a config is activated once its outcome is known")


def check_warm(setup: Setup, market: Market) -> None:
    """Raises ActivationRefused where a strategy needs more bars than are known; after the look back."""
    if lacking := market.bars_lacking(setup):
        raise ActivationRefused(lacking)


def activated(command: Command, old: Setup, new: Setup, previous: int) -> ev.ConfigActivated:
    return ev.ConfigActivated(
        ts=command.ts,
        cause=command.cause,
        version=command.version,
        sha256=new.sha256,
        previous=previous,
        actor=command.actor,
        diff=diff(_document(old), _document(new)),
        config=new.text,
    )


def rejected(command: Command, reason: str) -> ev.ConfigRejected:
    return ev.ConfigRejected(
        ts=command.ts, cause=command.cause, version=command.version, actor=command.actor, reason=reason
    )


def _document(setup: Setup) -> dict[str, object]:
    return dict(msgspec.json.decode(setup.text))
