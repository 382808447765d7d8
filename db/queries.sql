-- Reads of the cockpit and the command line, by name. Times come back as int microseconds UTC, amounts as numeric.
-- Optional filters: NULL means any.

-- name: events_newest
-- The newest events that fit, newest first; $1 = count, $2 = types, $3 = levels, $4 = symbol, $5 = only before this seq.
select seq, (extract(epoch from ts) * 1000000)::bigint as ts, level, type, symbol, bot_id::text, position_id::text, actor,
  payload::text, id::text
from events
where ($2::text[] is null or type = any ($2)) and ($3::text[] is null or level = any ($3))
  and ($4::text is null or symbol = $4) and ($5::bigint is null or seq < $5)
order by seq desc limit $1;

-- name: events_after
-- Events after $1 in order, at most $2: the cursor of a reader that loses nothing.
select seq, (extract(epoch from ts) * 1000000)::bigint as ts, level, type, symbol, bot_id::text, position_id::text, actor,
  payload::text, id::text
from events where seq > $1 order by seq limit $2;

-- name: head
select seq, encode(hash, 'hex') as hash from log_heads where log = 'events';

-- name: orders_open
select o.id::text, x.code as exchange, o.symbol, o.side, o.position_side, o.order_type, o.role, o.status, o.in_doubt,
  o.cancel_requested, o.reduce_only, o.quantity, o.filled_quantity, o.price, o.stop_price, o.avg_fill_price, b.name as bot,
  o.position_id::text, o.tag,
  coalesce(o.risk_reason, o.metadata ->> 'reason', '') as reason,
  (extract(epoch from o.created_at) * 1000000)::bigint as created_ts,
  (extract(epoch from o.updated_at) * 1000000)::bigint as updated_ts
from orders o join exchanges x on x.id = o.exchange_id left join bots b on b.id = o.bot_id
where o.status in ('SUBMITTED', 'ACCEPTED', 'PARTIALLY_FILLED') order by o.created_at desc, o.id desc;

-- name: orders_recent
-- The newest orders in any state, denied ones included; $1 = count, $2 = symbol.
select o.id::text, x.code as exchange, o.symbol, o.side, o.position_side, o.order_type, o.role, o.status, o.in_doubt,
  o.cancel_requested, o.reduce_only, o.quantity, o.filled_quantity, o.price, o.stop_price, o.avg_fill_price, b.name as bot,
  o.position_id::text, o.tag,
  coalesce(o.risk_reason, o.metadata ->> 'reason', '') as reason,
  (extract(epoch from o.created_at) * 1000000)::bigint as created_ts,
  (extract(epoch from o.updated_at) * 1000000)::bigint as updated_ts
from orders o join exchanges x on x.id = o.exchange_id left join bots b on b.id = o.bot_id
where $2::text is null or o.symbol = $2 order by o.created_at desc, o.id desc limit $1;

-- name: positions
-- Open positions first, then the newest closed ones; $1 = count of closed ones.
select p.id::text, x.code as exchange, p.symbol, p.side, p.status, b.name as bot, p.quantity, p.entry_price, p.exit_price,
  p.mark_price, p.stop_price, p.take_profit_price, p.unrealized_pnl, p.realized_pnl, p.fees_paid as fees,
  p.funding_paid, p.leverage, p.margin_mode, p.margin_used, p.liquidation_price, a.name as account, p.entry_notional,
  coalesce(p.close_reason, '') as close_reason, p.notes::text,
  (extract(epoch from p.opened_at) * 1000000)::bigint as opened_ts,
  (extract(epoch from p.closed_at) * 1000000)::bigint as closed_ts
from positions p join exchanges x on x.id = p.exchange_id join portfolios a on a.id = p.portfolio_id
  left join bots b on b.id = p.bot_id
where p.status = 'OPEN'
   or p.id in (select id from positions where status <> 'OPEN' order by closed_at desc, id desc limit $1)
order by p.closed_at desc nulls first, p.opened_at desc, p.id desc;

-- name: fills
-- The newest fills, newest first; $1 = count, $2 = symbol.
select f.id::text, f.order_id::text, f.position_id::text, x.code as exchange, f.symbol, f.side, f.quantity, f.price, f.fee,
  f.fee_currency, f.liquidity, f.pnl, f.exchange_trade_id as trade_id,
  (extract(epoch from f.executed_at) * 1000000)::bigint as executed_ts
