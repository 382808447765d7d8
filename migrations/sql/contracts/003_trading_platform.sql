-- 003 Trading platform: trades are executions; its `string` has no length: character varying. Rows that were
-- softly deleted are shown, with their deleted_at. A symbol is the unified one, BTC/USDT, in every view, so that
-- its foreign keys hold; win rates and drawdowns are percent.

select qs.contract('trading_platform.users', 'People', $$
  id            | uuid        | users.id
  email         | varchar     | users.email
  password_hash | varchar     | secret
  full_name     | varchar     | users.full_name
  timezone      | varchar     | users.timezone
  created_at    | timestamptz | users.created_at
  last_login    | timestamptz | users.last_login_at
  is_active     | boolean     | users.is_active
  preferences   | jsonb       | users.preferences
  deleted_at    | timestamptz | users.deleted_at
$$, 'from qs.users');

select qs.contract('trading_platform.exchanges', 'Venues', $$
  id                 | integer     | exchanges.id
  code               | varchar     | upper(exchanges.code) | exchanges.code in upper case
  name               | varchar     | exchanges.name
  api_base_url       | varchar     | exchanges.api_base_url
  supported_features | jsonb       | exchanges.supported_features
  is_active          | boolean     | exchanges.is_active
  rate_limits        | jsonb       | exchanges.rate_limits
  created_at         | timestamptz | exchanges.created_at
  updated_at         | timestamptz | exchanges.updated_at
$$, 'from qs.exchanges');

select qs.contract('trading_platform.bots', 'Bots', $$
  id                | uuid        | bots.id
  user_id           | uuid        | bots.user_id
  strategy_id       | uuid        | bots.strategy_id
  name              | varchar     | bots.name
  status            | varchar     | case when bots.status in ('WARMING_UP', 'RUNNING') and bots.trading_state <> 'ACTIVE'
                    ... then 'paused' else '{"WARMING_UP":"running","RUNNING":"running","STOPPED":"stopped",
                    ... "ERROR":"error"}'::jsonb ->> bots.status end
                    ... | bots.status in lower case; WARMING_UP is running, one whose bots.trading_state is not ACTIVE paused
  config            | jsonb       | bots.config
  performance_stats | jsonb       | bots.performance_stats
  created_at        | timestamptz | bots.created_at
  updated_at        | timestamptz | bots.updated_at
  last_run_at       | timestamptz | bots.last_run_at
  deleted_at        | timestamptz | bots.deleted_at
$$, 'from qs.bots');

select qs.contract('trading_platform.strategies', 'Strategies', $$
  id               | uuid        | strategies.id
  user_id          | uuid        | strategies.user_id
  name             | varchar     | strategies.name
  type             | varchar     | lower(strategies.type) | strategies.type in lower case
  parameters       | jsonb       | strategies.parameters
  description      | text        | strategies.description
  version          | varchar     | coalesce(strategies.version_label, strategies.version || '.0.0')
                   ... | strategies.version_label; without one, strategies.version with .0.0
  backtest_summary | jsonb       | strategies.backtest_summary
  is_public        | boolean     | strategies.is_public
  created_at       | timestamptz | strategies.created_at
  updated_at       | timestamptz | strategies.updated_at
  deleted_at       | timestamptz | strategies.deleted_at
$$, 'from qs.strategies');

