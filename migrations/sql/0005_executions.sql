-- 0005 Executions and series: fills, gate decisions and stops, which are written once; equity and candles,
-- which are partitioned by their own time, past times included.

create table fills (
  id uuid primary key,
  user_id uuid not null references users,
  order_id uuid not null references orders deferrable initially deferred,
  position_id uuid references positions deferrable initially deferred,
  exchange_id smallint not null references exchanges,
  symbol text not null,
  side text not null check (side in ('BUY', 'SELL')),
  quantity numeric(38,18) not null check (quantity > 0),
  price numeric(38,18) not null check (price >= 0),
  fee numeric(38,18) not null,
  fee_currency text,
  fee_value numeric(38,18) not null,
  liquidity text check (liquidity in ('MAKER', 'TAKER')),
  slippage_bps numeric(18,8),
  pnl numeric(38,18),
  status text not null check (status in ('SUCCESS', 'FAILED')),
  exchange_trade_id text check (exchange_trade_id <> ''),
  part smallint not null check (part in (0, 1)),
  metadata jsonb,
  event_seq bigint not null,
  executed_at timestamptz not null
);
-- The ledger's own rule: a trade counts once per order, in two parts where it turns a position around. Not per
-- symbol: two of our orders may meet in one trade.
create unique index fills_trade on fills (order_id, exchange_trade_id, part) where exchange_trade_id is not null;
create index fills_position on fills (position_id) where position_id is not null;
create index fills_symbol on fills (symbol, executed_at desc);
create index fills_executed on fills (executed_at desc);
select guard_append_only('fills');
select describe('fills', 'Executions', $$
  id                | the engine's fill_id
  user_id           | owner
  order_id          | order that was filled
  position_id       | position that changed
  exchange_id       | venue
  symbol            | symbol
  side              | BUY or SELL
  quantity          | in base, or in contracts
  price             | in quote
  fee               | in fee_currency; below zero for a rebate
  fee_currency      | currency of the fee
  fee_value         | what it costs in the account's currency; 0 when it was paid in a third one
  liquidity         | MAKER or TAKER
  slippage_bps      | against the price it was decided at; below zero for an improvement
  pnl               | realised by it, before its fee
  status            | SUCCESS, or FAILED for one that the venue took back
  exchange_trade_id | the venue's name for the trade
  part              | 0; and 1 for what is beyond the position that the trade ended, and opened the other side
  metadata          | whatever else the venue said
  event_seq         | event that says so
  executed_at       | time at the venue
$$);

create table risk_decisions (
  id uuid primary key,
  user_id uuid not null references users,
  bot_id uuid references bots deferrable initially deferred,
  order_id uuid,
  signal_id uuid,
  cycle_id uuid,
  exchange_id smallint references exchanges,
  symbol text,
  side text check (side in ('BUY', 'SELL')),
  action text not null check (action in ('BLOCKED', 'ALLOWED', 'WARNED')),
  rule text not null,
  details jsonb not null,
  event_seq bigint not null,
  created_at timestamptz not null
);
create index risk_decisions_order on risk_decisions (order_id) where order_id is not null;
create index risk_decisions_created on risk_decisions (created_at desc);
create index risk_decisions_against on risk_decisions (created_at desc) where action <> 'ALLOWED';
select guard_append_only('risk_decisions');
select describe('risk_decisions', 'What the gates said about an intent', $$
  id          | the engine's decision_id
  user_id     | owner
  bot_id      | bot
  order_id    | order that it was about; none for one that was never made
  signal_id   | signal that it was about
  cycle_id    | decision that it was part of
  exchange_id | venue
  symbol      | symbol
  side        | BUY or SELL
  action      | ALLOWED, WARNED or BLOCKED: the strictest of all gates
  rule        | gate that decided
  details     | every gate with limit, actual value and margin
  event_seq   | event that says so
  created_at  | time of that event
$$);

create table kill_switch_events (
  id uuid primary key,
  bot_id uuid references bots deferrable initially deferred,
  enabled boolean not null,
  verb text not null,
  state text not null check (state in ('ACTIVE', 'PAUSED', 'REDUCING', 'HALTED')),
  previous text not null check (previous in ('ACTIVE', 'PAUSED', 'REDUCING', 'HALTED')),
  policy text,
  reason text,
  actor text,
  event_seq bigint not null,
  created_at timestamptz not null
);
create index kill_switch_events_created on kill_switch_events (created_at desc);
create index kill_switch_events_bot on kill_switch_events (bot_id, created_at desc) where bot_id is not null;
select guard_append_only('kill_switch_events');
select describe('kill_switch_events', 'Stops and their release', $$
  id         | id of the event
  bot_id     | bot; none: the whole ledger
  enabled    | trading is stopped after it
  verb       | what was asked, or the gate's word
  state      | ACTIVE, PAUSED, REDUCING or HALTED
  previous   | state before
  policy     | what goes beside the entries: keep_with_exits, cancel (all orders) or flatten (positions, too)
  reason     | why
  actor      | person or gate
  event_seq  | event that says so
  created_at | time of that event
$$);

