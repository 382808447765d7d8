"""The hash chain of the journal: canonical rows, sha256 (decisions.md 23).

``hash = sha256(prev || row)``, where ``row`` is the canonical JSON of ``[seq, id, schema_version, level, type, symbol, bot_id,
position_id, actor, public_safe, causation_seq, payload]``: sorted keys, decimals as strings, int64 microseconds. The chain of
a ledger starts from sha256 of its ledger id. Epoch and time of recording are facts of a run and stay outside.

A payload must come back from jsonb as the same bytes, so what jsonb cannot hold or changes (NUL, lone surrogates, floats
that jsonb spells as integers, keys that are not text) is refused, not repaired: the hash would cover something else than
what was decided. Other floats survive, but the core journals none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from math import copysign
from typing import Any, NamedTuple, cast

import msgspec

from engine.core.events import (
    EVENT_TYPES,
    SCHEMA_VERSION,
    AnyEvent,
    Event,
    LedgerOpened,
    Numbered,
    Recorded,
    SignalGenerated,
    decode as decode_event,
    encode as encode_event,
)
from engine.core.inputs import Cause
from engine.ports import JournalError

#: Columns of `events` that repeat a field of the event, in the order of the canonical row.
DERIVED = ("symbol", "bot_id", "position_id", "actor")
_FIELDS: dict[type[Event], tuple[bool, ...]] = {
    kind: tuple(name in kind.__struct_fields__ for name in DERIVED) for kind in EVENT_TYPES.values()
}
#: Columns of the canonical row before the payload.
COLUMNS = ("seq", "id", "schema_version", "level", "type", *DERIVED, "public_safe", "causation_seq")
_UUIDS = frozenset({"id", "bot_id", "position_id"})
#: What `Chain.follow` reads of an event. `ts` comes as int microseconds, the payload as text.
SELECT_EVENTS = (
    "select seq, id, schema_version, level, type, symbol, bot_id, position_id, actor, public_safe, causation_seq,"
    " payload::text as payload, prev_hash, hash, (extract(epoch from ts) * 1000000)::bigint as ts_us from qs.events"
)
#: Events with untyped parts: only there can a float or a key that is not text hide.
_UNTYPED: tuple[type[Event], ...] = (SignalGenerated,)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_encoder = msgspec.json.Encoder(order="sorted")
canonical = _encoder.encode


class JournalRefused(JournalError):
    """An event that the journal cannot keep exactly as it is. Nothing was written; the edge that let it in must clean it."""


def genesis(ledger_id: str) -> bytes:
    """The hash before the first event of a ledger, 32 bytes."""
    return hashlib.sha256(ledger_id.encode()).digest()


def derived_columns(event: Event) -> list[str | None]:
    """[symbol, bot_id, position_id, actor] of an event; None where it has no such field or an empty one."""
    present = _FIELDS[type(event)]
    return [(getattr(event, name) or None) if has else None for name, has in zip(DERIVED, present, strict=True)]


def row_bytes(columns: Sequence[object], payload: bytes) -> bytes:
    """The canonical row: the JSON of `columns` ([seq .. causation_seq], see the module) with the payload as its last item."""
    return canonical(columns)[:-1] + b"," + payload + b"]"


def columns_of(seq: int, event_id: str, event: Event, causation_seq: int) -> tuple[object, ...]:
    """The columns of a new event, in the order of the canonical row."""
    kind = type(event)
    head = (seq, event_id, SCHEMA_VERSION, kind.level, kind.__name__)
    return (*head, *derived_columns(event), kind.public_safe, causation_seq)


def link(prev: bytes, row: bytes) -> bytes:
    return hashlib.sha256(prev + row).digest()


def check_storable(seq: int, event_id: str, event: Event, payload: bytes) -> None:
    """Raise JournalRefused unless `payload` survives jsonb and the derived columns survive their types."""
    kind = type(event).__name__
    if b"\\u0000" in payload and "\x00" in _texts(msgspec.json.decode(payload)):
        raise JournalRefused(f"event {seq} ({kind}) holds a NUL character: clean outside text where it enters")
    if isinstance(event, _UNTYPED):
        raw = msgspec.json.decode(payload)
        if _has_unstable_float(raw):
            raise JournalRefused(f"event {seq} ({kind}) holds -0.0 or a float from 1e16: journal it as Decimal or text")
        if canonical(raw) != payload:
            raise JournalRefused(f"event {seq} ({kind}) has keys that are not text: jsonb would reorder them")
    _, bot_id, position_id, _ = derived_columns(event)
    for name, value in (("id", event_id), ("bot_id", bot_id), ("position_id", position_id)):
        if value is not None and not _UUID.fullmatch(value):
            raise JournalRefused(f"event {seq} ({kind}): {name} {value!r} is not a UUID in lower case with dashes")


def _texts(value: Any) -> str:
    """All text of a JSON value, keys included, joined."""
    if isinstance(value, dict):
        return "".join(key + _texts(item) for key, item in value.items())
    if isinstance(value, list):
        return "".join(map(_texts, value))
    return value if isinstance(value, str) else ""


def _has_unstable_float(value: Any) -> bool:
    """jsonb keeps numbers as numeric: -0.0 loses its sign, and what JSON spells with an exponent comes back as an integer."""
    if isinstance(value, dict):
        return any(map(_has_unstable_float, value.values()))
    if isinstance(value, list):
        return any(map(_has_unstable_float, value))
    return isinstance(value, float) and (abs(value) >= 1e16 or (value == 0 and copysign(1.0, value) < 0))


class ChainBroken(Exception):
    """An event is not what the chain says: `seq` and, in one line, the reason."""

    def __init__(self, seq: int, reason: str) -> None:
        super().__init__(f"event {seq} {reason}")
        self.seq, self.reason = seq, reason


class Link(NamedTuple):
    """One event of a chain with its payload and its columns (see the module) as they were hashed."""

    recorded: Recorded
    payload: bytes
    columns: tuple[object, ...]


class Chain:
    """The end of a chain while it grows: `seq` and `hash` of its tip, and the cause that the next event may share."""

    __slots__ = ("causation_seq", "cause", "hash", "seq")

    def __init__(self) -> None:
        self.seq = 0
        self.hash = b""
        self.cause: Cause | None = None
        self.causation_seq = 0

    def copy(self) -> Chain:
        other = Chain()
        other.seq, other.hash, other.cause, other.causation_seq = self.seq, self.hash, self.cause, self.causation_seq
        return other

    def causation(self, cause: Cause) -> int:
        """The seq of the first event of this cause; the events of one input follow each other."""
        if cause != self.cause:
            self.cause, self.causation_seq = cause, self.seq + 1
        return self.causation_seq

    def add(self, event_id: str, event: Event) -> Link:
        """The next event of the chain. Raises JournalRefused when it cannot be written."""
        if self.seq == 0:
            self.hash = genesis(event.ledger_id if isinstance(event, LedgerOpened) else "")
        causation_seq = self.causation(event.cause)
        payload = payload_bytes(event)
        columns = columns_of(self.seq + 1, event_id, event, causation_seq)
        prev, self.hash = self.hash, link(self.hash, row_bytes(columns, payload))
        self.seq += 1
        known = cast(AnyEvent, event)  # `derived_columns` knows the registered events only
        recorded = Recorded(seq=self.seq, id=event_id, event=known, prev_hash=prev, hash=self.hash)
        return Link(recorded, payload, columns)

    def follow(self, row: Mapping[str, Any]) -> Link:
        """The next event as the database has it. Raises ChainBroken, with the seq and the reason, where it does not fit."""
        seq = row["seq"]
        if seq != self.seq + 1:
            raise ChainBroken(self.seq + 1, f"is missing, the next event there has seq {seq}")
        found = read_row(row)
        event, prev, here = found.recorded.event, found.recorded.prev_hash, found.recorded.hash
        if self.seq == 0:
            self.hash = genesis(event.ledger_id if isinstance(event, LedgerOpened) else "")
        if prev != self.hash:
            raise ChainBroken(seq, "does not continue the chain: its prev_hash is not the hash before it")
        if here != link(prev, row_bytes(found.columns, found.payload)):
            raise ChainBroken(seq, "is not what its hash says: a column or the payload was changed")
        if self.causation(event.cause) != row["causation_seq"] or row["ts_us"] != event.ts:
            raise ChainBroken(seq, "has a ts or causation_seq that its payload does not support")
        self.seq, self.hash = seq, here
        return found

    @classmethod
    def at(cls, row: Mapping[str, Any]) -> Chain:
        """The chain as it was right after a stored event."""
        chain = cls()
        recorded = read_row(row).recorded
        chain.seq, chain.hash = recorded.seq, recorded.hash
        chain.cause, chain.causation_seq = recorded.event.cause, row["causation_seq"]
        return chain


def read_row(row: Mapping[str, Any]) -> Link:
    """An event as the database has it (columns of SELECT_EVENTS), its hash unchecked. Raises ChainBroken if it is none."""
    seq, schema_version = row["seq"], row["schema_version"]
    payload = canonical(msgspec.json.decode(row["payload"]))
    try:
        event = decode_event(payload, schema_version)
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise ChainBroken(seq, f"has a payload that is no {row['type']}: {error}") from error
    columns = tuple(str(row[name]) if name in _UUIDS and row[name] else row[name] for name in COLUMNS)
    recorded = Recorded(
        seq=seq,
        id=str(row["id"]),
        event=cast(AnyEvent, event),
        prev_hash=bytes(row["prev_hash"]),
        hash=bytes(row["hash"]),
        schema_version=schema_version,
    )
    return Link(recorded, payload, columns)


def check_first(expected_seq: int, events: Sequence[Numbered]) -> None:
    """A ledger begins with LedgerOpened and knows it only once. Raises JournalRefused."""
    if expected_seq == 0 and events and not isinstance(events[0][1], LedgerOpened):
        raise JournalRefused(f"a ledger begins with LedgerOpened, not with {type(events[0][1]).__name__}")


def payload_bytes(event: Event) -> bytes:
    """The payload as journaled, with the errors of `row_bytes`."""
    try:
        return encode_event(event)
    except (UnicodeError, OverflowError, TypeError) as error:
        raise JournalRefused(f"{type(event).__name__} cannot be written as JSON: {error}") from error
