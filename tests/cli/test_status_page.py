"""`status --plain` has what the dashboard shows, aligned also with wide characters, and no byte that a terminal obeys."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec
from msgspec.structs import replace
from rich.cells import cell_len

from engine.cli.status_page import ages, plain, signed
from engine.cli.tables import table
from engine.client import AccountView
from tests.tui.fake_engine import order, position, snapshot
from tui.gatewords import gate_label
from tui.viewmodel import Frame, status_line


def told(**changes: Any) -> dict[str, Any]:
    found = msgspec.to_builtins(msgspec.structs.replace(snapshot(), **changes), builtin_types=(Decimal,))
    return dict(msgspec.json.decode(msgspec.json.encode(found)))


def test_everything_on_the_dashboard_is_on_the_page() -> None:
    picture = snapshot()
    page = "\n".join(plain(told()))
    for p in picture.positions:
        for value in (p.symbol, p.side, p.bot, p.exchange, p.id, f"{p.entry_price:,.{p.price_places}f}"):
            assert str(value) in page
    for o in picture.orders:
        assert o.id in page and o.status in page and o.role in page
    for gate in picture.gates:
        assert gate_label(gate.gate) in page
    for bot in picture.bots:
        assert bot.name in page and bot.status in page
    for mark in picture.marks:
        assert f"{mark.price:,.{mark.price_places}f}" in page
    line = "".join(span.text for span in status_line(Frame(snapshot=picture, mono=picture.beat_mono), 200))
    assert f"eq {picture.equity:,.2f}" in line and f"{picture.equity:,.2f}" in page
    assert f"v{picture.config_version}" in page and picture.feed in page


def test_a_database_that_is_away_says_for_how_long() -> None:
    now = told(database_down_mono=snapshot().beat_mono - 95)
    assert ages(now)["database_down_s"] == 95.0
    assert "DOWN for 95 s" in "\n".join(plain(now))
    assert ages({}) == {"feed_age_s": None, "database_down_s": None} and plain({}) == []


def test_with_several_accounts_each_has_a_row_and_the_equity_says_whose_it_is() -> None:
    main = AccountView(id="1", name="main", currency="USDT", equity=Decimal("10214.33"), opened_with=Decimal(10_000))
    page = "\n".join(plain(told(accounts=(main, replace(main, id="2", name="swing", equity=Decimal(500))))))
    assert "USDT of main, cash" in page and re.search(r"swing +500\.00 +USDT", page)
    assert "of main" not in "\n".join(plain(told(accounts=(main,))))


def test_hostile_words_stay_words() -> None:
    evil = "\x1b]0;owned\x07\u202ex"
    page = "\n".join(
        plain(told(feed=evil, feed_status=evil, error=evil, banner=evil, positions=(position(evil, bot=evil),)))
    )
    assert not any(char in page for char in "\x1b\x07\u202e")


def test_columns_are_aligned_by_cells_not_by_characters() -> None:
    found = table([("SYMBOL", "SIDE"), ("狗狗币/USDT", "BUY"), ("A/B", "SELL")])
    assert {cell_len(line[: line.index(word)]) for line, word in zip(found, ("SIDE", "BUY", "SELL"), strict=True)} == {
        13
    }


def test_a_change_has_its_sign() -> None:
    assert [signed(value) for value in ("0.004", "-0.004", "2.5", "-1234.5")] == ["0.00", "0.00", "+2.50", "-1,234.50"]


def test_a_price_below_one_keeps_its_decimals() -> None:
    xrp = position("XRP/USDT", price_places=4, entry_price=Decimal("0.8608"), mark_price=Decimal("0.8611"))
    assert "0.8608" in "\n".join(
        plain(told(positions=(xrp,), orders=(order(1, "XRP/USDT", price_places=4, price=Decimal("0.85")),)))
    )
