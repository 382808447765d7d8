"""`pause`, `cancel`, `flatten`, `bots`, `positions`, `orders`: with an engine and without one, of the account and of one bot."""

from __future__ import annotations

import json
from typing import Any

from engine.cli.exits import Exit
from engine.core.config import Config, canonical, parse_config
from tests.cli.desk import Desk
from tests.cli.test_stop_commands import eager, open_entries
from tests.patience import until


def patient() -> Config:
    """Enters after every rising bar, and holds what it has."""
    document = json.loads(canonical(eager()))
    document["bots"][0]["exits"] |= {"stop_loss_pct": "20", "take_profit_pct": "20"}
    return parse_config(document)


def rows(desk: Desk, what: str, ledger: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = desk.run(what, "--ledger", ledger, "--json").json
    return found


def asked(desk: Desk, ledger: str, *words: str) -> dict[str, Any]:
    """The answer of a command that is carried out."""
    done = desk.run(*words, "--ledger", ledger, "--json")
    assert done.code == Exit.OK and done.json["done"], done
    found: dict[str, Any] = done.json
    return found


def outcomes(answer: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["role"], each["outcome"]) for each in answer["results"]}


def test_the_stop_verbs_of_a_running_engine(desk: Desk) -> None:
    """One engine for all of it: every verb says per order and position what it did, and the state is what it says."""
    ledger = desk.fresh("verbs", patient())
    desk.start(ledger, "--speed", "20")  # a bar every three seconds: an entry waits for the next one
    until(lambda: bool(desk.status(ledger).get("positions")) or bool(open_entries(desk.status(ledger))))

    paused = asked(desk, ledger, "pause", "--reason", "lunch", "--wait")
    assert paused["text"] == "trading is PAUSED"
    assert outcomes(paused) <= {("ENTRY", "CANCELED"), ("ENTRY", "FILLED"), ("STOP", "KEPT"), ("TAKE_PROFIT", "KEPT")}
    assert outcomes(paused)
    assert desk.run("status", "--ledger", ledger, "--json").json["state_reason"] == "lunch"
    again = desk.run("pause", "--ledger", ledger)
    assert again.code == Exit.REFUSED and "trading is PAUSED already" in again.err

    assert asked(desk, ledger, "resume", "--reason", "back")["text"] == "trading is ACTIVE"
    until(lambda: any(order["is_open"] and order["role"] == "STOP" for order in desk.status(ledger)["orders"]))
    taken = asked(desk, ledger, "cancel", "--bot", "eager", "--wait", "--reason", "no orders")
    assert taken["text"] == "bot eager is PAUSED" and ("STOP", "CANCELED") in outcomes(taken)
    until(lambda: desk.status(ledger)["bots"][0]["state"] == "PAUSED")
    assert not rows(desk, "orders", ledger)
    (bot,) = rows(desk, "bots", ledger)
    assert (bot["name"], bot["state"], bot["state_reason"]) == ("eager", "PAUSED", "no orders")
    assert desk.status(ledger)["state"] == "ACTIVE"
    assert "bot eager PAUSED: no orders" in desk.run("status", "--ledger", ledger).out

    unknown = desk.run("flatten", "--bot", "eagre", "--ledger", ledger)
    assert unknown.code == Exit.REFUSED and "there is no bot 'eagre'" in unknown.err
    assert asked(desk, ledger, "resume", "--bot", "eager", "--reason", "on")["text"] == "bot eager is ACTIVE"
    until(lambda: bool(desk.status(ledger)["positions"]))
    flat = asked(desk, ledger, "flatten", "--wait", "--reason", "home")
    assert ("POSITION", "CLOSED") in outcomes(flat)
    until(lambda: desk.status(ledger)["state"] == "PAUSED" and not desk.status(ledger)["positions"])
    assert not rows(desk, "orders", ledger) and not rows(desk, "positions", ledger)

    halted = desk.run("halt", "--ledger", ledger, "--wait", "--json", "--reason", "end")
    assert halted.code == Exit.OK
    assert [(row["ledger"], row["latched"], row["verified"]) for row in halted.json] == [(ledger, True, True)]
    assert desk.run("audit", "verify", "--ledger", ledger).code == Exit.OK


def test_a_bot_is_halted_alone_and_nothing_is_latched(desk: Desk) -> None:
    ledger = desk.copy("alone")
    asked(desk, ledger, "halt", "--bot", "crosser", "--reason", "odd")
    assert not (desk.directory(ledger) / "HALTED").exists()
    (bot,) = rows(desk, "bots", ledger)
    assert (bot["state"], bot["state_reason"]) == ("HALTED", "odd")
    assert desk.run("status", "--ledger", ledger, "--json").json["state"] == "ACTIVE"
    before = rows(desk, "bots", ledger)[0]["entries"]
    assert desk.trade(ledger, "--json").json["state"] == "ACTIVE"
    assert rows(desk, "bots", ledger)[0]["entries"] == before  # the halt survived the restart
    assert asked(desk, ledger, "resume", "--bot", "crosser", "--reason", "fine")["text"] == "bot crosser is ACTIVE"


