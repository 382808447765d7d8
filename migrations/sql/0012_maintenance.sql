-- 0012 Maintenance: longer bars from one-minute bars, and results per day. Run by the job (db/maintenance.py) as
-- qs_engine; everything here may be run again at any time and changes only what differs.

-- == roll-ups

create table timeframes (
  name text primary key,
  length interval not null unique check (length > interval '0'),
  rolled boolean not null
);
select describe('timeframes', 'Lengths of bars', $$
  name   | as in candles.timeframe
  length | length of the bar
  rolled | made from one-minute bars
$$);
insert into timeframes (name, length, rolled) values
  ('1s', '1 second', false), ('1m', '1 minute', false), ('3m', '3 minutes', false), ('5m', '5 minutes', true),
  ('15m', '15 minutes', true), ('30m', '30 minutes', true), ('1h', '1 hour', true), ('2h', '2 hours', false),
  ('4h', '4 hours', true), ('6h', '6 hours', false), ('8h', '8 hours', false), ('12h', '12 hours', false),
  ('1d', '1 day', true), ('3d', '3 days', false), ('1w', '7 days', true);

-- Bars begin at midnight UTC, weeks on Monday: 2001-01-01 was one, and days of UTC are all of one length.
create function bar_start(p_length interval, p_ts timestamptz) returns timestamptz
language sql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
  select date_bin(p_length, p_ts, timestamptz '2001-01-01 00:00:00+00')
$$;
comment on function bar_start(interval, timestamptz) is 'Open time of the bar of that length that a moment is in';

-- A statement fires the triggers of the table that it names, and everybody names the parent.
create function note_rollup() returns trigger language plpgsql security definer
  set search_path = qs, pg_catalog, pg_temp as $$
begin
  insert into rollup_queue (exchange_id, symbol, since, until)
  select exchange_id, symbol, min(ts), max(ts) from changed where timeframe = '1m' group by exchange_id, symbol;
  return null;
end $$;
comment on function note_rollup() is 'Trigger: which one-minute bars came or changed, one row per statement and symbol';

create trigger note_rollup_insert after insert on candles referencing new table as changed
  for each statement execute function note_rollup();
create trigger note_rollup_update after update on candles referencing new table as changed
  for each statement execute function note_rollup();

-- The statement that makes the bars of one symbol from one time to another: five minutes from one, fifteen from
-- five, and so on, each from the one before it, which divides it: reading every minute seven times would take seven
-- times as long. $1 exchange, $2 symbol, $3 from, $4 to, $5 end of what is closed, $6: part of it was dropped.
create function rollup_statement() returns text language plpgsql stable set search_path = qs, pg_catalog, pg_temp as $$
declare
  bars text := $f$select *, 1 as minutes from candles
         where exchange_id = $1 and symbol = $2 and timeframe = '1m' and ts >= $3 and ts < $4$f$;
  steps text := '';
  made text := '';
  frame record;
begin
  for frame in select name, length from timeframes where rolled order by length loop
    steps := steps || format($f$%s bars_%s as (
      select date_bin(%L::interval, b.ts, '2001-01-01 00:00:00+00') as ts, (array_agg(open order by b.ts))[1] as open,
             max(high) as high, min(low) as low, (array_agg(close order by b.ts))[count(*)] as close,
             sum(volume) as volume, sum(trades_count)::bigint as trades_count,
             sum(taker_buy_volume) as taker_buy_volume, sum(taker_buy_quote_volume) as taker_buy_quote_volume,
             sum(minutes)::int as minutes
        from (%s) b group by 1)$f$, case when steps = '' then 'with' else ',' end, frame.name, frame.length, bars);
    made := made || case when made = '' then '' else ' union all ' end
      || format('select %L as timeframe, %L::interval as length, * from bars_%s', frame.name, frame.length, frame.name);
    bars := 'select * from bars_' || frame.name;
  end loop;
  return steps || format($f$
    insert into candles as bar (exchange_id, symbol, timeframe, ts, open, high, low, close, volume, trades_count,
                                taker_buy_volume, taker_buy_quote_volume, candle_count, source)
    select $1, $2, m.timeframe, m.ts, m.open, m.high, m.low, m.close, m.volume, m.trades_count, m.taker_buy_volume,
           m.taker_buy_quote_volume, m.minutes, 'rollup'
      from (%s) m
      left join rollup_watermarks w on w.exchange_id = $1 and w.symbol = $2 and w.timeframe = m.timeframe
      left join candles b on b.exchange_id = $1 and b.symbol = $2 and b.timeframe = m.timeframe and b.ts = m.ts
       and b.timeframe <> '1m' and b.ts >= $3 and b.ts < $4
     where m.ts + m.length <= greatest($5, w.ts)
       and (b.ts is null or (b.source = 'rollup'
            and row(b.open, b.high, b.low, b.close, b.volume, b.trades_count, b.taker_buy_volume,
                    b.taker_buy_quote_volume, b.candle_count)
                is distinct from row(m.open, m.high, m.low, m.close, m.volume, m.trades_count, m.taker_buy_volume,
                                     m.taker_buy_quote_volume, m.minutes)))
       and (not $6 or m.minutes >= coalesce(b.candle_count, extract(epoch from m.length) / 60)
            or not exists (select from dropped_partitions d
                            where d.table_name = 'candles_1m' and d.since < m.ts + m.length and d.until > m.ts))
    on conflict (exchange_id, symbol, timeframe, ts) do update set
      open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
      volume = excluded.volume, trades_count = excluded.trades_count, taker_buy_volume = excluded.taker_buy_volume,
      taker_buy_quote_volume = excluded.taker_buy_quote_volume, candle_count = excluded.candle_count
    where bar.source = 'rollup'$f$, made);