select qs.contract('trading_platform.orders', 'Orders, and intents that a gate denied', $$
  id                | uuid          | orders.id
  user_id           | uuid          | orders.user_id
  position_id       | uuid          | orders.position_id
  bot_id            | uuid          | orders.bot_id
  exchange_id       | integer       | orders.exchange_id
  symbol            | varchar       | orders.symbol
  side              | varchar       | orders.position_side
                    ... | orders.position_side: LONG or SHORT, whether it buys or sells
  order_type        | varchar       | orders.order_type
  quantity          | numeric(20,8) | orders.quantity
  price             | numeric(20,8) | orders.price
  stop_price        | numeric(20,8) | orders.stop_price
  callback_rate     | numeric(5,2)  | orders.callback_rate
  leverage          | integer!      | orders.leverage
  margin_mode       | varchar       | orders.margin_mode
  position_mode     | varchar       | orders.position_mode
  time_in_force     | varchar       | orders.time_in_force
  stop_loss         | numeric(20,8) | orders.stop_loss
  take_profit       | numeric(20,8) | orders.take_profit[1] | the first of orders.take_profit
  status            | varchar       | '{"DENIED":"REJECTED","SUBMITTED":"PENDING","ACCEPTED":"PENDING",
                    ... "PARTIALLY_FILLED":"PARTIALLY_FILLED","FILLED":"FILLED","CANCELED":"CANCELLED",
                    ... "REJECTED":"REJECTED","EXPIRED":"EXPIRED"}'::jsonb ->> orders.status
                    ... | orders.status; SUBMITTED and ACCEPTED are PENDING, DENIED is REJECTED
  exchange_order_id | varchar       | orders.exchange_order_id
  metadata          | jsonb         | orders.metadata
  created_at        | timestamptz   | orders.created_at
  filled_at         | timestamptz   | orders.filled_at
  cancelled_at      | timestamptz   | orders.cancelled_at
  deleted_at        | timestamptz   | orders.deleted_at
$$, 'from qs.orders');

select qs.contract('trading_platform.positions', 'Positions', $$
  id                | uuid          | positions.id
  user_id           | uuid          | positions.user_id
  bot_id            | uuid          | positions.bot_id
  exchange_id       | integer       | positions.exchange_id
  symbol            | varchar       | positions.symbol
  side              | varchar       | positions.side
  entry_price       | numeric(20,8) | positions.entry_price
  mark_price        | numeric(20,8) | positions.mark_price
  liquidation_price | numeric(20,8) | positions.liquidation_price
  quantity          | numeric(20,8) | positions.quantity
  pnl               | numeric(20,8) | positions.unrealized_pnl + positions.realized_pnl
                    ... | derived: positions.unrealized_pnl and positions.realized_pnl
  pnl_percent       | numeric(10,4) | case when positions.closed_at is null then positions.unrealized_pnl_pct
                    ... else positions.realized_pnl_pct end
                    ... | positions.unrealized_pnl_pct; of a closed one positions.realized_pnl_pct
  unrealized_pnl    | numeric(20,8) | positions.unrealized_pnl
  realized_pnl      | numeric(20,8) | positions.realized_pnl
  stop_loss         | numeric(20,8) | positions.stop_price
  take_profit       | numeric(20,8) | positions.take_profit_price
  leverage          | integer!      | positions.leverage
  margin_mode       | varchar       | positions.margin_mode
  margin_used       | numeric(20,8) | positions.margin_used
  status            | varchar       |
                    ... '{"OPEN":"OPEN","CLOSED":"CLOSED","CANCELED":"CLOSED","LIQUIDATED":"LIQUIDATED"}'::jsonb
                    ... ->> positions.status | positions.status; CANCELED is CLOSED
  opened_at         | timestamptz   | positions.opened_at
  closed_at         | timestamptz   | positions.closed_at
  updated_at        | timestamptz   | positions.updated_at
  deleted_at        | timestamptz   | positions.deleted_at
$$, 'from qs.positions');

select qs.contract('trading_platform.trades', 'Executions', $$
  id                | uuid          | fills.id
  position_id       | uuid          | fills.position_id
  order_id          | uuid          | fills.order_id
  exchange_id       | integer       | fills.exchange_id
  symbol            | varchar       | fills.symbol
  side              | varchar       | fills.side
  price             | numeric(20,8) | fills.price
  quantity          | numeric(20,8) | fills.quantity
  fee               | numeric(20,8) | fills.fee
  fee_currency      | varchar       | fills.fee_currency
  pnl               | numeric(20,8) | fills.pnl
  status            | varchar       | fills.status
  exchange_trade_id | varchar       | fills.exchange_trade_id
  metadata          | jsonb         | fills.metadata
  executed_at       | timestamptz   | fills.executed_at
$$, 'from qs.fills');

