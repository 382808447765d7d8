-- 004 ApexTrade: trades are orders; its words are lower case but for sides and types; short positions are
-- quantities below zero. Its overview draws a table `rules` that it never defines: rules are columns of
-- strategies. Fees and slippage of its backtests are fractions, though their names end in _pct: the default of
-- 0.0010 is a tenth of a percent.

select qs.contract('apextrade.users', 'People; without those deleted', $$
  id                       | uuid         | users.id
  email                    | varchar(255) | users.email
  password_hash            | varchar(255) | secret
  first_name               | varchar(100) | users.first_name
  last_name                | varchar(100) | users.last_name
  timezone                 | varchar(50)  | users.timezone
  preferred_currency       | varchar(3)   | users.preferred_currency
  is_active                | boolean      | users.is_active
  is_verified              | boolean      | users.is_verified
  mfa_enabled              | boolean      | users.mfa_enabled
  mfa_secret               | varchar(255) | secret
  notification_preferences | jsonb        | users.notification_preferences
  created_at               | timestamptz  | users.created_at
  updated_at               | timestamptz  | users.updated_at
  last_login_at            | timestamptz  | users.last_login_at
  verified_at              | timestamptz  | users.verified_at
$$, 'from qs.users where users.deleted_at is null');

select qs.contract('apextrade.strategies', 'Strategies; without those deleted', $$
  id                    | uuid         | strategies.id
  user_id               | uuid         | strategies.user_id
  name                  | varchar(100) | strategies.name
  description           | text         | strategies.description
  version               | integer      | strategies.version
  asset_symbol          | varchar(20)  | strategies.symbol
  timeframe             | varchar(5)   | strategies.timeframe
  entry_rules           | jsonb        | strategies.entry_rules
  exit_rules            | jsonb        | strategies.exit_rules
  stop_loss_pct         | numeric(5,2) | strategies.stop_loss_pct
  take_profit_pct       | numeric(5,2) | strategies.take_profit_pct
  max_position_size_pct | numeric(5,2) | strategies.max_position_size_pct
  max_drawdown_pct      | numeric(5,2) | strategies.max_drawdown_pct
  trailing_stop_pct     | numeric(5,2) | strategies.trailing_stop_pct
  status                | varchar(20)  | lower(strategies.status) | strategies.status in lower case
  trading_mode          | varchar(20)  | '{"SIM":"paper","PAPER":"paper","LIVE":"live"}'::jsonb ->>
                        ... strategies.trading_mode
                        ... | strategies.trading_mode; SIM is paper
  created_at            | timestamptz  | strategies.created_at
  updated_at            | timestamptz  | strategies.updated_at
  activated_at          | timestamptz  | strategies.activated_at
  last_signal_at        | timestamptz  | strategies.last_signal_at
$$, 'from qs.strategies where strategies.deleted_at is null');