from fills f join exchanges x on x.id = f.exchange_id
where $2::text is null or f.symbol = $2 order by f.executed_at desc, f.event_seq desc limit $1;

-- name: equity
-- Equity of the account named $4 from $2 to $3 (NULL: all), downsampled so that a chart keeps its peaks: the range is cut into $1 / 4 buckets of
-- equal length, and of each come the first, the lowest, the highest and the last sample; drawdown as a fraction.
with wanted as (
  select (extract(epoch from ts) * 1000000)::bigint as ts, equity, drawdown_pct / 100 as drawdown, event_seq
  from equity_snapshots
  where scope_id = (select id from portfolios where name = $4) and ($2::timestamptz is null or ts >= $2) and ($3::timestamptz is null or ts <= $3)
), bounds as (
  select min(ts) as since, max(ts) - min(ts) + 1 as span, greatest($1::int / 4, 1) as buckets from wanted
), placed as (
  select w.*, (w.ts - b.since)::numeric * b.buckets / b.span as place from wanted w cross join bounds b
), ranked as (
  select ts, equity, drawdown, event_seq,
    row_number() over (partition by floor(place) order by event_seq) as first,
    row_number() over (partition by floor(place) order by event_seq desc) as last,
    row_number() over (partition by floor(place) order by equity, event_seq) as lowest,
    row_number() over (partition by floor(place) order by equity desc, event_seq) as highest
  from placed
)
select ts, equity, drawdown from ranked where 1 in (first, last, lowest, highest) order by event_seq;

-- name: candles
-- The newest $5 closed bars of a series that opened before $4 (NULL: all), newest first; $1 = exchange, $2 = symbol, $3 = timeframe.
-- As float8: a chart has no use for 18 decimals, and ten thousand of them take a while to decode.
select (extract(epoch from ts) * 1000000)::bigint as open_ts, open::float8, high::float8, low::float8, close::float8, volume::float8
from candles
where exchange_id = (select id from exchanges where code = $1) and symbol = $2 and timeframe = $3
  and ($4::timestamptz is null or ts < $4)
order by ts desc limit $5;

-- name: config_versions
select version, config_hash as sha256, actor, coalesce(note, '') as note, is_active,
  (extract(epoch from created_at) * 1000000)::bigint as created_ts,
  (extract(epoch from activated_at) * 1000000)::bigint as activated_ts
from bot_config_versions order by version desc limit $1;

-- name: ledger_facts
select l.ledger_id, l.mode, l.feed, l.seed, l.base_currency, p.initial_balance, h.seq, r.epoch, r.host, r.pid,
  (extract(epoch from l.created_at) * 1000000)::bigint as created_ts,
  (extract(epoch from r.heartbeat_at) * 1000000)::bigint as heartbeat_ts,
  (extract(epoch from r.ended_at) * 1000000)::bigint as ended_ts
from ledger l join log_heads h on h.log = 'events' left join portfolios p on p.name = 'main'
left join lateral (select * from engine_runs order by epoch desc limit 1) r on true;

-- name: decisions
-- The newest decisions of the gates, newest first; $1 = count, $2 = only those that did not simply allow.
select d.id::text, d.order_id::text, d.symbol, d.side, d.action, d.rule, d.details::text, b.name as bot,
  (extract(epoch from d.created_at) * 1000000)::bigint as created_ts
from risk_decisions d left join bots b on b.id = d.bot_id
where not $2::bool or d.action <> 'ALLOWED' order by d.event_seq desc limit $1;

-- name: orders_page
-- Orders in any state, newest first, behind the place ($2 us UTC, $3 id); NULL: from the newest. $1 = count.
select o.id::text, (extract(epoch from o.created_at) * 1000000)::bigint as ts, coalesce(b.name, '') as bot,
  x.code as exchange, o.symbol, o.side, coalesce(o.order_type, '') as order_type, coalesce(o.role, '') as role,
  o.quantity, o.filled_quantity, coalesce(o.avg_fill_price, o.price, o.stop_price) as price,
  coalesce(min_scale(coalesce(o.price, o.stop_price, o.avg_fill_price)), 0) as price_places, o.status,
  concat_ws(', ', case when o.in_doubt then 'in doubt' end,
    case when o.cancel_requested and o.status in ('SUBMITTED', 'ACCEPTED', 'PARTIALLY_FILLED') then 'cancelling' end)
    as flags,
  coalesce(o.risk_reason, o.metadata ->> 'reason', '') as reason,
  o.status in ('SUBMITTED', 'ACCEPTED', 'PARTIALLY_FILLED') as is_open, o.config_version
