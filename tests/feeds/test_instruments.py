"""How an exchange's symbol is read, and where trading rules come from."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from engine.core.types import InstrumentKind
from engine.instruments import instrument_for, instrument_from_market, kind_of, split_symbol


@pytest.mark.parametrize(
    ("exchange", "name", "symbol", "quote"),
    [
        ("binance", "BTCUSDT", "BTC/USDT", "USDT"),
        ("binance", "BNBFDUSD", "BNB/FDUSD", "FDUSD"),
        ("binance", "ETHBTC", "ETH/BTC", "BTC"),
        ("binance", "btcusdt", "BTC/USDT", "USDT"),
        ("binance", "1000SATSUSDT", "1000SATS/USDT", "USDT"),
        ("binanceusdm", "BTCUSDT", "BTC/USDT:USDT", "USDT"),
        ("bybitlinear", "DOGEUSDT", "DOGE/USDT:USDT", "USDT"),
        ("bitfinex", "IOTUSD", "IOT/USD", "USD"),
        ("coinbase", "BTC-USD", "BTC/USD", "USD"),
        ("okx", "BTC_USDT", "BTC/USDT", "USDT"),
        ("kraken", "ETH/EUR", "ETH/EUR", "EUR"),
        ("bybit", "BTC/USDT:USDT", "BTC/USDT:USDT", "USDT"),
        ("ftx", "BTCPERP", "BTCPERP", "USD"),
        ("hyperliquid", "kPEPE", "kPEPE", "USD"),
        ("hyperliquid", "WBTC", "WBTC", "USD"),
        ("binance", "kPEPEUSDT", "kPEPE/USDT", "USDT"),
        ("binance", "USDT", "USDT", "USD"),
        ("x", "BTC", "BTC", "USD"),
    ],
)
def test_symbols_are_split_by_known_quotes(exchange: str, name: str, symbol: str, quote: str) -> None:
    assert split_symbol(exchange, name) == (symbol, quote)


@given(st.text(max_size=20), st.text(max_size=40))
def test_any_name_is_read_without_raising_and_reading_twice_is_the_same(exchange: str, name: str) -> None:
    symbol, quote = split_symbol(exchange, name)
    assert quote
    assert split_symbol(exchange, symbol)[0] == symbol or "/" not in symbol
    assert instrument_for(exchange, symbol).symbol == symbol


def test_bundled_rules() -> None:
    rules = instrument_for("binance", "BTC/USDT")
    assert (rules.base, rules.quote, rules.source) == ("BTC", "USDT", "bundled")
    assert (rules.tick_size, rules.lot_size, rules.min_notional) == (Decimal("0.01"), Decimal("0.00001"), Decimal(5))
    assert rules.min_quantity == rules.lot_size and rules.max_quantity == Decimal(9000)
    for coin in ("ETH", "SOL", "XRP", "ADA", "DOGE", "BNB", "LTC", "AVAX", "LINK"):
        assert instrument_for("binance", f"{coin}/USDT").source == "bundled"
    for coin in ("BTC", "ETH", "SOL", "XRP"):
        assert instrument_for("sim", f"{coin}/USDT").source == "bundled"


def test_an_unknown_symbol_has_the_stated_default() -> None:
    rules = instrument_for("ftx", "BTCPERP", "USD")
    assert (rules.tick_size, rules.lot_size, rules.min_notional, rules.source) == (
        Decimal("0.01"),
        Decimal("0.00000001"),
        Decimal(10),
        "default",
    )
    assert (rules.base, rules.quote) == ("BTCPERP", "USD")
    assert instrument_for("bybitlinear", "BTC/USDT:USDT").quote == "USDT"


def test_the_venues_own_rules() -> None:
    market = {
        "precision": {"amount": 1e-05, "price": 0.01},
        "limits": {"amount": {"min": 1e-05, "max": 9000.0}, "cost": {"min": 10.0, "max": None}},
        "active": True,
    }
    rules = instrument_from_market("binance", "BTC/USDT", market, precision_mode=4)
    assert rules is not None and rules.source == "venue"
    assert (rules.tick_size, rules.lot_size, rules.min_notional) == (Decimal("0.01"), Decimal("0.00001"), Decimal(10))
    assert instrument_from_market("binance", "BTC/USDT", {**market, "active": False}, 4).status == "HALTED"  # type: ignore[union-attr]


def test_a_perpetual_is_known_by_what_it_settles_in() -> None:
    for name, kind in (
        ("BTC/USDT:USDT", InstrumentKind.LINEAR),
        ("kPEPE/USDC:USDC", InstrumentKind.LINEAR),
        ("BTC/USDT", InstrumentKind.SPOT),
        ("BTC/USD:BTC", InstrumentKind.SPOT),
        ("BTC/USDT:USDT-241227", InstrumentKind.SPOT),
        ("BTC/USD:BTC-250328-100000-C", InstrumentKind.SPOT),
        ("BTCPERP", InstrumentKind.SPOT),
    ):
        assert kind_of(name) is kind, name
    assert instrument_for("binanceusdm", "BTC/USDT:USDT").kind is InstrumentKind.LINEAR
    market = {"precision": {"amount": 1, "price": 0.1}, "limits": {}, "contractSize": 0.01}
    rules = instrument_from_market("okx", "BTC/USDT:USDT", market, precision_mode=4)
    assert rules is not None and (rules.kind, rules.contract_size) == (InstrumentKind.LINEAR, Decimal("0.01"))
    spot = instrument_from_market("okx", "BTC/USDT", market | {"contractSize": None}, precision_mode=4)
    assert spot is not None and (spot.kind, spot.contract_size) == (InstrumentKind.SPOT, 1)


@pytest.mark.parametrize(
    "market",
    [
        {},
        {"precision": None},
        {"precision": {"price": 0.01}},
        {"precision": {"price": "x", "amount": 1}},
        {"precision": {"price": 0, "amount": -1}},
        {"precision": {"price": float("nan"), "amount": float("inf")}},
        {"precision": {"price": True, "amount": True}},
    ],
)
def test_unusable_venue_rules_are_not_half_used(market: dict[str, object]) -> None:
    assert instrument_from_market("binance", "BTC/USDT", market, 4) is None


def test_digits_are_not_steps() -> None:
    market = {"precision": {"amount": 5, "price": 2}, "limits": {"amount": None}}
    assert instrument_from_market("binance", "BTC/USDT", market, 2) is None