select qs.contract('apextrade.backtests', 'Runs of a strategy over the past; without those deleted', $$
  id                         | uuid          | backtests.id
  strategy_id                | uuid          | backtests.strategy_id
  user_id                    | uuid          | backtests.user_id
  start_date                 | date          | backtests.start_date
  end_date                   | date          | backtests.end_date
  initial_capital            | numeric(15,2) | backtests.initial_capital
  commission_pct             | numeric(5,4)  | backtests.commission_pct / 100 | backtests.commission_pct as a fraction
  slippage_pct               | numeric(5,4)  | backtests.slippage_pct / 100 | backtests.slippage_pct as a fraction
  strategy_snapshot          | jsonb         | backtests.strategy_snapshot
  status                     | varchar(20)   | '{"PENDING":"pending","RUNNING":"running","COMPLETED":"completed",
                             ... "FAILED":"failed","CANCELED":"cancelled"}'::jsonb ->> backtests.status
                             ... | backtests.status in lower case; CANCELED is cancelled
  progress_pct               | integer       | backtests.progress_pct
  error_message              | text          | backtests.error_message
  final_capital              | numeric(15,2) | backtests.final_equity
  total_return_pct           | numeric(10,4) | backtests.total_return_pct
  annualized_return_pct      | numeric(10,4) | backtests.annualized_return_pct
  sharpe_ratio               | numeric(6,4)  | backtests.sharpe_ratio
  sortino_ratio              | numeric(6,4)  | backtests.sortino_ratio
  calmar_ratio               | numeric(6,4)  | backtests.calmar_ratio
  max_drawdown_pct           | numeric(6,4)  | backtests.max_drawdown_pct
  max_drawdown_duration_days | integer!      | extract(epoch from backtests.max_drawdown_duration) / 86400
                             ... | backtests.max_drawdown_duration, in days
  win_rate_pct               | numeric(5,2)  | backtests.win_rate * 100 | backtests.win_rate, percent
  profit_factor              | numeric(6,4)  | backtests.profit_factor
  avg_trade_pct              | numeric(8,4)  | backtests.avg_trade_pct
  avg_win_pct                | numeric(8,4)  | backtests.avg_win_pct
  avg_loss_pct               | numeric(8,4)  | backtests.avg_loss_pct
  total_trades               | integer       | backtests.total_trades
  winning_trades             | integer       | backtests.winning_trades
  losing_trades              | integer       | backtests.losing_trades
  avg_trade_duration_minutes | integer!      | extract(epoch from backtests.avg_trade_duration) / 60
                             ... | backtests.avg_trade_duration, in minutes
  equity_curve               | jsonb         | backtests.equity_curve
  monthly_returns            | jsonb         | backtests.monthly_returns
  drawdown_periods           | jsonb         | backtests.drawdown_periods
  created_at                 | timestamptz   | backtests.created_at
  started_at                 | timestamptz   | backtests.started_at
  completed_at               | timestamptz   | backtests.completed_at
$$, 'from qs.backtests where backtests.deleted_at is null');

select qs.contract('apextrade.backtest_trades', 'Round trips of a backtest', $$
  id                | bigint        | backtest_trades.id
  backtest_id       | uuid          | backtest_trades.backtest_id
  trade_number      | integer       | backtest_trades.trade_number
  entry_date        | timestamptz   | backtest_trades.entry_at
  exit_date         | timestamptz   | backtest_trades.exit_at
  symbol            | varchar(20)   | backtest_trades.symbol
  side              | varchar(4)    | backtest_trades.side
  quantity          | numeric(18,8) | backtest_trades.quantity
  entry_price       | numeric(18,8) | backtest_trades.entry_price
  exit_price        | numeric(18,8) | backtest_trades.exit_price
  commission        | numeric(15,8) | backtest_trades.commission
  slippage          | numeric(15,8) | backtest_trades.slippage
  gross_pnl         | numeric(15,8) | backtest_trades.gross_pnl
  net_pnl           | numeric(15,8) | backtest_trades.net_pnl
  pnl_pct           | numeric(8,4)  | backtest_trades.pnl_pct
  entry_signal      | text          | backtest_trades.entry_signal
  exit_signal       | text          | backtest_trades.exit_signal
  market_conditions | jsonb         | backtest_trades.market_conditions
  is_open           | boolean       | backtest_trades.is_open
$$, 'from qs.backtest_trades');

select qs.contract('apextrade.portfolios', 'Accounts', $$
  id                | uuid          | portfolios.id
  user_id           | uuid          | portfolios.user_id
  name              | varchar(100)  | portfolios.name
  description       | text          | portfolios.description
  base_currency     | varchar(3)    | portfolios.base_currency | portfolios.base_currency; USDT is too long for it
  is_paper          | boolean       | portfolios.mode <> 'LIVE' | portfolios.mode: SIM and PAPER are paper
  broker            | varchar(50)   | portfolios.broker
  broker_account_id | varchar(100)  | portfolios.broker_account_id
  initial_balance   | numeric(15,2) | portfolios.initial_balance
  cash_balance      | numeric(15,2) | portfolios.cash_balance
  positions_value   | numeric(15,2) | portfolios.positions_value
  total_value       | numeric(15,2) | portfolios.total_value
  unrealized_pnl    | numeric(15,2) | portfolios.unrealized_pnl
  realized_pnl      | numeric(15,2) | portfolios.realized_pnl
  is_active         | boolean       | portfolios.is_active
  created_at        | timestamptz   | portfolios.created_at
  updated_at        | timestamptz   | portfolios.updated_at
$$, 'from qs.portfolios');

