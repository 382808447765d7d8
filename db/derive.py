"""Columns of the read tables that follow from several rows: what was planned and what came of it.

Each statement takes the rows that a batch touched and joins what stands in the tables by then, so the result depends on the
events alone and not on how they were cut into batches. All of them run after the rows that they read.

An order was decided at a price (`decision_price`): the signal's for a market order of a rule, its own for a resting one.
What a person, a clock or the venue asked for has none. What is planned follows from the config version of the order.
"""

from __future__ import annotations

#: [{"id": order}]: once for each order, sent, taken in or denied.
ORDER_BORN = """
update {schema}.orders o set
  decision_price = f.price,
  position_side = coalesce(o.position_side, f.position_side),
  signal_reason = case
    when f.role is null or f.role in ('ENTRY', 'SIGNAL_EXIT') then f.reason
    when f.role = 'STOP' then 'stop of the position' when f.role = 'TRAILING_STOP' then 'trailing stop of the position'
    when f.role = 'TAKE_PROFIT' then 'target of the position'
    when f.role like 'TARGET\\_%' then 'target ' || substr(f.role, 8) || ' of the position'
    when f.role = 'TIME_STOP' then 'time stop of the position' when f.role = 'BY_HAND' then 'closed by hand'
    when f.role = 'LIQUIDATION' then 'liquidated by the venue' else lower(f.role) end,
  stop_loss = case when f.role in ('STOP', 'TRAILING_STOP') then f.price when f.role = 'ENTRY' then
    f.price * (100 - f.direction * (f.exits ->> 'stop_loss_pct')::numeric) / 100 end,
  take_profit = case when f.role = 'TAKE_PROFIT' or f.role like 'TARGET\\_%' then array[f.price]
    when f.role = 'ENTRY' then (
      select array_agg(round(f.price * (100 + f.direction * t.pct) / 100, 18) order by t.n)
      from (
        select n, (target ->> 'profit_pct')::numeric as pct
        from jsonb_array_elements(f.exits -> 'targets') with ordinality target(target, n)
        union all
        select 99, (case f.exits -> 'ladder' when '{}' then f.exits ->> 'take_profit_pct'
                    else f.exits #>> '{ladder,0}' end)::numeric
      ) t where t.pct is not null) end,
  policy_snapshot = f.policy,
  market_conditions = jsonb_build_object('price', coalesce(f.price, f.signal_price)::text, 'gates', coalesce(f.gates, '{}'))
from (
  select x.id, x.role, s.reason, s.position_side, s.price as signal_price, bot -> 'exits' as exits,
    case x.position_side when 'SHORT' then -1 else 1 end as direction,
    case when x.role is null or x.role in ('ENTRY', 'SIGNAL_EXIT') then coalesce(x.price, s.price)
      when x.role in ('STOP', 'TRAILING_STOP') then coalesce(x.stop_price, x.price)  -- in bars mode a stop is a LIMIT
      when x.role = 'TAKE_PROFIT' or x.role like 'TARGET\\_%' then x.price end as price,
    jsonb_build_object('account', c.config_json #> '{account,limits}', 'bot', bot -> 'limits',
                       'halt_policy', c.config_json #> '{account,halt_policy}') as policy,
    (select jsonb_object_agg(g ->> 'gate', g ->> 'actual') from jsonb_array_elements(d.details -> 'gates') g) as gates
  from jsonb_to_recordset($1::jsonb) r(id uuid)
  join {schema}.orders x on x.id = r.id
  left join {schema}.signals s on s.id = x.signal_id
  left join {schema}.risk_decisions d on d.order_id = x.id
  left join {schema}.bots b on b.id = x.bot_id
  left join qs.bot_config_versions c on c.version = x.config_version
  left join lateral jsonb_array_elements(c.config_json -> 'bots') bot on bot ->> 'name' = b.name
) f
where o.id = f.id
"""

#: Rows of fills; what each cost against the price that its order was decided at. None where that does not fit the column.
FILLS = """
insert into {schema}.fills ({columns}, slippage_bps)
select {of_r}, case when abs(c.bps) < 1e10 then round(c.bps, 8) end
from jsonb_populate_recordset(null::{schema}.fills, $1::jsonb) r
left join {schema}.orders o on o.id = r.order_id
cross join lateral (
  select (r.price / nullif(o.decision_price, 0) - 1) * 10000 * case r.side when 'BUY' then 1 else -1 end as bps
) c
"""