end $$;
comment on function rollup_statement() is 'The statement that rollup_candles runs, made from timeframes';

-- Makes the closed bars of all weeks that the range touches. A bar is closed when there is a minute at or after
-- its end, or its last minute, or when it ends by p_closed. A bar without any minute is not made. Bars that a
-- venue delivered itself stay as they are: only those of source 'rollup' are brought up to date. Over minutes that
-- were dropped, a bar is only made of as many minutes as it had, or of all.
create function rollup_candles(p_exchange_id smallint, p_symbol text, p_since timestamptz, p_until timestamptz,
                               p_closed timestamptz default null) returns bigint
language plpgsql set search_path = qs, pg_catalog, pg_temp set work_mem = '64MB' as $$
declare
  first timestamptz := bar_start('7 days', p_since);
  stop timestamptz := bar_start('7 days', p_until) + interval '7 days';
  data_end timestamptz := (select max(ts) + interval '1 minute' from candles
                            where exchange_id = p_exchange_id and symbol = p_symbol and timeframe = '1m');
  closed timestamptz := greatest(data_end, p_closed);
  holes boolean := exists (select from dropped_partitions d
                            where d.table_name = 'candles_1m' and d.since < stop and d.until > first);
  changed bigint;
begin
  execute rollup_statement() using p_exchange_id, p_symbol, first, stop, closed, holes;
  get diagnostics changed = row_count;

  insert into rollup_watermarks as w (exchange_id, symbol, timeframe, ts)
  select p_exchange_id, p_symbol, f.name, bar_start(f.length, closed) from timeframes f
   where f.rolled and closed is not null
  on conflict (exchange_id, symbol, timeframe) do update set ts = excluded.ts, updated_at = clock_timestamp()
  where w.ts < excluded.ts;
  return changed;
end $$;
comment on function rollup_candles(smallint, text, timestamptz, timestamptz, timestamptz)
  is 'Makes the closed longer bars of the weeks of a range from one-minute bars; returns how many came or changed';

-- Late data lies anywhere, so the weeks that were noted are made; and the week that is open at the watermark,
-- because a minute of today closes the last bar of last week.
create function take_rollups(p_exchange_id smallint, p_symbol text) returns bigint
language plpgsql set search_path = qs, pg_catalog, pg_temp as $$
declare
  week constant interval := '7 days';
  changed bigint := 0;
  piece tstzrange;
begin
  for piece in
    with taken as (
      delete from rollup_queue q where q.exchange_id = p_exchange_id and q.symbol = p_symbol returning q.since, q.until
    ), weeks as (
      select tstzrange(bar_start(week, since), bar_start(week, until) + week) as r from taken
      union all
      select tstzrange(w.ts, w.ts + week) from rollup_watermarks w
       where w.exchange_id = p_exchange_id and w.symbol = p_symbol and w.timeframe = '1w'
         and w.ts <= (select max(until) from taken)
    )
    select unnest(range_agg(r)) from weeks
  loop
    changed := changed + rollup_candles(p_exchange_id, p_symbol, lower(piece), upper(piece) - interval '1 minute');
  end loop;
  return changed;