select qs.contract('apextrade.positions', 'Positions, open and closed; without those deleted', $$
  id                  | uuid          | positions.id
  portfolio_id        | uuid          | positions.portfolio_id
  symbol              | varchar(20)   | positions.symbol
  quantity            | numeric(18,8) | case positions.side when 'LONG' then 1 else -1 end
                      ... * case when positions.closed_at is null then positions.quantity else positions.entry_qty end
                      ... | positions.quantity, below zero when short; of a closed one positions.entry_qty: it may
                      ... not be 0
  average_entry_price | numeric(18,8) | positions.entry_price
  current_price       | numeric(18,8) | positions.mark_price
  market_value        | numeric(15,2) | positions.market_value
  cost_basis          | numeric(15,2) | positions.cost_basis
  unrealized_pnl      | numeric(15,8) | positions.unrealized_pnl
  unrealized_pnl_pct  | numeric(8,4)  | positions.unrealized_pnl_pct
  realized_pnl        | numeric(15,8) | positions.realized_pnl
  is_open             | boolean       | positions.status = 'OPEN' | positions.status
  opened_at           | timestamptz   | positions.opened_at
  closed_at           | timestamptz   | positions.closed_at
  updated_at          | timestamptz   | positions.updated_at
$$, 'from qs.positions where positions.deleted_at is null');

select qs.contract('apextrade.trades', 'Orders that were sent; without those that a gate denied, which have no portfolio', $$
  id                | uuid          | orders.id
  user_id           | uuid          | orders.user_id
  portfolio_id      | uuid          | orders.portfolio_id
  strategy_id       | uuid          | orders.strategy_id
  position_id       | uuid          | orders.position_id
  symbol            | varchar(20)   | orders.symbol
  side              | varchar(4)    | orders.side
  order_type        | varchar(20)   | case when orders.order_type = 'LIMIT' and orders.role = 'TAKE_PROFIT' then
                    ... 'TAKE_PROFIT' else
                    ... '{"MARKET":"MARKET","LIMIT":"LIMIT","STOP_MARKET":"STOP_LOSS","TRAILING_STOP":"STOP_LOSS",
                    ... "STOP_LIMIT":"STOP_LIMIT"}'::jsonb ->> orders.order_type end
                    ... | orders.order_type; stops are STOP_LOSS, a LIMIT with orders.role TAKE_PROFIT is TAKE_PROFIT
  quantity          | numeric(18,8) | orders.quantity
  price             | numeric(18,8) | orders.price
  filled_quantity   | numeric(18,8) | orders.filled_quantity
  filled_price      | numeric(18,8) | orders.avg_fill_price
  filled_value      | numeric(15,2) | orders.filled_value
  commission        | numeric(15,8) | orders.fees
  slippage          | numeric(15,8) | orders.slippage
  realized_pnl      | numeric(15,8) | orders.realized_pnl
  status            | varchar(20)   | case when orders.in_doubt then 'pending' else
                    ... '{"SUBMITTED":"submitted","ACCEPTED":"submitted",
                    ... "PARTIALLY_FILLED":"partial","FILLED":"filled","CANCELED":"cancelled","REJECTED":"failed",
                    ... "EXPIRED":"expired"}'::jsonb ->> orders.status end
                    ... | orders.status in its words; orders.in_doubt is pending, REJECTED is failed
  broker_order_id   | varchar(100)  | orders.exchange_order_id
  error_message     | text          | orders.error_message
  is_paper          | boolean       | orders.mode <> 'LIVE' | orders.mode: SIM and PAPER are paper
  signal_reason     | text          | orders.signal_reason
  market_conditions | jsonb         | orders.market_conditions
  created_at        | timestamptz   | orders.created_at
  submitted_at      | timestamptz   | orders.submitted_at
  filled_at         | timestamptz   | orders.filled_at
  cancelled_at      | timestamptz   | orders.cancelled_at
$$, $$ from qs.orders where orders.status <> 'DENIED' and orders.deleted_at is null $$);

