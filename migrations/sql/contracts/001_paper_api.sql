-- 001 Paper trading API: its words are lower case; positions are what is held now, one row per symbol.

select qs.contract('paper_api.market_ticks', 'Ticks that have both a bid and an ask', $$
  tick_id    | uuid          | qs.stable_uuid(concat_ws('|', ticks.exchange_id, ticks.symbol, extract(epoch from
             ... ticks.ts),
             ... ticks.bid, ticks.ask, ticks.last_price, ticks.last_volume, extract(epoch from ticks.received_at)))
             ... | derived: hash of the tick; ticks have no id
  symbol     | text          | ticks.symbol
  bid_price  | numeric(18,8) | ticks.bid
  ask_price  | numeric(18,8) | ticks.ask
  mid_price  | numeric(18,8) | (ticks.bid + ticks.ask) / 2
  spread_bps | integer!      | (ticks.ask - ticks.bid) / (ticks.bid + ticks.ask) * 20000
             ... | from ticks.bid and ticks.ask, rounded: most spreads are far below one
  event_at   | timestamptz   | ticks.ts
  created_at | timestamptz   | ticks.received_at
$$, 'from qs.ticks where ticks.bid is not null and ticks.ask is not null');

select qs.contract('paper_api.signals', 'Rules that fired', $$
  signal_id        | uuid         | signals.id
  cycle_id         | uuid         | signals.cycle_id
  symbol           | text         | signals.symbol
  side             | text         | lower(signals.side) | signals.side in lower case
  confidence       | numeric(6,5) | signals.confidence
  strategy_payload | jsonb        | signals.payload
  created_at       | timestamptz  | signals.created_at
$$, 'from qs.signals');

select qs.contract('paper_api.orders', 'Orders, and intents that a gate denied', $$
  order_id    | uuid          | orders.id
  cycle_id    | uuid          | orders.cycle_id
  signal_id   | uuid          | orders.signal_id | orders.signal_id; none for orders that a person or a stop made
  symbol      | text          | orders.symbol
  side        | text          | lower(orders.side) | orders.side in lower case
  qty         | numeric(18,8) | orders.quantity
  limit_price | numeric(18,8) | orders.price
  status      | text          | '{"DENIED":"rejected","SUBMITTED":"approved","ACCEPTED":"approved",
              ... "PARTIALLY_FILLED":"approved","FILLED":"executed","CANCELED":"canceled","EXPIRED":"canceled",
              ... "REJECTED":"rejected"}'::jsonb ->> orders.status
              ... | orders.status; DENIED and REJECTED are rejected, working ones approved, EXPIRED canceled; nothing
              ... is kept before the gates, so none is proposed
  risk_reason | text          | orders.risk_reason
  created_at  | timestamptz   | orders.created_at
$$, 'from qs.orders where orders.deleted_at is null');

select qs.contract('paper_api.fills', 'Executions; without those that a venue took back', $$
  fill_id      | uuid          | fills.id
  order_id     | uuid          | fills.order_id
  symbol       | text          | fills.symbol
  side         | text          | lower(fills.side) | fills.side in lower case
  qty          | numeric(18,8) | fills.quantity
  fill_price   | numeric(18,8) | fills.price
  fee          | numeric(18,8) | fills.fee
  slippage_bps | integer!      | fills.slippage_bps | fills.slippage_bps, rounded; below zero for an improvement
  filled_at    | timestamptz   | fills.executed_at
$$, $$ from qs.fills where fills.status = 'SUCCESS' $$);

select qs.contract('paper_api.positions', 'What is held now: open positions by symbol, long less short', $$
  symbol          | text          | positions.symbol
  qty             | numeric(18,8) | sum(case positions.side when 'LONG' then positions.quantity else
                  ... -positions.quantity end)
                  ... | sum of positions.quantity; short ones count below zero
  avg_entry_price | numeric(18,8) | sum(positions.entry_price * positions.quantity) / nullif(sum(positions.quantity), 0)
                  ... | mean of positions.entry_price by quantity
  mark_price      | numeric(18,8) | (array_agg(positions.mark_price order by positions.updated_at desc))[1]
                  ... | the newest positions.mark_price
  unrealized_pnl  | numeric(18,8) | sum(positions.unrealized_pnl)
  updated_at      | timestamptz   | max(positions.updated_at)
$$, $$ from qs.positions where positions.status = 'OPEN' and positions.deleted_at is null group by positions.symbol $$);

select qs.contract('paper_api.portfolio_snapshots', 'Equity of the main account over time', $$
  snapshot_id    | uuid          | equity_snapshots.id
  nav            | numeric(18,8) | equity_snapshots.equity
  cash           | numeric(18,8) | equity_snapshots.cash
  realized_pnl   | numeric(18,8) | equity_snapshots.realized_pnl
  unrealized_pnl | numeric(18,8) | equity_snapshots.unrealized_pnl
  captured_at    | timestamptz   | equity_snapshots.ts
$$, $$
  from qs.equity_snapshots join qs.portfolios on portfolios.id = equity_snapshots.scope_id where portfolios.name = 'main'
$$);

select qs.contract('paper_api.risk_events', 'What the gates said about an intent', $$
  risk_event_id | uuid        | risk_decisions.id
  order_id      | uuid        | risk_decisions.order_id | risk_decisions.order_id; none where no order was made
  action        | text        | lower(risk_decisions.action) | risk_decisions.action in lower case
  rule          | text        | risk_decisions.rule
  details       | jsonb       | risk_decisions.details
  created_at    | timestamptz | risk_decisions.created_at
$$, 'from qs.risk_decisions');

select qs.contract('paper_api.kill_switch_events', 'Stops and their release', $$
  event_id   | uuid        | kill_switch_events.id
  enabled    | boolean     | kill_switch_events.enabled
  reason     | text        | kill_switch_events.reason
  actor      | text        | kill_switch_events.actor
  created_at | timestamptz | kill_switch_events.created_at
$$, 'from qs.kill_switch_events');

select qs.contract('paper_api.devnet_smoke_runs', 'Short tests against the world outside, of any kind', $$
  run_id         | uuid        | smoke_runs.id
  status         | text        | lower(smoke_runs.status) | smoke_runs.status in lower case
  rpc_latency_ms | integer     | smoke_runs.rpc_latency_ms
  wallet_check   | text        | smoke_runs.wallet_check
  tx_simulation  | text        | smoke_runs.tx_simulation
  ran_at         | timestamptz | smoke_runs.ran_at
$$, 'from qs.smoke_runs');
