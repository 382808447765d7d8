-- 002 Wallet following: events are those on chain, its words are lower case, its times have no zone: they are UTC.
-- Addresses and hashes are unbounded text, for its VARCHAR(42) and VARCHAR(66) hold those of one chain only.
-- An asset is what is bought or sold: BTC for BTC/USDT, so that orders, positions, events and bias join as the
-- document joins them.

select qs.contract('wallet_following.users', 'People; without those deleted', $$
  id             | uuid         | users.id
  email          | varchar(255) | users.email
  password_hash  | varchar(255) | secret
  trading_mode   | varchar(20)  | '{"SIM":"demo","PAPER":"demo","LIVE":"live"}'::jsonb ->> users.trading_mode
                 ... | users.trading_mode; SIM and PAPER are demo
  created_at     | timestamp    | users.created_at
  updated_at     | timestamp    | users.updated_at
  last_login     | timestamp    | users.last_login_at
  is_active      | boolean      | users.is_active
  two_fa_enabled | boolean      | users.mfa_enabled
  two_fa_secret  | varchar(255) | secret
$$, 'from qs.users where users.deleted_at is null');

select qs.contract('wallet_following.wallets', 'Wallets that are watched', $$
  id            | uuid         | wallets.id
  address       | text         | wallets.address | deviation: unbounded, addresses of some chains are longer than 42
  label         | varchar(100) | wallets.label
  chain         | varchar(20)  | wallets.chain
  first_seen_at | timestamp    | wallets.first_seen_at
  last_activity | timestamp    | wallets.last_activity_at
  is_active     | boolean      | wallets.is_active
  tags          | text[]       | wallets.tags
  metadata      | jsonb        | wallets.metadata
$$, 'from qs.wallets');

select qs.contract('wallet_following.wallet_scores', 'Skill of a wallet as it was known at a time', $$
  wallet_id          | uuid          | wallet_scores.wallet_id
  timestamp          | timestamp     | wallet_scores.ts
  credibility_1h     | numeric(3,1)  | wallet_scores.credibility_1h
  credibility_4h     | numeric(3,1)  | wallet_scores.credibility_4h
  credibility_24h    | numeric(3,1)  | wallet_scores.credibility_24h
  equity_usd         | numeric(20,2) | wallet_scores.equity_usd
  trading_volume_24h | numeric(20,2) | wallet_scores.trading_volume_24h
  win_rate           | numeric(3,2)  | wallet_scores.win_rate
  archetype          | varchar(50)   | wallet_scores.archetype
$$, 'from qs.wallet_scores');

select qs.contract('wallet_following.events', 'What watched wallets did on chain; a transaction may hold several', $$
  id                   | uuid           | wallet_events.id
  timestamp            | timestamp      | wallet_events.ts
  wallet_id            | uuid           | wallet_events.wallet_id
  tx_hash              | text           | wallet_events.tx_hash
                       ... | deviation: unbounded, hashes of some chains are longer than 66
  event_type           | varchar(50)    | wallet_events.event_type
  asset                | varchar(20)    | wallet_events.asset
  amount               | numeric(30,10) | wallet_events.amount
  notional_usd         | numeric(20,2)  | wallet_events.notional_usd
  size_fraction        | numeric(5,4)   | wallet_events.size_fraction
  venue                | varchar(50)    | wallet_events.venue
  gas_price            | numeric(20,10) | wallet_events.gas_price / 1000000000
                       ... | wallet_events.gas_price, in billions: gwei for wei
  is_first_since_watch | boolean        | wallet_events.is_first_since_watch
  raw_data             | jsonb          | wallet_events.raw_data
  processed_at         | timestamp      | wallet_events.processed_at
$$, 'from qs.wallet_events');

select qs.contract('wallet_following.event_analysis', 'What was read into an event on chain', $$
  event_id           | uuid         | wallet_event_analyses.event_id
  llm_classification | varchar(100) | wallet_event_analyses.llm_classification
  llm_confidence     | numeric(3,2) | wallet_event_analyses.llm_confidence
  llm_narrative      | text         | wallet_event_analyses.llm_narrative
  pattern_matched    | varchar(100) | wallet_event_analyses.pattern_matched
  bias_impact        | numeric(4,3) | wallet_event_analyses.bias_impact
  proposed_action    | jsonb        | wallet_event_analyses.proposed_action
  created_at         | timestamp    | wallet_event_analyses.created_at
  embedding          | =            | wallet_event_analyses.embedding
                     ... | deviation: real[] where the server has no vector type
$$, 'from qs.wallet_event_analyses');