select qs.contract('apextrade.api_keys', 'Keys of exchange accounts, without what is secret; without those deleted', $$
  id                   | uuid          | exchange_credentials.id
  user_id              | uuid          | exchange_credentials.user_id
  name                 | varchar(100)  | exchange_credentials.label
  exchange             | varchar(50)   | exchanges.code
  is_testnet           | boolean       | exchange_credentials.environment <> 'PRODUCTION'
                       ... | exchange_credentials.environment
  api_key_encrypted    | bytea         | secret
  api_secret_encrypted | bytea         | secret
  passphrase_encrypted | bytea         | secret
  permissions          | varchar(50)[] | lower(exchange_credentials.permissions::text)::text[]
                       ... | exchange_credentials.permissions in lower case
  is_valid             | boolean       | exchange_credentials.status = 'ACTIVE' | exchange_credentials.status
  last_validated_at    | timestamptz   | exchange_credentials.last_tested_at
  validation_error     | text          | case when exchange_credentials.last_test_result ->> 'ok' = 'false'
                       ... then exchange_credentials.last_test_result ->> 'message' end
                       ... | exchange_credentials.last_test_result: its message, unless it was ok
  last_used_at         | timestamptz   | exchange_credentials.last_used_at
  request_count        | integer!      | exchange_credentials.request_count
  created_at           | timestamptz   | exchange_credentials.created_at
  updated_at           | timestamptz   | exchange_credentials.updated_at
$$, $$
  from qs.exchange_credentials join qs.exchanges on exchanges.id = exchange_credentials.exchange_id
 where exchange_credentials.deleted_at is null
$$);

select qs.contract('apextrade.alerts', 'Alerts on a symbol, of the four types that the document knows', $$
  id               | uuid          | alerts.id
  user_id          | uuid          | alerts.user_id
  symbol           | varchar(20)   | alerts.symbol
  alert_type       | varchar(20)   | lower(alerts.type) | alerts.type in lower case
  condition        | varchar(20)   | lower(alerts.condition) | alerts.condition in lower case
  threshold        | numeric(18,8) | alerts.threshold
  indicator        | varchar(20)   | alerts.indicator
  indicator_params | jsonb         | alerts.indicator_params
  notify_email     | boolean       | 'EMAIL' = any (alerts.notification_channels) | alerts.notification_channels
  notify_push      | boolean       | 'PUSH' = any (alerts.notification_channels) | alerts.notification_channels
  message          | text          | alerts.message
  is_active        | boolean       | alerts.status = 'ACTIVE' | alerts.status
  is_triggered     | boolean       | alerts.triggered_at is not null | alerts.triggered_at
  is_recurring     | boolean       | alerts.is_recurring
  created_at       | timestamptz   | alerts.created_at
  triggered_at     | timestamptz   | alerts.triggered_at
  expires_at       | timestamptz   | alerts.expires_at
$$, $$
  from qs.alerts where alerts.type in ('PRICE', 'INDICATOR', 'VOLUME', 'CHANGE_PCT') and alerts.symbol is not null
$$);

select qs.contract('apextrade.audit_logs', 'What people and programs did', $$
  id            | bigint      | audit_logs.seq
  user_id       | uuid        | audit_logs.user_id
  action        | varchar(50) | case when audit_logs.action in ('login', 'logout', 'register', 'create', 'read',
                ... 'update', 'delete',
                ... 'activate', 'deactivate', 'order_placed', 'order_filled', 'order_cancelled', 'api_key_created',
                ... 'api_key_deleted', 'settings_changed') then audit_logs.action
                ... when audit_logs.action ~* '(add|creat|insert|write|wrote)' then 'create'
                ... when audit_logs.action ~* '(delet|remov|revok|drop|purg)' then 'delete'
                ... when audit_logs.action ~* 'deactivat' then 'deactivate'
                ... when audit_logs.action ~* 'activat' then 'activate'
                ... when audit_logs.action ~* '(read|reveal|export|show)' then 'read' else 'update' end
                ... | the one of its fifteen words that comes nearest to audit_logs.action, which metadata keeps
  resource_type | varchar(50) | audit_logs.resource_type
  resource_id   | uuid        | audit_logs.resource_id
  ip_address    | inet        | audit_logs.ip_address
  user_agent    | text        | audit_logs.user_agent
  old_values    | jsonb       | audit_logs.old_values
  new_values    | jsonb       | audit_logs.new_values
  metadata      | jsonb       | coalesce(audit_logs.metadata, '{}') || jsonb_build_object('action', audit_logs.action)
                ... | audit_logs.metadata, and audit_logs.action as it was
  created_at    | timestamptz | audit_logs.ts
$$, 'from qs.audit_logs');