select qs.contract('trading_platform.backtests', 'Runs of a strategy over the past', $$
  id                          | uuid          | backtests.id
  strategy_id                 | uuid          | backtests.strategy_id
  bot_id                      | uuid          | backtests.bot_id
  symbol                      | varchar       | backtests.symbol
  timeframe                   | varchar       | backtests.timeframe
  start_date                  | date          | backtests.start_date
  end_date                    | date          | backtests.end_date
  initial_capital             | numeric(20,8) | backtests.initial_capital
  final_equity                | numeric(20,8) | backtests.final_equity
  total_trades                | integer       | backtests.total_trades
  winning_trades              | integer       | backtests.winning_trades
  losing_trades               | integer       | backtests.losing_trades
  win_rate                    | numeric(5,2)  | backtests.win_rate * 100 | backtests.win_rate, percent
  sharpe_ratio                | numeric(10,4) | backtests.sharpe_ratio
  sortino_ratio               | numeric(10,4) | backtests.sortino_ratio
  max_drawdown                | numeric(10,4) | backtests.max_drawdown_pct
  max_drawdown_duration_hours | numeric       | extract(epoch from backtests.max_drawdown_duration) / 3600
                              ... | backtests.max_drawdown_duration, in hours
  profit_factor               | numeric(10,4) | backtests.profit_factor
  avg_win                     | numeric(20,8) | backtests.avg_win
  avg_loss                    | numeric(20,8) | backtests.avg_loss
  largest_win                 | numeric(20,8) | backtests.largest_win
  largest_loss                | numeric(20,8) | backtests.largest_loss
  results                     | jsonb         | backtests.results
  equity_curve                | jsonb         | backtests.equity_curve
  metrics                     | jsonb         | backtests.metrics
  created_at                  | timestamptz   | backtests.created_at
  deleted_at                  | timestamptz   | backtests.deleted_at
$$, 'from qs.backtests');

select qs.contract('trading_platform.api_connections', 'Keys of exchange accounts, without what is secret', $$
  id                   | uuid        | exchange_credentials.id
  user_id              | uuid        | exchange_credentials.user_id
  exchange_id          | integer     | exchange_credentials.exchange_id
  environment          | varchar     | case exchange_credentials.environment when 'PRODUCTION' then 'PRODUCTION' else
                       ... 'TESTNET' end
                       ... | exchange_credentials.environment; PAPER is TESTNET
  api_key_encrypted    | text        | secret
  api_secret_encrypted | text        | secret
  passphrase_encrypted | text        | secret
  status               | varchar     | '{"ACTIVE":"ACTIVE","INACTIVE":"INACTIVE","ERROR":"ERROR","EXPIRED":"EXPIRED",
                       ... "REVOKED":"INACTIVE"}'::jsonb ->> exchange_credentials.status
                       ... | exchange_credentials.status; REVOKED is INACTIVE
  permissions          | jsonb       | to_jsonb(exchange_credentials.permissions) | exchange_credentials.permissions
  last_tested_at       | timestamptz | exchange_credentials.last_tested_at
  last_test_result     | jsonb       | exchange_credentials.last_test_result
  created_at           | timestamptz | exchange_credentials.created_at
  updated_at           | timestamptz | exchange_credentials.updated_at
  deleted_at           | timestamptz | exchange_credentials.deleted_at
$$, 'from qs.exchange_credentials');

select qs.contract('trading_platform.database_configs', 'Other databases, without what is secret', $$
  id                 | uuid        | database_configs.id
  user_id            | uuid        | database_configs.user_id
  name               | varchar     | database_configs.name
  db_type            | varchar     | database_configs.db_type
  host               | varchar     | database_configs.host
  port               | integer     | database_configs.port
  database           | varchar     | database_configs.database
  user               | varchar     | database_configs.username
  password_encrypted | text        | secret
  ssl_config         | jsonb       | database_configs.ssl_config
  status             | varchar     | database_configs.status
  last_tested_at     | timestamptz | database_configs.last_tested_at
  last_test_result   | jsonb       | database_configs.last_test_result
  created_at         | timestamptz | database_configs.created_at
  updated_at         | timestamptz | database_configs.updated_at
  deleted_at         | timestamptz | database_configs.deleted_at
$$, 'from qs.database_configs');