end $$;
comment on function take_rollups(smallint, text) is 'Takes what waits in rollup_queue for a symbol; bars that came or changed';

-- Before old minutes go, the bars that nothing will close any more are made: a symbol that no longer trades.
create function close_rollups(p_before timestamptz) returns bigint
language sql set search_path = qs, pg_catalog, pg_temp as $$
  select coalesce(sum(rollup_candles(exchange_id, symbol, ts, p_before - interval '1 minute', p_before)), 0)::bigint
    from rollup_watermarks where timeframe = '1w' and ts < p_before
$$;
comment on function close_rollups(timestamptz) is 'Closes every bar that ends by then, of all symbols';

-- Prices are of trades, else the middle of the book. Minutes that a feed delivered as bars stay as they are.
create function rollup_ticks(p_since timestamptz, p_until timestamptz, p_exchange_id smallint default null,
                             p_symbol text default null) returns bigint
language plpgsql set search_path = qs, pg_catalog, pg_temp as $$
declare
  changed bigint;
begin
  perform ensure_candle_partitions(p_since, p_until);
  with priced as (
    select exchange_id, symbol, ts, received_at, last_price, last_volume,
           coalesce(last_price, ((bid + ask) / 2)::numeric(38,18)) as price
      from ticks
     where ts >= date_trunc('minute', p_since) and ts < p_until
       and (p_exchange_id is null or exchange_id = p_exchange_id) and (p_symbol is null or symbol = p_symbol)
  ), made as (
    select exchange_id, symbol, date_bin('1 minute', ts, '2001-01-01 00:00:00+00') as ts,
           (array_agg(price order by ts, received_at))[1] as open, max(price) as high, min(price) as low,
           (array_agg(price order by ts, received_at))[count(*)] as close, coalesce(sum(last_volume), 0) as volume,
           count(last_price) as trades_count
      from priced where price is not null group by 1, 2, 3
  ), newest as (
    select k.exchange_id, k.symbol, (select max(t.ts) from ticks t where t.exchange_id = k.exchange_id
                                        and t.symbol = k.symbol) as ts
      from (select distinct exchange_id, symbol from made) k
  )
  insert into candles as bar (exchange_id, symbol, timeframe, ts, open, high, low, close, volume, trades_count, source)
  select exchange_id, symbol, '1m', m.ts, m.open, m.high, m.low, m.close, m.volume, m.trades_count, 'ticks'
    from made m join newest n using (exchange_id, symbol)
   where m.ts + interval '1 minute' <= least(n.ts, p_until)
  on conflict (exchange_id, symbol, timeframe, ts) do update set
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume,
    trades_count = excluded.trades_count
  where bar.source = 'ticks' and bar is distinct from excluded;
  get diagnostics changed = row_count;
  return changed;
end $$;
comment on function rollup_ticks(timestamptz, timestamptz, smallint, text)
  is 'Makes closed one-minute bars of the ticks of a range; returns how many came or changed';

-- == results per day

-- Everything follows from fills, positions and samples, so that a rebuild of the read tables changes nothing here.
-- Days are computed from p_since on (none: from the first), on top of the rows before it. The last day is that of
-- the newest data, not of any clock. A scope without samples of its own is measured on its account's initial balance
-- and its own results.
create function refresh_daily_performance(p_since date default null) returns bigint
language plpgsql set search_path = qs, pg_catalog, pg_temp as $$
declare
  start timestamptz := coalesce(p_since, '-infinity'::date)::timestamp at time zone 'UTC';
  changed bigint;
