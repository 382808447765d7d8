"""The ledger is the fold of the events, and its hash covers every field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.core import events as ev
from engine.core.books import House
from engine.core.fold import evolve
from engine.core.inputs import Cause
from engine.core.ledger import LAYOUT, Ledger, restore
from engine.core.positions import check_conservation
from engine.core.types import InvariantError, Verb
from tests.core.worlds import World


async def busy(directory: Path) -> World:
    """A ledger with a closed and an open position, open and closed orders, a held gate and a halted state."""
    world = await World(directory).open()
    await world.candle(99, 102, 98, 101)
    await world.candle(101, 102, 90, 100.5)
    await world.candle(99, 102, 98, 101)
    await world.candle(101, 102, 100, 100.5)
    await world.command(Verb.HALT, "for the test")
    return world


async def test_replaying_the_events_gives_the_ledger_byte_for_byte(tmp_path: Path) -> None:
    world = await busy(tmp_path)
    again = Ledger()
    for _, event in world.store.pairs:
        evolve(again, ev.decode(ev.encode(event)))
    again.seq = world.ledger.seq
    assert again.snapshot() == world.ledger.snapshot()
    assert again.state_hash() == world.ledger.state_hash()


async def test_a_snapshot_restores_the_ledger(tmp_path: Path) -> None:
    ledger = (await busy(tmp_path)).ledger
    assert restore(ledger.snapshot()) == ledger


async def test_changing_any_one_field_changes_the_state_hash(tmp_path: Path) -> None:
    ledger = (await busy(tmp_path)).ledger
    snapshot, original = ledger.snapshot(), ledger.state_hash()
    paths = [path for path, _ in leaves(ledger) if path != ("seq",)]
    assert len(paths) > 150  # the world above fills every kind of record
    for path in paths:
        changed = restore(snapshot)
        assert poke(changed, path), path
        assert changed.state_hash() != original, path


async def test_seq_and_nothing_else_is_outside_the_hash(tmp_path: Path) -> None:
    ledger = (await busy(tmp_path)).ledger
    before = ledger.state_hash()
    ledger.seq += 1
    assert ledger.state_hash() == before


async def test_conservation_is_exact_and_a_broken_account_is_found(tmp_path: Path) -> None:
    ledger = (await busy(tmp_path)).ledger
    check_conservation(ledger.accounts, ledger.positions)
    ledger.account.cash += Decimal("1e-18")
    with pytest.raises(InvariantError, match="cash"):
        check_conservation(ledger.accounts, ledger.positions)


async def test_an_order_cannot_be_submitted_twice(tmp_path: Path) -> None:
    world = await World(tmp_path).open()
    await world.candle(99, 102, 98, 101)
    submitted = next(e for _, e in world.store.pairs if isinstance(e, ev.OrderSubmitted))
    with pytest.raises(InvariantError, match="twice"):
        evolve(world.ledger, submitted)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every scalar of a tree of structs, dicts and lists, with the way to it."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from leaves(getattr(value, name), (*path, name))
    elif isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def poke(root: Any, path: tuple[Any, ...]) -> bool:
    """Change the value at `path` to another of its type; True when it is different now."""
    *way, last = path
    holder = root
    for index, name in enumerate(way):
        below = holder[name] if isinstance(holder, (dict, list)) else getattr(holder, name)
        if isinstance(below, (Cause, House)):  # frozen: put a changed copy in its place
            changed = msgspec.structs.replace(below, **{path[index + 1]: other(getattr(below, path[index + 1]))})
            setattr(holder, name, changed)
            return True
        holder = below
    old = holder[last] if isinstance(holder, (dict, list)) else getattr(holder, last)
    new = other(old)
    if isinstance(holder, (dict, list)):
        holder[last] = new
    else:
        setattr(holder, last, new)
    return bool(new != old)


def other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case Enum():
            return next(m for m in type(value) if m is not value)
        case int():
            return value + 1
        case Decimal():
            return value + Decimal("0.01")
        case str():
            return value + "x"
        case None:
            return 1
    raise TypeError(f"no other value for {value!r}")


def test_another_ledger_has_another_layout() -> None:
    """Snapshots of other versions are told by the layout: whoever changes what a ledger consists of counts it up, and writes
    the new digest here."""
    parts = {name: sorted(part.get("properties", ())) for name, part in msgspec.json.schema(Ledger)["$defs"].items()}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    assert (LAYOUT, digest) == (2, "35b3b4d001fa289b")