#: [{"id": order}]: slippage of what has filled so far, per unit, in quote; above zero is worse than decided.
SLIPPAGE = """
update {schema}.orders o
set slippage = (o.avg_fill_price - o.decision_price) * case o.side when 'BUY' then 1 else -1 end
from jsonb_to_recordset($1::jsonb) r(id uuid) where o.id = r.id
"""

#: [{"id": position}]: the same in money, over all fills of a position.
SLIPPAGE_OF_POSITIONS = """
update {schema}.positions p set slippage_est = (
  select sum((f.price - o.decision_price) * f.quantity * o.contract_size * case f.side when 'BUY' then 1 else -1 end)
  from {schema}.fills f join {schema}.orders o on o.id = f.order_id where f.position_id = p.id)
from jsonb_to_recordset($1::jsonb) r(id uuid) where p.id = r.id
"""

#: [{"position_id": ...}]: the gates' words on the order of the first fill, copied into the position that it opened
#: (risk.md), and the share of the day's loss budget that its plan put at stake; without a stop, all of its value.
BORN = """
with opening as (
  select distinct on (f.position_id) f.position_id, f.order_id
  from {schema}.fills f join jsonb_to_recordset($1::jsonb) r(position_id uuid) using (position_id)
  order by f.position_id, f.event_seq
)
update {schema}.positions p set notes = d.details,
  risk_consumed = case when stake.share < 1 then round(stake.share, 8) when stake.share >= 1 then 1 end
from opening
join {schema}.risk_decisions d using (order_id)
join {schema}.orders o on o.id = opening.order_id
join {schema}.portfolios a on a.id = o.portfolio_id
cross join lateral (
  select abs(o.decision_price - coalesce(o.stop_loss, 0)) * o.quantity * o.contract_size * 100
    / nullif((o.policy_snapshot #>> '{account,daily_loss_pct,hard}')::numeric * a.initial_balance, 0) as share
) stake
where p.id = opening.position_id
"""

#: [{"id": position, "close_reason": ...}] of those that are closed: why, and the worst that it saw on the wrong side of its
#: entry, by the marks of the samples while it was open and by its own exit, in percent.
CLOSED = """
update {schema}.positions p set close_reason = r.close_reason, max_drawdown_pct = (
  select case when w.pct < 1e10 then round(greatest(w.pct, 0), 8) end from (
    select case p.side when 'LONG' then p.entry_price - least(p.exit_price, min(seen.mark))
             else greatest(p.exit_price, max(seen.mark)) - p.entry_price end / nullif(p.entry_price, 0) * 100 as pct
    from {schema}.equity_snapshots e
    cross join lateral (select (e.meta #>> array['marks', x.code || ' ' || p.symbol])::numeric as mark) seen
    where e.scope_id = p.portfolio_id and e.ts between p.opened_at and p.closed_at and e.event_seq < p.event_seq
  ) w)
from jsonb_populate_recordset(null::{schema}.positions, $1::jsonb) r join qs.exchanges x on true
where p.id = r.id and p.status <> 'OPEN' and x.id = p.exchange_id
"""

#: [{"bot_id", "pnl", "fees", "ts"}]: round trips as they closed, P&L after fees.
STATS = """
update {schema}.bots b set performance_stats = jsonb_build_object(
  'trades', coalesce((b.performance_stats ->> 'trades')::int, 0) + r.trades,
  'wins', coalesce((b.performance_stats ->> 'wins')::int, 0) + r.wins,
  'losses', coalesce((b.performance_stats ->> 'losses')::int, 0) + r.losses,
  'net_pnl', (coalesce((b.performance_stats ->> 'net_pnl')::numeric, 0) + r.pnl)::text,
  'fees', (coalesce((b.performance_stats ->> 'fees')::numeric, 0) + r.fees)::text)
from (
  select bot_id, count(*) as trades, count(*) filter (where pnl > 0) as wins, count(*) filter (where pnl < 0) as losses,
    sum(pnl) as pnl, sum(fees) as fees
  from jsonb_to_recordset($1::jsonb) t(bot_id uuid, pnl numeric, fees numeric) group by bot_id
) r where b.id = r.bot_id
"""