create table stop_results (
  id uuid primary key,
  bot_id uuid references bots deferrable initially deferred,
  verb text not null,
  actor text,
  results jsonb not null check (jsonb_typeof(results) = 'array'),
  event_seq bigint not null,
  began_at timestamptz not null,
  created_at timestamptz not null,
  check (created_at >= began_at)
);
create index stop_results_created on stop_results (created_at desc);
select guard_append_only('stop_results');
select describe('stop_results', 'Stops whose claim has come true, with what became of every order and position', $$
  id         | id of the event
  bot_id     | bot; none: the whole ledger
  verb       | PAUSE, CANCEL, FLATTEN or HALT
  actor      | person or gate that asked
  results    | of each: id, symbol, role, and the outcome: CANCELED, FILLED, REJECTED, EXPIRED, KEPT or CLOSED
  event_seq  | event that says so
  began_at   | time of the stop, created_at of its kill_switch_events
  created_at | time it was true
$$);

create table funding_payments (
  id uuid primary key,
  user_id uuid not null references users,
  portfolio_id uuid not null references portfolios deferrable initially deferred,
  position_id uuid not null references positions deferrable initially deferred,
  bot_id uuid references bots deferrable initially deferred,
  exchange_id smallint not null references exchanges,
  symbol text not null,
  rate numeric(38,18) not null,
  mark_price numeric(38,18) not null,
  amount numeric(38,18) not null,
  event_seq bigint not null,
  created_at timestamptz not null
);
create unique index funding_payments_once on funding_payments (position_id, created_at);
create index funding_payments_created on funding_payments (created_at desc);
select guard_append_only('funding_payments');
select describe('funding_payments', 'Funding of perpetual futures, once per boundary and position', $$
  id           | id of the event
  user_id      | owner
  portfolio_id | account that paid or received it
  position_id  | position that it was for
  bot_id       | bot
  exchange_id  | venue
  symbol       | symbol
  rate         | of the notional; above zero longs pay shorts
  mark_price   | price of the notional
  amount       | below zero it was paid, above zero received
  event_seq    | event that says so
  created_at   | time of the boundary
$$);

-- == equity

-- Two samples of one moment are possible (an input that fills, and the next of the same time), so the id is
-- in the key.
create table equity_snapshots (
  ts timestamptz not null,
  scope_id uuid not null,
  id uuid not null,
  user_id uuid not null,
  scope text not null check (scope in ('ACCOUNT', 'PORTFOLIO', 'BOT')),
  currency text not null,
  equity numeric(38,18) not null,
  cash numeric(38,18) not null,
  positions_value numeric(38,18),
  unrealized_pnl numeric(38,18),
  realized_pnl numeric(38,18),
  realized_pnl_today numeric(38,18),
  daily_pnl_pct numeric(18,8),
  cumulative_pnl numeric(38,18),
  cumulative_pnl_pct numeric(18,8),
  peak_equity numeric(38,18),
  drawdown numeric(38,18),
  drawdown_pct numeric(18,8),
  open_positions int,
  meta jsonb,
  event_seq bigint not null,
  primary key (scope_id, ts, id)
) partition by range (ts);
select describe('equity_snapshots', 'Equity over time', $$
  ts                 | time of the sample
  scope_id           | account, portfolio or bot
  id                 | id of the event
  user_id            | owner
  scope              | ACCOUNT, PORTFOLIO or BOT
  currency           | currency of the amounts
  equity             | cash and positions at marks
  cash               | money not in positions
  positions_value    | open positions at marks
  unrealized_pnl     | P&L of open positions
  realized_pnl       | P&L of fills so far, before fees
  realized_pnl_today | P&L since the day's start
  daily_pnl_pct      | P&L since the day's start, percent
  cumulative_pnl     | equity less the initial balance
  cumulative_pnl_pct | the same, percent
  peak_equity        | highest equity so far
  drawdown           | below the peak, in currency
  drawdown_pct       | below the peak, percent
  open_positions     | how many
  meta               | marks used
  event_seq          | event that says so
$$);

