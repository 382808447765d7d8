"""Instruments and venues as the screens and the contract views read them; the engine itself takes rules from its feed."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from db.records import as_json, insert, require
from engine.core.canonical import decimal_text
from engine.core.types import ZERO, Instrument

#: Venues whose own names are base and quote joined: BTCUSDT.
_JOINED = frozenset({"binance", "binanceusdm", "bybitlinear", "sim"})
#: What the venue says replaces what is bundled, that replaces the default, and never the other way round.
_REPLACE = """on conflict (exchange_id, symbol) do update set
  native_symbol = coalesce(excluded.native_symbol, instruments.native_symbol),
  min_quantity = excluded.min_quantity, max_quantity = excluded.max_quantity, tick_size = excluded.tick_size,
  step_size = excluded.step_size, price_precision = excluded.price_precision,
  quantity_precision = excluded.quantity_precision, min_notional = excluded.min_notional, status = excluded.status,
  source = excluded.source, contract_info = coalesce(excluded.contract_info, instruments.contract_info),
  metadata = coalesce(excluded.metadata, instruments.metadata)
where array_position('{default,bundled,venue}', excluded.source) >= array_position('{default,bundled,venue}', instruments.source)
"""
_VENUE = """
update qs.exchanges set name = coalesce($2, name), api_base_url = coalesce($3, api_base_url),
  supported_features = coalesce($4::text::jsonb, supported_features), rate_limits = coalesce($5::text::jsonb, rate_limits),
  is_active = coalesce($6, is_active) where code = $1
"""


async def store(
    conn: Any,
    instrument: Instrument,
    *,
    native_symbol: str | None = None,
    contract_info: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> bool:
    """Keep the trading rules of a symbol; False when better ones are there (the venue's over bundled over default)."""
    require(instrument.tick_size > 0 and instrument.lot_size > 0, f"{instrument.symbol}: steps must be above 0")
    joined = f"{instrument.base}{instrument.quote}" if instrument.exchange in _JOINED else None
    row = {
        "exchange_id": await conn.fetchval("select qs.exchange_id($1)", instrument.exchange),
        "symbol": instrument.symbol,
        "native_symbol": native_symbol or joined,
        "base_currency": instrument.base,
        "quote_currency": instrument.quote,
        "min_quantity": instrument.min_quantity if instrument.min_quantity > ZERO else instrument.lot_size,
        "max_quantity": instrument.max_quantity,
        "tick_size": instrument.tick_size,
        "step_size": instrument.lot_size,
        "price_precision": _digits(instrument.tick_size),
        "quantity_precision": _digits(instrument.lot_size),
        "min_notional": instrument.min_notional,
        "status": "TRADING" if instrument.status == "TRADING" else "HALT",
        "source": instrument.source,
        "contract_info": contract_info or _contract(instrument),
        "metadata": metadata,
    }
    return await insert(conn, "instruments", row, _REPLACE, "symbol") is not None


def _contract(instrument: Instrument) -> dict[str, Any]:
    """What one unit of the instrument is, and what a position in it must keep as margin."""
    settle = instrument.symbol.partition(":")[2]
    info: dict[str, Any] = {"kind": "linear" if settle else "spot", "fee_in_base": instrument.fee_in_base}
    if settle:
        info |= {"settle": settle, "contract_size": decimal_text(instrument.contract_size)}
        info["margin_tiers"] = [
            {name: None if (v := getattr(tier, name)) is None else decimal_text(v) for name in tier.__struct_fields__}
            for tier in instrument.margin_tiers
        ]
    return info


async def store_venue(
    conn: Any,
    code: str,
    *,
    name: str | None = None,
    api_base_url: str | None = None,
    supported_features: Mapping[str, Any] | None = None,
    rate_limits: Mapping[str, Any] | None = None,
    is_active: bool | None = None,
) -> int:
    """Keep what is known of a venue (None: as it was); its key. `code` is the engine's word: binance, sim."""
    require(bool(code), "a venue needs a code")
    require(api_base_url is None or api_base_url.startswith("https://"), "the interface's address must be https")
    key = int(await conn.fetchval("select qs.exchange_id($1)", code))
    extras = [None if value is None else as_json(value) for value in (supported_features, rate_limits)]
    await conn.execute(_VENUE, code, name, api_base_url, *extras, is_active)
    return key


def _digits(step: Decimal) -> int:
    """Digits after the point that a step needs: 2 of 0.01, 0 of 10."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