select qs.contract('trading_platform.symbols', 'Trading rules of a symbol; one row per venue that lists it', $$
  symbol             | varchar       | instruments.symbol
  exchange_id        | integer       | instruments.exchange_id
  base_currency      | varchar       | instruments.base_currency
  quote_currency     | varchar       | instruments.quote_currency
  min_quantity       | numeric(20,8) | instruments.min_quantity
  max_quantity       | numeric(20,8) | instruments.max_quantity
  tick_size          | numeric(20,8) | instruments.tick_size
  price_precision    | integer       | instruments.price_precision
  quantity_precision | integer       | instruments.quantity_precision
  min_notional       | numeric(20,8) | instruments.min_notional
  status             | varchar       | instruments.status
  contract_info      | jsonb         | instruments.contract_info
  metadata           | jsonb         | instruments.metadata
  updated_at         | timestamptz   | instruments.updated_at
$$, 'from qs.instruments');

select qs.contract('trading_platform.market_prices', 'Closed bars of the eight lengths that the document names', $$
  id                     | bigint        | qs.stable_id(concat_ws('|', candles.exchange_id, candles.symbol,
                         ... candles.timeframe,
                         ... extract(epoch from candles.ts))) | derived: hash of the bar's key; bars have no id
  symbol                 | varchar       | candles.symbol
  exchange_id            | integer       | candles.exchange_id
  timestamp              | timestamptz   | candles.ts
  interval               | varchar       | candles.timeframe
  open                   | numeric(20,8) | candles.open
  high                   | numeric(20,8) | candles.high
  low                    | numeric(20,8) | candles.low
  close                  | numeric(20,8) | candles.close
  volume                 | numeric(20,8) | candles.volume
  trades_count           | bigint        | candles.trades_count
  taker_buy_volume       | numeric(20,8) | candles.taker_buy_volume
  taker_buy_quote_volume | numeric(20,8) | candles.taker_buy_quote_volume
$$, $$
  from qs.candles where candles.timeframe in ('1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w')
$$);

select qs.contract('trading_platform.orderbook_snapshots', 'Snapshots of order books', $$
  id               | bigint        | qs.stable_id(concat_ws('|', order_books.exchange_id, order_books.symbol,
                   ... extract(epoch from order_books.ts))) | derived: hash of the snapshot's key; snapshots have no id
  symbol           | varchar       | order_books.symbol
  exchange_id      | integer       | order_books.exchange_id
  timestamp        | timestamptz   | order_books.ts
  bids             | jsonb         | order_books.bids
  asks             | jsonb         | order_books.asks
  depth            | integer       | order_books.depth
  total_bid_volume | numeric(20,8) | order_books.total_bid_volume
  total_ask_volume | numeric(20,8) | order_books.total_ask_volume
$$, 'from qs.order_books');

select qs.contract('trading_platform.risk_limits', 'Hard limits, of the account and of each bot', $$
  id                 | uuid          | risk_limits.id
  user_id            | uuid          | risk_limits.user_id
  bot_id             | uuid          | risk_limits.bot_id
  max_position_size  | numeric(20,8) | risk_limits.max_position_size
  max_leverage       | integer!      | risk_limits.max_leverage
  max_daily_loss     | numeric(20,8) | risk_limits.max_daily_loss
  max_drawdown       | numeric(10,4) | risk_limits.max_drawdown_pct
  max_open_positions | integer       | risk_limits.max_open_positions
  max_order_size     | numeric(20,8) | risk_limits.max_order_size
  risk_rules         | jsonb         | risk_limits.risk_rules
  enabled            | boolean       | risk_limits.enabled
  created_at         | timestamptz   | risk_limits.created_at
  updated_at         | timestamptz   | risk_limits.updated_at
  deleted_at         | timestamptz   | risk_limits.deleted_at
$$, 'from qs.risk_limits');