def test_stops_without_an_engine_are_what_the_next_run_does(desk: Desk) -> None:
    ledger = desk.fresh("nobody", patient())
    assert desk.trade(ledger, "--max-candles", "101", "--json").code == Exit.OK
    held = rows(desk, "positions", ledger)
    resting = rows(desk, "orders", ledger)
    assert held and resting and all(row["is_open"] for row in resting)

    stop = next(row for row in resting if row["role"] == "STOP")
    cancelled = asked(desk, ledger, "orders", "cancel", stop["id"][-8:])
    assert stop["id"] in cancelled["text"]
    unknown = desk.run("orders", "cancel", "zz", "--ledger", ledger)
    assert unknown.code == Exit.REFUSED and "there is no one open order 'zz'" in unknown.err
    unknown = desk.run("positions", "close", "zz", "--ledger", ledger)
    assert unknown.code == Exit.REFUSED and "there is no one open position 'zz'" in unknown.err
    every = desk.run("positions", "close", held[0]["id"][:2], "--ledger", ledger)
    assert every.code == (Exit.REFUSED if len(held) > 1 else Exit.OK)  # an id that begins like others is not one

    flat = asked(desk, ledger, "flatten", "--reason", "enough")
    assert "the next run goes on with it" in flat["text"] and flat["results"] is None
    now = desk.run("status", "--ledger", ledger, "--json").json
    assert now["state"] == "REDUCING" and [stop["verb"] for stop in now["stops"]] == ["FLATTEN"]
    assert "FLATTEN under way" in desk.run("status", "--ledger", ledger).out
    assert desk.trade(ledger, "--json").json["state"] == "PAUSED"
    assert not rows(desk, "positions", ledger) and not rows(desk, "orders", ledger)
    assert desk.run("audit", "verify", "--ledger", ledger).code == Exit.OK


def test_a_bot_is_stopped_and_started(desk: Desk) -> None:
    ledger = desk.copy("bots")
    listed = desk.run("bots", "--ledger", ledger)
    assert listed.code == Exit.OK and "crosser" in listed.out and "RUNNING" in listed.out
    assert "no engine is running" in listed.err
    assert asked(desk, ledger, "bots", "stop", "crosser", "--reason", "too eager")["text"] == "bot crosser is STOPPED"
    again = desk.run("bots", "stop", "crosser", "--ledger", ledger)
    assert again.code == Exit.REFUSED and "it is STOPPED already" in again.err
    (bot,) = rows(desk, "bots", ledger)
    assert (bot["status"], bot["reason"]) == ("STOPPED", "too eager")
    assert "bot crosser STOPPED: too eager" in desk.run("status", "--ledger", ledger).out
    entries = bot["entries"]
    desk.trade(ledger)
    assert rows(desk, "bots", ledger)[0]["entries"] == entries
    assert asked(desk, ledger, "bots", "start", "crosser")["text"] == "bot crosser is WARMING_UP"
    unknown = desk.run("bots", "start", "croser", "--ledger", ledger)
    assert unknown.code == Exit.REFUSED and "there is no bot 'croser'" in unknown.err


def test_lists_of_a_ledger_that_is_not_there_and_of_one_that_is_empty(desk: Desk) -> None:
    for what in ("bots", "positions", "orders"):
        assert desk.run(what, "--ledger", "nowhere").code == Exit.NOT_RUNNING
    ledger = desk.copy("tables")
    bot = rows(desk, "bots", ledger)[0]
    assert json.loads(json.dumps(bot))["strategy"].startswith("rules ") and bot["symbols"] == ["*"]
    for what in ("positions", "orders"):
        done = desk.run(what, "--ledger", ledger)
        assert done.code == Exit.OK and (
            f"no open {what}" in done.out or "BTC/USDT" in done.out or "ETH/USDT" in done.out
        )


def test_arguments_that_somebody_put_into_the_table_are_refused(desk: Desk) -> None:
    """The engine reads what others wrote: wrong kinds are answered, and it runs on."""
    ledger = desk.fresh("wrong_arguments", patient())
    program = desk.start(ledger, "--speed", "60")
    with desk.superuser(ledger) as connection:
        for args in ('{"version": "2"}', '{"target": 7}'):
            row = connection.execute(
                "insert into qs.commands(id, verb, args, actor) values(qs.uuid7(), 'PAUSE', %s::jsonb, 'x') returning id",
                (args,),
            ).fetchone()
            assert row is not None
            until(lambda row=row: _status(connection, row["id"]) == "REFUSED")
    assert program.poll() is None and desk.status(ledger)["state"] == "ACTIVE"


def _status(connection: Any, command_id: Any) -> str:
    found = connection.execute("select status from qs.commands where id = %s", (command_id,)).fetchone()
    return str(found["status"])


def test_one_bot_one_order_and_one_position_of_a_running_engine(desk: Desk) -> None:
    ledger = desk.fresh("ones", patient())
    desk.start(ledger, "--speed", "60")
    until(lambda: any(order["is_open"] and order["role"] == "STOP" for order in desk.status(ledger)["orders"]))
    assert asked(desk, ledger, "bots", "stop", "eager", "--reason", "alone")["text"] == "bot eager is STOPPED"
    until(lambda: desk.status(ledger)["bots"][0]["status"] == "STOPPED")
    stop = next(row for row in rows(desk, "orders", ledger) if row["role"] == "STOP")
    assert stop["id"] in asked(desk, ledger, "orders", "cancel", stop["id"])["text"]
    until(lambda: all(row["id"] != stop["id"] or not row["is_open"] for row in desk.status(ledger)["orders"]))
    for position in rows(desk, "positions", ledger):
        assert "closes" in asked(desk, ledger, "positions", "close", position["id"], "--reason", "by hand")["text"]
    until(lambda: not desk.status(ledger)["positions"])
    assert asked(desk, ledger, "bots", "start", "eager")["text"].startswith("bot eager is ")
    until(lambda: desk.status(ledger)["bots"][0]["status"] == "RUNNING")