from orders o join exchanges x on x.id = o.exchange_id left join bots b on b.id = o.bot_id
where $2::bigint is null
   or (o.created_at, o.id) < (timestamptz 'epoch' + $2::bigint * interval '1 microsecond', $3::text::uuid)
order by o.created_at desc, o.id desc limit $1;

-- name: fills_page
-- Fills, newest first, behind the place ($2 us UTC, $3 id); NULL: from the newest. $1 = count.
select f.id::text, (extract(epoch from f.executed_at) * 1000000)::bigint as ts, f.order_id::text,
  coalesce(f.position_id::text, '') as position_id, coalesce(b.name, '') as bot, x.code as exchange, f.symbol, f.side,
  f.quantity, f.price, f.fee, coalesce(f.fee_currency, '') as fee_currency, coalesce(f.liquidity, '') as liquidity,
  coalesce(f.pnl, 0) as pnl
from fills f join exchanges x on x.id = f.exchange_id left join orders o on o.id = f.order_id
  left join bots b on b.id = o.bot_id
where $2::bigint is null
   or (f.executed_at, f.id) < (timestamptz 'epoch' + $2::bigint * interval '1 microsecond', $3::text::uuid)
order by f.executed_at desc, f.id desc limit $1;

-- name: events_page
-- The newest events below seq $1 with all that is journaled of them, newest first; $2 = count.
select seq, id::text, payload::text, schema_version, prev_hash, hash,
  (extract(epoch from recorded_at) * 1000000)::bigint as written_ts
from events where seq < $1 order by seq desc limit $2;

-- name: events_of_types
-- The newest events of the types $3 below seq $1 (none: of all), newest first; $2 = count.
select seq, id::text, payload::text, schema_version, prev_hash, hash,
  (extract(epoch from recorded_at) * 1000000)::bigint as written_ts
from events where type = any($3::text[]) and ($1::bigint is null or seq < $1) order by seq desc limit $2;

-- name: event_at
-- Seq of the first event at or after $1 (us UTC).
select seq from events where ts >= timestamptz 'epoch' + $1::bigint * interval '1 microsecond' order by ts, seq limit 1;

-- name: order_story
-- The signal, the gates and every event of order $1, in order. The read tables say between which seqs to look.
with about as (
  select o.id::text, o.signal_id::text, o.symbol, o.event_seq as last,
    coalesce(least((select min(s.event_seq) from signals s where s.id = o.signal_id),
                   (select min(d.event_seq) from risk_decisions d where d.order_id = o.id)), 1) as first
  from orders o where o.id = $1::text::uuid
)
select e.seq, e.id::text, e.payload::text, e.schema_version, e.prev_hash, e.hash,
  (extract(epoch from e.recorded_at) * 1000000)::bigint as written_ts
from about a join events e on e.symbol = a.symbol and e.seq between a.first and a.last
where e.payload ->> 'order_id' = a.id or (e.type = 'SignalGenerated' and e.payload ->> 'signal_id' = a.signal_id)
order by e.seq limit 1000;

-- name: acknowledgements
-- Who acknowledged which alert, newest first; $1 = the audit trail's word for it, $2 = count.
select coalesce(new_values ->> 'key', '') as key, coalesce(new_values ->> 'text', '') as text,
  coalesce(metadata ->> 'actor', '') as actor, (extract(epoch from ts) * 1000000)::bigint as ts
from audit_logs where action = $1 order by seq desc limit $2;

-- name: trades
-- The newest $1 round trips that have ended, newest first, with what charts mark; amounts as float8.
select p.id::text, coalesce(b.name, '') as bot, x.code as exchange, p.symbol, p.side,
  (extract(epoch from p.opened_at) * 1000000)::bigint as entry_ts, coalesce(p.entry_price, 0)::float8 as entry_price,
  (extract(epoch from p.closed_at) * 1000000)::bigint as exit_ts, coalesce(p.exit_price, 0)::float8 as exit_price,
  (coalesce(p.realized_pnl, 0) - coalesce(p.fees_paid, 0))::float8 as pnl, coalesce(p.close_reason, '') as reason,
  p.stop_price::float8 as stop, p.take_profit_price::float8 as target
from positions p join exchanges x on x.id = p.exchange_id left join bots b on b.id = p.bot_id
where p.status <> 'OPEN' and p.closed_at is not null order by p.closed_at desc, p.id desc limit $1;