select qs.contract('wallet_following.bias', 'Direction that watched wallets lean to', $$
  timestamp  | timestamp    | market_bias.ts
  asset      | varchar(20)  | market_bias.asset
  timeframe  | varchar(10)  | market_bias.timeframe
  value      | numeric(4,3) | market_bias.value
  components | jsonb        | market_bias.components
  confidence | numeric(3,2) | market_bias.confidence
$$, 'from qs.market_bias');

select qs.contract('wallet_following.orders', 'Orders that were sent; without those that a gate denied', $$
  id                | uuid             | orders.id
  created_at        | timestamp        | orders.created_at
  trading_mode      | varchar(20)      | '{"SIM":"demo","PAPER":"demo","LIVE":"live"}'::jsonb ->> orders.mode
                    ... | orders.mode; SIM and PAPER are demo
  exchange          | varchar(20)      | exchanges.code
  client_order_id   | varchar(100)     | orders.client_order_id
  exchange_order_id | varchar(100)     | orders.exchange_order_id
  asset             | varchar(20)      | split_part(orders.symbol, '/', 1) | base currency of orders.symbol
  side              | varchar(10)      | lower(orders.side) | orders.side in lower case
  order_type        | varchar(20)      | lower(orders.order_type) | orders.order_type in lower case
  size              | numeric(20,10)   | orders.quantity
  price             | numeric(20,10)   | orders.price
  status            | varchar(20)      |
                    ... '{"SUBMITTED":"pending","ACCEPTED":"open","PARTIALLY_FILLED":"partially_filled",
                    ... "FILLED":"filled","CANCELED":"canceled","REJECTED":"rejected","EXPIRED":"expired"}'::jsonb
                    ... ->> orders.status | orders.status in lower case; SUBMITTED is pending, ACCEPTED is open
  filled_size       | numeric(20,10)   | orders.filled_quantity
  avg_fill_price    | numeric(20,10)   | orders.avg_fill_price
  fees              | numeric(20,10)   | orders.fees
  stop_loss         | numeric(20,10)   | orders.stop_loss
  take_profit       | numeric(20,10)[] | orders.take_profit
  signal_event_id   | uuid             | orders.signal_event_id
  policy_snapshot   | jsonb            | orders.policy_snapshot
  error_message     | text             | orders.error_message
  updated_at        | timestamp        | orders.updated_at
$$, $$
  from qs.orders join qs.exchanges on exchanges.id = orders.exchange_id
 where orders.status <> 'DENIED' and orders.deleted_at is null
$$);

select qs.contract('wallet_following.positions', 'Positions, open and closed', $$
  id               | uuid           | positions.id
  opened_at        | timestamp      | positions.opened_at
  closed_at        | timestamp      | positions.closed_at
  trading_mode     | varchar(20)    | '{"SIM":"demo","PAPER":"demo","LIVE":"live"}'::jsonb ->> positions.mode
                   ... | positions.mode; SIM and PAPER are demo
  asset            | varchar(20)    | split_part(positions.symbol, '/', 1) | base currency of positions.symbol
  side             | varchar(10)    | lower(positions.side) | positions.side in lower case
  entry_price      | numeric(20,10) | positions.entry_price
  exit_price       | numeric(20,10) | positions.exit_price
  size             | numeric(20,10) | case when positions.closed_at is null then positions.quantity else
                   ... positions.entry_qty end
                   ... | positions.quantity; of a closed one positions.entry_qty
  leverage         | numeric(4,2)   | positions.leverage
  unrealized_pnl   | numeric(20,2)  | positions.unrealized_pnl
  realized_pnl     | numeric(20,2)  | positions.realized_pnl
  fees_paid        | numeric(20,2)  | positions.fees_paid
  funding_paid     | numeric(20,2)  | positions.funding_paid
  max_drawdown     | numeric(5,2)   | positions.max_drawdown_pct
  holding_time     | interval       | positions.closed_at - positions.opened_at
                   ... | derived: positions.closed_at less positions.opened_at
  risk_consumed    | numeric(5,4)   | positions.risk_consumed
  signal_wallet_id | uuid           | positions.signal_wallet_id
$$, 'from qs.positions where positions.deleted_at is null');