begin
  with scopes as (
    select p.id as scope_id, 'PORTFOLIO' as scope, p.user_id, p.id as portfolio_id, null::uuid as bot_id, p.mode,
           p.base_currency as currency, p.initial_balance from portfolios p
    union all
    select b.id, 'BOT', b.user_id, p.id, b.id, p.mode, p.base_currency, p.initial_balance
      from bots b join portfolios p on p.id = b.portfolio_id
  ), fill_facts as (
    select s.scope_id, (f.executed_at at time zone 'UTC')::date as date, f.symbol,
           coalesce(f.pnl, 0) - f.fee_value as pnl, f.fee_value as fee,
           f.quantity * f.price * o.contract_size as value, f.event_seq
      from fills f join orders o on o.id = f.order_id
      join scopes s on s.portfolio_id = o.portfolio_id and (s.bot_id is null or s.bot_id = o.bot_id)
     where f.status = 'SUCCESS' and f.executed_at >= start
    union all
    select s.scope_id, (f.created_at at time zone 'UTC')::date, f.symbol, f.amount, 0, 0, f.event_seq
      from funding_payments f
      join scopes s on s.portfolio_id = f.portfolio_id and (s.bot_id is null or s.bot_id = f.bot_id)
     where f.created_at >= start
  ), trips as (
    select s.scope_id, (t.closed_at at time zone 'UTC')::date as date, t.symbol, t.closed_at - t.opened_at as held,
           coalesce(t.realized_pnl, 0) - coalesce(t.fees_paid, 0) - coalesce(t.funding_paid, 0) as result, t.event_seq
      from positions t
      join scopes s on s.portfolio_id = t.portfolio_id and (s.bot_id is null or s.bot_id = t.bot_id)
     where t.status in ('CLOSED', 'LIQUIDATED') and t.closed_at >= start
  ), sampled as (
    select scope_id, (ts at time zone 'UTC')::date as date, max(drawdown_pct) as fall, max(event_seq) as event_seq,
           (array_agg(equity order by ts desc, event_seq desc))[1] as equity
      from equity_snapshots where ts >= start group by 1, 2
  ), per_symbol as (
    select scope_id, date, jsonb_object_agg(symbol, jsonb_build_object('pnl', pnl::text, 'trades', trades)) as metrics
      from (select scope_id, date, symbol, sum(pnl) as pnl, sum(trades) as trades
              from (select scope_id, date, symbol, pnl, 0 as trades from fill_facts
                    union all select scope_id, date, symbol, 0, 1 from trips) u group by 1, 2, 3) v group by 1, 2
  ), fill_days as (
    select scope_id, date, sum(pnl) as pnl, sum(fee) as fees, sum(value) as volume, max(event_seq) as event_seq
      from fill_facts group by 1, 2
  ), trip_days as (
    select scope_id, date, count(*)::int as trades, (count(*) filter (where result > 0))::int as won,
           (count(*) filter (where result < 0))::int as lost, avg(result) as mean, max(result) as best,
           min(result) as worst, avg(held) as held, max(event_seq) as event_seq
      from trips group by 1, 2
  ), active as (
    select s.portfolio_id, min(d.date) as first, max(d.date) as last
      from (select scope_id, date from fill_days union all select scope_id, date from trip_days
            union all select scope_id, date from sampled
            union all select scope_id, date from daily_performance) d
      join scopes s using (scope_id) group by 1
  ), days as (
    select s.*, g::date as date from scopes s join active a using (portfolio_id),
           generate_series(greatest(a.first, p_since)::timestamp, a.last::timestamp, '1 day') g
  ), facts as (
    select d.scope_id, d.date, coalesce(f.pnl, 0) as pnl, e.equity, e.fall from days d
      left join fill_days f using (scope_id, date) left join sampled e using (scope_id, date)
    union all
    select scope_id, date, daily_pnl, equity, max_drawdown_pct from daily_performance where date < p_since
  ), carried as (
    select *, sum(pnl) over so_far as cumulative, count(equity) over so_far as samples from facts
    window so_far as (partition by scope_id order by date)
  ), valued as (
    select c.scope_id, c.date, c.pnl, c.cumulative, c.fall, s.initial_balance,
           first_value(c.equity) over (partition by c.scope_id, c.samples order by c.date) as equity,
           coalesce(first_value(c.equity) over (partition by c.scope_id, c.samples order by c.date),
                    s.initial_balance + c.cumulative) as worth
      from carried c join scopes s using (scope_id)
  ), moved as (
    select *, worth / nullif(lag(worth, 1, initial_balance) over so_far, 0) - 1 as gain,
           greatest(initial_balance, max(worth) over so_far) as peak
      from valued window so_far as (partition by scope_id order by date)
  ), judged as (
    select *, max(greatest(fall, 100 * (peak - worth) / nullif(peak, 0), 0)) over so_far as deepest,
           case when count(gain) over so_far >= 30 then
             avg(gain) over so_far / nullif(stddev_samp(gain) over so_far, 0) * sqrt(365::numeric) end as sharpe
      from moved window so_far as (partition by scope_id order by date)
  )
  insert into daily_performance as kept (
    scope_id, scope, user_id, date, mode, currency, daily_pnl, cumulative_pnl, trades_count, winning_trades,
    losing_trades, win_rate, avg_pnl, best_trade, worst_trade, avg_holding_time, sharpe_ratio, max_drawdown_pct,
    total_volume, total_fees, equity, detailed_metrics, event_seq)
  select d.scope_id, d.scope, d.user_id, d.date, d.mode, d.currency, j.pnl, j.cumulative, coalesce(t.trades, 0),
         coalesce(t.won, 0), coalesce(t.lost, 0), t.won::numeric / t.trades, t.mean, t.best, t.worst, t.held,
         case when abs(j.sharpe) < 1e10 then round(j.sharpe, 8) end,
         case when j.deepest < 1e10 then round(j.deepest, 8) end, coalesce(f.volume, 0), coalesce(f.fees, 0), j.equity,
         coalesce(m.metrics, '{}'), greatest(f.event_seq, t.event_seq, e.event_seq, 0)
    from days d join judged j using (scope_id, date) left join fill_days f using (scope_id, date)
    left join trip_days t using (scope_id, date) left join sampled e using (scope_id, date)
    left join per_symbol m using (scope_id, date)
  on conflict (scope_id, date, mode) do update set
    user_id = excluded.user_id, currency = excluded.currency, daily_pnl = excluded.daily_pnl,
    cumulative_pnl = excluded.cumulative_pnl, trades_count = excluded.trades_count,
    winning_trades = excluded.winning_trades, losing_trades = excluded.losing_trades, win_rate = excluded.win_rate,
    avg_pnl = excluded.avg_pnl, best_trade = excluded.best_trade, worst_trade = excluded.worst_trade,
    avg_holding_time = excluded.avg_holding_time, sharpe_ratio = excluded.sharpe_ratio,
    max_drawdown_pct = excluded.max_drawdown_pct, total_volume = excluded.total_volume,
    total_fees = excluded.total_fees, equity = excluded.equity, detailed_metrics = excluded.detailed_metrics,
    event_seq = excluded.event_seq, updated_at = clock_timestamp()
  where to_jsonb(kept) - array['created_at', 'updated_at'] is distinct from
        to_jsonb(excluded) - array['created_at', 'updated_at'];
  get diagnostics changed = row_count;
  return changed;