select qs.contract('apextrade.ohlcv', 'Closed bars', $$
  time      | timestamptz   | candles.ts
  symbol    | text          | candles.symbol
  timeframe | text          | candles.timeframe
  open      | numeric(18,8) | candles.open
  high      | numeric(18,8) | candles.high
  low       | numeric(18,8) | candles.low
  close     | numeric(18,8) | candles.close
  volume    | numeric(24,8) | candles.volume
  source    | text          | coalesce(candles.source,
            ... (select exchanges.code from qs.exchanges where exchanges.id = candles.exchange_id))
            ... | candles.source; without one, exchanges.code
$$, 'from qs.candles');

select qs.contract('apextrade.equity_history', 'Equity of the accounts over time', $$
  time               | timestamptz   | equity_snapshots.ts
  portfolio_id       | uuid          | equity_snapshots.scope_id
  equity_value       | numeric(15,2) | equity_snapshots.equity
  cash_balance       | numeric(15,2) | equity_snapshots.cash
  positions_value    | numeric(15,2) | equity_snapshots.positions_value
  daily_pnl          | numeric(15,2) | equity_snapshots.realized_pnl_today
  daily_pnl_pct      | numeric(8,4)  | equity_snapshots.daily_pnl_pct
  cumulative_pnl     | numeric(15,2) | equity_snapshots.cumulative_pnl
  cumulative_pnl_pct | numeric(8,4)  | equity_snapshots.cumulative_pnl_pct
  peak_equity        | numeric(15,2) | equity_snapshots.peak_equity
  drawdown           | numeric(15,2) | equity_snapshots.drawdown
  drawdown_pct       | numeric(8,4)  | equity_snapshots.drawdown_pct
$$, $$ from qs.equity_snapshots where equity_snapshots.scope = 'PORTFOLIO' $$);

select qs.contract('apextrade.tick_data', 'Ticks that say what the last trade was', $$
  time        | timestamptz   | ticks.ts
  symbol      | text          | ticks.symbol
  bid         | numeric(18,8) | ticks.bid
  ask         | numeric(18,8) | ticks.ask
  last_price  | numeric(18,8) | ticks.last_price
  last_volume | numeric(18,8) | ticks.last_volume
  source      | text          | coalesce(ticks.source,
              ... (select exchanges.code from qs.exchanges where exchanges.id = ticks.exchange_id))
              ... | ticks.source; without one, exchanges.code
$$, 'from qs.ticks where ticks.last_price is not null');

select qs.contract('apextrade.ohlcv_1h', 'Bars of an hour, rolled up from those of a minute', $$
  bucket       | timestamptz | candles.ts
  symbol       | text        | candles.symbol
  timeframe    | text        | candles.timeframe
  open         | numeric     | candles.open
  high         | numeric     | candles.high
  low          | numeric     | candles.low
  close        | numeric     | candles.close
  volume       | numeric     | candles.volume
  candle_count | bigint      | candles.candle_count
$$, $$ from qs.candles where candles.timeframe = '1h' $$);

select qs.contract('apextrade.ohlcv_1d', 'Bars of a day (UTC), rolled up from those of a minute', $$
  bucket       | timestamptz | candles.ts
  symbol       | text        | candles.symbol
  timeframe    | text        | candles.timeframe
  open         | numeric     | candles.open
  high         | numeric     | candles.high
  low          | numeric     | candles.low
  close        | numeric     | candles.close
  volume       | numeric     | candles.volume
  candle_count | numeric     | candles.candle_count
$$, $$ from qs.candles where candles.timeframe = '1d' $$);
