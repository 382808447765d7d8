"""The seeds' rules hold against raw SQL, on the newest server and on 15: vocabularies, ranges, formats, versions by content.

What is no rule here, and why: an order may fill beyond its quantity (the venue's fact; the journal must be able to say so).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from db.connect import connect
from tests.db.schema_rows import (
    APPEND,
    CHECK,
    NOW,
    UNIQUE,
    USER,
    insert,
    insert_refused,
    new_id,
    order,
    people,
    position,
    refused,
)

_VOCABULARIES = """
select c.conrelid::regclass::text as tab, a.attname as col, pg_get_constraintdef(c.oid) as def
from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
join qs.table_classes t on ('qs.' || t.table_name)::regclass = c.conrelid
where c.contype = 'c' and cardinality(c.conkey) = 1 and pg_get_constraintdef(c.oid) ~ '= ANY \\(ARRAY\\[''[^'']*''::text'
"""


@pytest_asyncio.fixture(params=["migrated", "migrated15"])
async def owner(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    dsn: str = request.getfixturevalue(request.param)
    connection = await connect(dsn, "qs_owner")
    # Here rules are tried, not whose rows they are: the policies have their own tests.
    for (table,) in await connection.fetch("select table_name from qs.table_classes"):
        await connection.execute(f"alter table qs.{table} no force row level security")
    yield connection
    await connection.close()


async def test_every_vocabulary_refuses_a_foreign_word(owner: Any) -> None:
    """Each IN list of the catalog, tried by itself: a table of that one column with that one check."""
    found = await owner.fetch(_VOCABULARIES)
    places = {(row["tab"].removeprefix("qs."), row["col"]) for row in found}
    assert len(places) >= 40
    assert {("orders", "status"), ("alerts", "status"), ("outbox", "status"), ("users", "role"), ("positions", "side"),
            ("strategies", "type"), ("backtests", "status"), ("candles", "timeframe"), ("bots", "status"),
            ("exchange_credentials", "environment"), ("smoke_runs", "status")} <= places  # fmt: skip
    for row in found:
        words = re.findall(r"'([^']*)'::text", row["def"])
        await owner.execute(f"create temp table tried ({row['col']} text, {row['def']})")
        for word in words:
            await owner.execute("insert into tried values ($1)", word)
        for wrong in (words[0].lower() if words[0].isupper() else words[0].upper(), words[0] + " ", "", "NONSENSE"):
            await refused(owner, CHECK, "insert into tried values ($1)", wrong)
        await owner.execute("drop table tried")


async def test_every_status_has_a_vocabulary(owner: Any) -> None:
    words = {(r["tab"].removeprefix("qs."), r["col"]) for r in await owner.fetch(_VOCABULARIES)}
    columns = await owner.fetch("""
        select table_name, column_name from information_schema.columns join qs.table_classes using (table_name)
         where table_schema = 'qs' and data_type = 'text'
           and column_name in ('status', 'side', 'mode', 'scope', 'role', 'trading_mode', 'class', 'verb', 'level')""")
    free = {tuple(row) for row in columns} - words
    # The role of an order and the verb of a stop are the engine's own words: gates trip by their own names.
    assert free <= {("orders", "role"), ("kill_switch_events", "verb"), ("stop_results", "verb")}


@pytest.mark.parametrize("name", ["1INCH/USDT", "BTC/USDT:USDT", "kPEPE/USDC:USDC", "BTC/USD:BTC-250328-100000-C",
                                  "ünïcode/币安", "BTC/USD:BTC-250328", "A.B/USDT"])  # fmt: skip
async def test_real_symbols_are_accepted(owner: Any, name: str) -> None:
    assert await owner.fetchval("select qs.is_symbol($1) and qs.is_market($1)", name)


@pytest.mark.parametrize("name", ["", "/", "BTC/", "/USDT", "BTC /USDT", "BTC/US\tDT", "BTC/USDT\n", "BTC/\x1b]0;x\x07",
                                  "BTC//USDT", "BTC/USDT:", "BTC/USDT:A:B", "BTC", "B" * 41 + "/USDT"])  # fmt: skip
async def test_what_is_no_symbol_is_refused(owner: Any, name: str) -> None:
    assert not await owner.fetchval("select qs.is_symbol($1)", name)
    await people(owner)
    await insert_refused(owner, CHECK, "strategies", user_id=USER, name="s", symbol=name)
    alert = {"user_id": USER, "type": "PRICE", "condition": "ABOVE", "threshold": 1, "symbol": name}
    await insert_refused(owner, CHECK, "alerts", **alert)


async def test_the_journals_names_are_kept_but_no_blanks_or_controls(owner: Any) -> None:
    exchange = await people(owner)
    await insert(owner, "orders", **order(exchange, symbol="kPEPE"))
    for name in ("", " ", "BTC USDT", "BTC\x07", "a/b/c"):
        await insert_refused(owner, CHECK, "orders", **order(exchange, id=new_id(), client_order_id="c9", symbol=name))
        await insert_refused(owner, CHECK, "positions", **position(exchange, symbol=name))


async def test_currencies(owner: Any) -> None:
    for good in ("USDT", "1INCH", "kPEPE", "BTC-250328", "€"):
        assert await owner.fetchval("select qs.is_currency($1)", good)
    for bad in ("", "US DT", "USD/T", "A:B", "X\x00Y".replace("\x00", "\x01"), "U" * 41):
        assert not await owner.fetchval("select qs.is_currency($1)", bad)
    await insert_refused(owner, CHECK, "users", email="a@b", preferred_currency="usd dollars")


async def test_emails_and_time_zones_of_users(owner: Any) -> None:
    for number, zone in enumerate(("UTC", "America/Argentina/Buenos_Aires", "Asia/Kolkata", "Etc/GMT+5")):
        await insert(owner, "users", email=f"u{number}@example.org", timezone=zone)
    for zone in ("Mars/Phobos", "FOO5", "", "utc ", "+02:00", "UTC; drop table users"):
        await insert_refused(owner, CHECK, "users", email="x@example.org", timezone=zone)
    await insert(owner, "users", email="operator@localhost")
    for email in ("", "x", "a b@c", "a@b@c", "@b", "a@", "a@b\n", "x" * 250 + "@b.io"):
        await insert_refused(owner, CHECK, "users", email=email)
    await insert_refused(owner, UNIQUE, "users", email="OPERATOR@localhost")


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        ("stop_loss_pct", (0, 100), (-0.01, 100.01)),
        ("take_profit_pct", (0, 1000), (-1, 1000.5)),
        ("max_position_size_pct", (0.01, 100), (0, -1, 100.01)),
        ("max_drawdown_pct", (0, 100), (-1, 101)),
        ("trailing_stop_pct", (0, 100), (-1, 101)),
        ("timeframe", ("1m", "15m", "4h", "1d", "1w", "1M", "30s"), ("", "m", "0m", "100m", "1x", "1m ")),
        ("name", ("Golden cross", "ü"), ("", "  ", "a\nb", "\x1b[2J")),
        ("version", (1, 7), (0, -1)),
    ],
)
async def test_ranges_of_strategies(owner: Any, column: str, good: tuple[Any, ...], bad: tuple[Any, ...]) -> None:
    await people(owner)
    for value in good:
        await insert(owner, "strategies", **{"user_id": USER, "name": "s", column: value})
    for value in bad:
        await insert_refused(owner, CHECK, "strategies", **{"user_id": USER, "name": "s", column: value})


async def test_changed_rules_are_another_version_whoever_changes_them(owner: Any) -> None:
    await people(owner)
    await insert(owner, "strategies", user_id=USER, name="s")
    version = "select version from strategies"
    for sql, expected in (
        ('update strategies set entry_rules = \'[{"op": "gt"}]\'', 2),
        ('update strategies set entry_rules = \'[{"op":"gt"}]\'', 2),  # the same content
        ("update strategies set name = 'other', stop_loss_pct = 3", 2),
        ("update strategies set exit_rules = '[1]', version = 77", 3),
        ("update strategies set parameters = '{\"fast\": 9}'", 4),
    ):
        await owner.execute(sql)
        assert await owner.fetchval(version) == expected
    await refused(owner, APPEND, "update strategies set version = 9")
    assert await owner.fetchval(version) == 4


async def test_a_strategy_version_is_what_its_hash_says(owner: Any) -> None:
    await people(owner)
    strategy = new_id()
    await insert(owner, "strategies", id=strategy, user_id=USER, name="s")
    text = json.dumps({"a": 1})
    row = {"strategy_id": strategy, "version": 1, "document": text, "document_text": text}
    digest = hashlib.sha256(text.encode()).hexdigest()
    for wrong in ("0" * 64, digest.upper(), digest[:-1], ""):
        await insert_refused(owner, CHECK, "strategy_versions", **row, sha256=wrong)
    await insert_refused(owner, CHECK, "strategy_versions", **row | {"document": '{"a": 2}'}, sha256=digest)
    await insert(owner, "strategy_versions", **row, sha256=digest)
    await insert_refused(owner, UNIQUE, "strategy_versions", **row, sha256=digest)
    await insert(owner, "strategy_versions", **row | {"version": 2}, sha256=digest)  # taken back: a version of its own
    await refused(owner, APPEND, "update strategy_versions set version = 3")


async def test_backtests_have_a_range_a_capital_and_trades_that_can_be(owner: Any) -> None:
    await people(owner)
    day, backtest = date(2025, 1, 1), new_id()
    row = {"user_id": USER, "start_date": day, "end_date": date(2025, 2, 1), "initial_capital": 1,
           "strategy_snapshot": "{}"}  # fmt: skip
    await insert(owner, "backtests", id=backtest, **row)
    for wrong in ({"end_date": day}, {"end_date": date(2024, 1, 1)}, {"initial_capital": 0}, {"initial_capital": -1},
                  {"progress_pct": 101}, {"progress_pct": -1}, {"win_rate": 1.1}, {"slippage_pct": -1},
                  {"total_trades": -1}):  # fmt: skip
        await insert_refused(owner, CHECK, "backtests", **row | wrong)
    trade = {"backtest_id": backtest, "trade_number": 1, "symbol": "BTC/USDT", "side": "BUY", "quantity": 1,
             "entry_price": 1, "entry_at": NOW}  # fmt: skip
    await insert(owner, "backtest_trades", **trade)
    for wrong in ({"quantity": 0}, {"entry_price": 0}, {"exit_price": 0}, {"exit_price": -1}, {"trade_number": 0},
                  {"is_open": False}, {"exit_at": NOW}, {"side": "LONG"},
                  {"is_open": False, "exit_at": NOW - timedelta(seconds=1)}):  # fmt: skip
        await insert_refused(owner, CHECK, "backtest_trades", **trade | {"trade_number": 2} | wrong)


async def test_reports_alerts_and_outbox_rows_that_cannot_be(owner: Any) -> None:
    await people(owner)
    await insert_refused(owner, CHECK, "reports", period_start=NOW, period_end=NOW, summary_markdown="x")
    alert = {"user_id": USER, "type": "PRICE", "condition": "ABOVE", "threshold": 1, "symbol": "BTC/USDT"}
    await insert(owner, "alerts", **alert)
    for wrong in ({"notification_channels": ["PIGEON"]}, {"status": "TRIGGERED"}, {"indicator": "RSI"},
                  {"type": "INDICATOR"}, {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}):  # fmt: skip
        await insert_refused(owner, CHECK, "alerts", **alert | wrong)
    notice = {"event_seq": 1, "channel": "log"}
    await insert(owner, "outbox", **notice)
    await insert_refused(owner, UNIQUE, "outbox", **notice)
    for wrong in ({"event_seq": 0}, {"channel": ""}, {"status": "PROCESSING"}, {"status": "COMPLETED"},
                  {"retry_count": -1}, {"locked_by": "me", "locked_until": NOW}):  # fmt: skip
        await insert_refused(owner, CHECK, "outbox", **notice | {"channel": "mail"} | wrong)


@pytest.mark.parametrize(
    ("table", "row", "wrong"),
    [
        ("ticks", {"exchange_id": 1, "symbol": "BTC/USDT", "ts": NOW, "bid": 100, "ask": 100},
         ({"ask": 99.99}, {"bid": 0}, {"ask": -1, "bid": None}, {"last_price": 0}, {"last_volume": -1}, {"symbol": ""})),
        ("order_books", {"exchange_id": 1, "symbol": "BTC/USDT", "ts": NOW, "bids": "[]", "asks": "[]", "depth": 1,
                         "total_bid_volume": 0, "total_ask_volume": 0},
         ({"depth": 0}, {"bids": "{}"}, {"asks": "1"}, {"total_bid_volume": -1}, {"total_ask_volume": -1})),
        ("market_bias", {"asset": "ETH", "timeframe": "4h", "ts": NOW, "value": 1},
         ({"value": 1.01}, {"value": -1.01}, {"confidence": 1.1}, {"confidence": -0.1}, {"asset": ""})),
    ],
)  # fmt: skip
async def test_series_refuse_what_no_market_shows(
    owner: Any, table: str, row: dict[str, Any], wrong: tuple[dict[str, Any], ...]
) -> None:
    await owner.execute("select ensure_partitions($1, $2, $2)", table, NOW)
    for change in wrong:
        await insert_refused(owner, CHECK, table, **row | change)
    await insert(owner, table, **row)


async def test_figures_of_wallets_and_signals_stay_in_their_ranges(owner: Any) -> None:
    exchange = await people(owner)
    wallet = await owner.fetchval("insert into wallets(address) values ('0xab') returning id")
    for address in ("", "0x ab", "0x\x07"):
        await insert_refused(owner, CHECK, "wallets", address=address)
    await insert_refused(owner, UNIQUE, "wallets", address="0xab")
    await owner.execute("select ensure_partitions('wallet_scores', $1, $1)", NOW)
    for wrong in ({"credibility_1h": 10.1}, {"credibility_24h": -1}, {"win_rate": 1.01}, {"trading_volume_24h": -1}):
        await insert_refused(owner, CHECK, "wallet_scores", wallet_id=wallet, ts=NOW, **wrong)
    for wrong in ({"llm_confidence": 1.2}, {"bias_impact": -1.2}, {"embedding": [0.5] * 767}):
        await insert_refused(owner, CHECK, "wallet_event_analyses", event_id=new_id(), event_ts=NOW, **wrong)
    signal = {"id": new_id(), "user_id": USER, "exchange_id": exchange, "symbol": "BTC/USDT", "side": "BUY",
              "kind": "ENTRY", "position_side": "LONG", "config_version": 1, "payload": "{}", "event_seq": 1, "created_at": NOW}  # fmt: skip
    for confidence in (-0.01, 1.01):
        await insert_refused(owner, CHECK, "signals", **signal, confidence=confidence)
    await insert(owner, "signals", **signal, confidence=1)


async def test_an_over_fill_is_a_fact_that_can_be_said(owner: Any) -> None:
    exchange = await people(owner)
    await insert(owner, "orders", **order(exchange, quantity=1, filled_quantity=2, status="FILLED"))
    await insert_refused(
        owner, CHECK, "orders", **order(exchange, id=new_id(), client_order_id="c2", filled_quantity=-1)
    )