select qs.contract('wallet_following.positions_archive', 'Positions that are closed', $$
  * | wallet_following.positions
$$, 'from wallet_following.positions where positions.closed_at is not null');

select qs.contract('wallet_following.reports', 'What was told about a period', $$
  id               | uuid        | reports.id
  period_start     | timestamp   | reports.period_start
  period_end       | timestamp   | reports.period_end
  report_type      | varchar(20) | reports.report_type
  summary_markdown | text        | reports.summary_markdown
  metrics          | jsonb       | reports.metrics
  notable_events   | jsonb       | reports.notable_events
  delivered_at     | timestamp   | reports.delivered_at
  push_sent        | boolean     | reports.push_sent
  created_at       | timestamp   | reports.created_at
$$, 'from qs.reports');

select qs.contract('wallet_following.audit_logs', 'What people and programs did', $$
  id          | uuid         | audit_logs.id
  timestamp   | timestamp    | audit_logs.ts
  user_id     | uuid         | audit_logs.user_id
  action      | varchar(100) | audit_logs.action
  entity_type | varchar(50)  | audit_logs.resource_type
  entity_id   | uuid         | audit_logs.resource_id
  old_value   | jsonb        | audit_logs.old_values
  new_value   | jsonb        | audit_logs.new_values
  ip_address  | inet         | audit_logs.ip_address
  user_agent  | text         | audit_logs.user_agent
  trace_id    | varchar(100) | audit_logs.trace_id
$$, 'from qs.audit_logs');

-- The document takes the credibility from wallets, which have none: it is that of the newest score.
select qs.contract('wallet_following.active_positions_view', 'Open positions with the wallet that they follow', $$
  * | wallet_following.positions
  signal_wallet      | text         | wallets.address | deviation: unbounded, as wallets.address is
  wallet_credibility | numeric(3,1) | score.credibility_4h | the newest wallet_scores.credibility_4h
  current_bias       | numeric(4,3) | lean.value | the newest market_bias.value of the asset, whatever the timeframe
$$, $$
  from wallet_following.positions
  left join qs.wallets on wallets.id = positions.signal_wallet_id
  left join lateral (select wallet_scores.credibility_4h from qs.wallet_scores
                      where wallet_scores.wallet_id = wallets.id order by wallet_scores.ts desc limit 1) score on true
  left join lateral (select market_bias.value from qs.market_bias
                      where market_bias.asset = positions.asset order by market_bias.ts desc limit 1) lean on true
 where positions.closed_at is null
$$);

-- The document names it daily_performance_view in its heading and daily_performance in its SQL, which counts.
select qs.contract('wallet_following.daily_performance', 'Results of the days on which a trade was closed, in the main account''s currency', $$
  date             | timestamp        | daily_performance.date::timestamp at time zone 'UTC' | daily_performance.date
  trading_mode     | varchar(20)      | case daily_performance.mode when 'LIVE' then 'live' else 'demo' end
                   ... | daily_performance.mode; SIM and PAPER are demo
  total_trades     | bigint           | sum(daily_performance.trades_count)
  win_rate         | double precision | sum(daily_performance.winning_trades)::float /
                   ... nullif(sum(daily_performance.trades_count), 0)
                   ... | daily_performance.winning_trades of daily_performance.trades_count, 0 to 1
  total_pnl        | numeric          | sum(daily_performance.daily_pnl)
  avg_pnl          | numeric          | sum(daily_performance.avg_pnl * daily_performance.trades_count)
                   ... / nullif(sum(daily_performance.trades_count), 0) | mean of daily_performance.avg_pnl by trade
  best_trade       | numeric          | max(daily_performance.best_trade)
  worst_trade      | numeric          | min(daily_performance.worst_trade)
  avg_holding_time | interval         | sum(daily_performance.avg_holding_time * daily_performance.trades_count)
                   ... / nullif(sum(daily_performance.trades_count), 0)
                   ... | mean of daily_performance.avg_holding_time by trade
$$, $$
  from qs.daily_performance where daily_performance.scope = 'PORTFOLIO' and daily_performance.trades_count > 0
   and daily_performance.currency = (select portfolios.base_currency from qs.portfolios where portfolios.name = 'main')
 group by 1, 2
$$);