select qs.contract('trading_platform.alerts', 'What an operator wants to be told of', $$
  id                   | uuid          | alerts.id
  user_id              | uuid          | alerts.user_id
  symbol               | varchar       | alerts.symbol
  exchange_id          | integer       | alerts.exchange_id
  type                 | varchar       | '{"PRICE":"PRICE","PNL":"PNL","RISK":"RISK","SYSTEM":"SYSTEM",
                       ... "FUNDING_RATE":"FUNDING_RATE","INDICATOR":"PRICE","VOLUME":"PRICE","CHANGE_PCT":"PRICE"}'::jsonb
                       ... ->> alerts.type | alerts.type; INDICATOR, VOLUME and CHANGE_PCT are PRICE, with what they
                       ... look at in condition
  condition            | jsonb         | jsonb_strip_nulls(jsonb_build_object('operator', alerts.condition, 'type',
                       ... alerts.type,
                       ... 'indicator', alerts.indicator, 'params', alerts.indicator_params))
                       ... | alerts.condition, alerts.type, alerts.indicator and alerts.indicator_params
  threshold            | numeric(20,8) | alerts.threshold
  status               | varchar       | alerts.status
  notification_channel | varchar       | (select c from unnest(alerts.notification_channels) with ordinality u (c, i)
                       ... where c in ('EMAIL', 'TELEGRAM', 'WEBHOOK', 'SMS') order by i limit 1)
                       ... | the first of alerts.notification_channels that the document knows; none where there is
                       ... only TUI or PUSH
  notification_config  | jsonb         | alerts.notification_config
  metadata             | jsonb         | alerts.metadata
  triggered_at         | timestamptz   | alerts.triggered_at
  created_at           | timestamptz   | alerts.created_at
  updated_at           | timestamptz   | alerts.updated_at
  expires_at           | timestamptz   | alerts.expires_at
$$, 'from qs.alerts');

select qs.contract('trading_platform.bot_performance', 'Results of every bot per day', $$
  id               | bigint        | qs.stable_id(concat_ws('|', daily_performance.scope_id,
                   ... daily_performance.date - date '2000-01-01', daily_performance.mode))
                   ... | derived: hash of the day's key; days have no id
  bot_id           | uuid          | daily_performance.scope_id
  date             | date          | daily_performance.date
  daily_pnl        | numeric(20,8) | daily_performance.daily_pnl
  cumulative_pnl   | numeric(20,8) | daily_performance.cumulative_pnl
  trades_count     | integer       | daily_performance.trades_count
  winning_trades   | integer       | daily_performance.winning_trades
  losing_trades    | integer       | daily_performance.losing_trades
  win_rate         | numeric(5,2)  | daily_performance.win_rate * 100 | daily_performance.win_rate, percent
  sharpe_ratio     | numeric(10,4) | daily_performance.sharpe_ratio
  max_drawdown     | numeric(10,4) | daily_performance.max_drawdown_pct
  total_volume     | numeric(20,8) | daily_performance.total_volume
  total_fees       | numeric(20,8) | daily_performance.total_fees
  detailed_metrics | jsonb         | daily_performance.detailed_metrics
  created_at       | timestamptz   | daily_performance.created_at
$$, $$ from qs.daily_performance where daily_performance.scope = 'BOT' $$);

select qs.contract('trading_platform.event_queue', 'Notifications to deliver, with the event that they tell', $$
  id           | bigint      | outbox.id
  event_id     | uuid        | outbox.event_id
  event_type   | varchar     | upper(regexp_replace(events.type, '([a-z0-9])([A-Z])', '\1_\2', 'g'))
               ... | events.type in upper case: ORDER_FILLED for OrderFilled
  payload      | jsonb       | events.payload
  status       | varchar     | outbox.status
  retry_count  | integer     | outbox.retry_count
  created_at   | timestamptz | outbox.created_at
  processed_at | timestamptz | outbox.processed_at
  expires_at   | timestamptz | outbox.expires_at
$$, 'from qs.outbox left join qs.events on events.seq = outbox.event_seq');

select qs.contract('trading_platform.active_users', 'People; without those deleted', $$
  * | trading_platform.users
$$, 'from trading_platform.users where users.deleted_at is null');

select qs.contract('trading_platform.active_bots', 'Bots; without those that no config names any more', $$
  * | trading_platform.bots
$$, 'from trading_platform.bots where bots.deleted_at is null');