end $$;
comment on function refresh_daily_performance(date)
  is 'Computes daily_performance from a day on, none: from the first; returns how many rows came or changed';

-- Fills and positions come late; samples never do.
create function stale_daily_performance() returns date
language sql stable set search_path = qs, pg_catalog, pg_temp as $$
  select least(max(date),
               (select (min(executed_at) at time zone 'UTC')::date from fills where event_seq > max(d.event_seq)),
               (select (min(created_at) at time zone 'UTC')::date from funding_payments
                 where event_seq > max(d.event_seq)),
               (select (min(closed_at) at time zone 'UTC')::date from positions where event_seq > max(d.event_seq)))
    from daily_performance d
$$;
comment on function stale_daily_performance() is 'First day whose figures may have changed; none: no day was computed yet';

insert into table_classes (table_name, class, origin) values ('timeframes', 'REFERENCE', 'migrations');
revoke all on function bar_start(interval, timestamptz), note_rollup(), rollup_statement(),
  rollup_candles(smallint, text, timestamptz, timestamptz, timestamptz), take_rollups(smallint, text),
  close_rollups(timestamptz), rollup_ticks(timestamptz, timestamptz, smallint, text), refresh_daily_performance(date),
  stale_daily_performance() from public;

do $$ begin
  if qs.role_profile() = 'REDUCED' then
    return;
  end if;
  grant select on timeframes to qs_engine, qs_app, qs_view;
  grant execute on function qs.bar_start(interval, timestamptz) to qs_engine, qs_app, qs_view;
  grant execute on function qs.rollup_statement(), qs.rollup_candles(smallint, text, timestamptz, timestamptz, timestamptz),
    qs.take_rollups(smallint, text), qs.close_rollups(timestamptz),
    qs.rollup_ticks(timestamptz, timestamptz, smallint, text), qs.refresh_daily_performance(date),
    qs.stale_daily_performance() to qs_engine;
end $$;