-- == candles

-- One-minute bars are many and short-lived: their own weekly partitions, dropped as a whole. The rest is
-- rolled up from them and stays. No foreign keys: bars arrive by COPY, a hundred thousand a second.
create table candles (
  exchange_id smallint not null,
  symbol text not null,
  timeframe text not null check (timeframe in ('1s', '1m', '3m', '5m', '15m', '30m', '1h', '2h', '4h', '6h', '8h',
                                               '12h', '1d', '3d', '1w')),
  ts timestamptz not null,
  open numeric(38,18) not null,
  high numeric(38,18) not null,
  low numeric(38,18) not null,
  close numeric(38,18) not null,
  volume numeric(38,18) not null,
  trades_count bigint,
  taker_buy_volume numeric(38,18),
  taker_buy_quote_volume numeric(38,18),
  candle_count int,
  source text,
  -- The venue last: who asks for a symbol's newest bars wherever they come from finds them in order, too.
  primary key (symbol, timeframe, ts, exchange_id),
  check (high >= low and high >= open and high >= close and low <= open and low <= close and volume >= 0)
) partition by list (timeframe);
create table candles_1m partition of candles for values in ('1m') partition by range (ts);
create table candles_rest partition of candles default;
select describe('candles', 'Closed bars', $$
  exchange_id            | venue
  symbol                 | unified name, BTC/USDT
  timeframe              | length of the bar: 1m to 1w
  ts                     | OPEN time of the bar, as venues name it
  open                   | first price
  high                   | highest price
  low                    | lowest price
  close                  | last price
  volume                 | traded, in base
  trades_count           | how many trades
  taker_buy_volume       | bought by takers, in base
  taker_buy_quote_volume | bought by takers, in quote
  candle_count           | one-minute bars that it was rolled up from
  source                 | feed it came from
$$);

-- == partitions by time

-- Partitions follow the data's own time: made when needed, for the past as well. Names carry the first day,
-- in UTC.
create function ensure_range_partitions(p_parent text, p_unit text, p_from timestamptz, p_to timestamptz) returns int
language plpgsql security definer set search_path = qs, pg_catalog, pg_temp as $$
declare
  many constant int := 1200;  -- weeks of 23 years, months of a century
  step interval := ('1 ' || p_unit)::interval;
  since timestamptz := date_trunc(p_unit, p_from, 'UTC');
  until_ts timestamptz;
  name text;
  made int := 0;
begin
  if p_from is null or p_to is null or not isfinite(p_from) or not isfinite(p_to) or p_to < p_from
     or p_to - p_from > many * step then
    raise exception 'no partitions of % from % to %: the range must be finite, forward and at most % %s',
      p_parent, p_from, p_to, many, p_unit using errcode = 'invalid_parameter_value';
  end if;
  while since <= p_to loop
    until_ts := (since at time zone 'UTC' + step) at time zone 'UTC';
    name := p_parent || '_p' || to_char(since at time zone 'UTC', 'YYYYMMDD');
    if to_regclass(format('qs.%I', name)) is null then
      perform pg_advisory_xact_lock(hashtextextended('qs.partitions of ' || p_parent, 0));
      if not exists (select from pg_class where relnamespace = 'qs'::regnamespace and relname = name) then
        execute format('create table %I partition of %I for values from (%L) to (%L)', name, p_parent, since, until_ts);
        made := made + 1;
      end if;
    end if;
    since := until_ts;
  end loop;
  return made;
end $$;
comment on function ensure_range_partitions(text, text, timestamptz, timestamptz)
  is 'Makes the missing partitions (week or month) from one time to another; returns how many';

create function ensure_candle_partitions(p_from timestamptz, p_to timestamptz) returns int
language sql security definer set search_path = qs, pg_catalog, pg_temp as $$
  select ensure_range_partitions('candles_1m', 'week', p_from, p_to)
$$;
comment on function ensure_candle_partitions(timestamptz, timestamptz) is 'Weekly partitions of the one-minute candles';

create function ensure_equity_partitions(p_from timestamptz, p_to timestamptz) returns int
language sql security definer set search_path = qs, pg_catalog, pg_temp as $$
  select ensure_range_partitions('equity_snapshots', 'month', p_from, p_to)
$$;
comment on function ensure_equity_partitions(timestamptz, timestamptz) is 'Monthly partitions of equity_snapshots';
