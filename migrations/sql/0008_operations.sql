-- 0008 Operations: limits in force, alerts, notifications to deliver, backtests, reports and smoke runs.

-- == limits

-- One row per bot and one for the account, from the config that is active: the config is where limits are
-- set, this table is where they are read.
create table risk_limits (
  id uuid primary key,
  user_id uuid not null references users,
  bot_id uuid references bots deferrable initially deferred,
  max_position_size numeric(38,18) check (max_position_size > 0),
  max_leverage numeric(38,18) check (max_leverage > 0),
  max_daily_loss numeric(38,18) check (max_daily_loss > 0),
  max_daily_loss_pct numeric(18,8) check (max_daily_loss_pct > 0),
  max_drawdown_pct numeric(18,8) check (max_drawdown_pct > 0),
  max_open_positions int check (max_open_positions > 0),
  max_order_size numeric(38,18) check (max_order_size > 0),
  max_order_quantity numeric(38,18) check (max_order_quantity > 0),
  max_gross_exposure_pct numeric(38,18) check (max_gross_exposure_pct > 0),
  max_margin_ratio_pct numeric(38,18) check (max_margin_ratio_pct > 0),
  price_collar_pct numeric(38,18) check (price_collar_pct > 0),
  max_messages_per_second numeric(38,18) check (max_messages_per_second > 0),
  max_messages_per_minute numeric(38,18) check (max_messages_per_minute > 0),
  max_messages_per_day numeric(38,18) check (max_messages_per_day > 0),
  max_entries_per_window numeric(38,18) check (max_entries_per_window > 0),
  max_consecutive_losses numeric(38,18) check (max_consecutive_losses > 0),
  max_data_age_s numeric(38,18) check (max_data_age_s > 0),
  max_clock_skew_ms numeric(38,18) check (max_clock_skew_ms > 0),
  max_spread_bps numeric(38,18) check (max_spread_bps > 0),
  max_jump_atr numeric(38,18) check (max_jump_atr > 0),
  max_in_doubt numeric(38,18) check (max_in_doubt > 0),
  risk_rules jsonb not null,
  enabled boolean not null,
  config_version int not null,
  event_seq bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  deleted_at timestamptz
);
create unique index risk_limits_one on risk_limits (user_id, bot_id) nulls not distinct where deleted_at is null;
select describe('risk_limits', 'Hard limits in force, of the account and of each bot', $$
  id                      | from ledger and bot
  user_id                 | owner
  bot_id                  | bot; none: each account as a whole
  max_position_size       | largest position with its open orders, in the account's currency
  max_leverage            | gross notional over equity
  max_daily_loss          | largest loss of a day, in the account's currency, of the initial balance
  max_daily_loss_pct      | largest loss of a day, percent of equity
  max_drawdown_pct        | deepest fall from the peak, percent
  max_open_positions      | most positions at once
  max_order_size          | largest order, in the account's currency
  max_order_quantity      | largest order, in base
  max_gross_exposure_pct  | all positions and open entries, percent of equity
  max_margin_ratio_pct    | maintenance margin over the margin balance, percent
  price_collar_pct        | how much worse than the last price an order may trade, percent
  max_messages_per_second | orders and cancels sent within a second
  max_messages_per_minute | the same within a minute
  max_messages_per_day    | the same within a day
  max_entries_per_window  | entries within the window that risk_rules names
  max_consecutive_losses  | losing round trips in a row
  max_data_age_s          | age of the newest price, seconds
  max_clock_skew_ms       | distance of the exchange's clock from ours, milliseconds
  max_spread_bps          | bid to ask, basis points of their middle
  max_jump_atr            | last close to the one before, in average true ranges
  max_in_doubt            | orders whose outcome is not known
  risk_rules              | every limit as in the config: soft and hard, windows, rules of one's own
  enabled                 | the bot is switched on
  config_version          | config that set them
  event_seq               | event that activated it
  created_at              | time of the first config with these limits' owner
  updated_at              | time of the config that set them
  deleted_at              | when a config no longer named the bot
$$);

-- == alerts

create table alerts (
  id uuid primary key default uuid7(),
  user_id uuid not null references users,
  exchange_id smallint references exchanges,
  symbol text check (is_symbol(symbol)),
  type text not null check (type in ('PRICE', 'PNL', 'RISK', 'SYSTEM', 'FUNDING_RATE', 'INDICATOR', 'VOLUME',
                                     'CHANGE_PCT')),
  condition text not null check (condition in ('ABOVE', 'BELOW', 'CROSSES_ABOVE', 'CROSSES_BELOW', 'EQUALS')),
  threshold numeric(38,18),
  indicator text,
  indicator_params jsonb,
  status text not null default 'ACTIVE' check (status in ('ACTIVE', 'TRIGGERED', 'DISABLED', 'EXPIRED')),
  notification_channels text[] not null default '{TUI}'
    check (notification_channels <@ array['TUI', 'EMAIL', 'PUSH', 'TELEGRAM', 'WEBHOOK', 'SMS']),
  notification_config jsonb not null default '{}',
  message text,
  is_recurring boolean not null default false,
  metadata jsonb not null default '{}',
  triggered_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz check (expires_at > created_at),
  check (status <> 'TRIGGERED' or triggered_at is not null),
  check ((type = 'INDICATOR') = (indicator is not null))
);
create index alerts_active on alerts (symbol, type) where status = 'ACTIVE';
create index alerts_user on alerts (user_id, status, created_at desc);
create trigger touch before update on alerts for each row execute function touch();
select describe('alerts', 'What an operator wants to be told of', $$
  id                    | UUIDv7
  user_id               | owner
  exchange_id           | venue; none: any
  symbol                | symbol; none for alerts on the account or the system
  type                  | PRICE, PNL, RISK, SYSTEM, FUNDING_RATE, INDICATOR, VOLUME or CHANGE_PCT
  condition             | ABOVE, BELOW, CROSSES_ABOVE, CROSSES_BELOW or EQUALS
  threshold             | value that is compared with
  indicator             | function, for INDICATOR
  indicator_params      | its parameters
  status                | ACTIVE, TRIGGERED, DISABLED or EXPIRED
  notification_channels | TUI, EMAIL, PUSH, TELEGRAM, WEBHOOK, SMS
  notification_config   | settings of the channels; never a secret
  message               | text to send
  is_recurring          | stays active after it fired
  metadata              | whatever else belongs to it
  triggered_at          | when it last fired
  created_at            | when the row was made
  updated_at            | last change of the row
  expires_at            | switched off after this
$$);

-- == outbox

-- The delivery of a notification: what is told stands in the journal, here stands only how far it got.
create table outbox (
  id bigint generated always as identity primary key,
  event_id uuid not null unique default uuid7(),
  event_seq bigint not null check (event_seq > 0),
  channel text not null check (channel <> ''),
  status text not null default 'PENDING' check (status in ('PENDING', 'PROCESSING', 'COMPLETED', 'FAILED')),
  priority int not null default 0,
  retry_count int not null default 0 check (retry_count >= 0),
  max_retries int not null default 10 check (max_retries >= 0),
  available_at timestamptz not null default clock_timestamp(),
  locked_until timestamptz,
  locked_by text,
  last_error text,
  created_at timestamptz not null default clock_timestamp(),
  processed_at timestamptz,
  expires_at timestamptz,
  unique (event_seq, channel),
  check ((status = 'PROCESSING') = (locked_until is not null and locked_by is not null)),
  check ((status in ('COMPLETED', 'FAILED')) = (processed_at is not null))
);
create index outbox_ready on outbox (priority desc, id) where status = 'PENDING';
create index outbox_locked on outbox (locked_until) where status = 'PROCESSING';
select describe('outbox', 'Notifications to deliver: event, channel, attempts', $$
  id           | order
  event_id     | UUIDv7, sent along so that a receiver can drop a repetition
  event_seq    | event of the journal that is told
  channel      | where it goes
  status       | PENDING, PROCESSING, COMPLETED or FAILED
  priority     | higher first
  retry_count  | attempts that failed
  max_retries  | attempts after which it is FAILED
  available_at | not before
  locked_until | taken by a worker until then; afterwards anyone may take it
  locked_by    | that worker
  last_error   | what went wrong last, in one line
  created_at   | when it was put in
  processed_at | when it was delivered or given up
  expires_at   | of no use after this
$$);

-- == backtests

create table backtests (
  id uuid primary key default uuid7(),
  user_id uuid not null references users,
  strategy_id uuid references strategies,
  bot_id uuid,
  symbol text check (is_symbol(symbol)),
  timeframe text,
  start_date date not null,
  end_date date not null,
  initial_capital numeric(38,18) not null check (initial_capital > 0),
  currency text not null default 'USDT' check (is_currency(currency)),
  commission_pct numeric(18,8) not null default 0,
  slippage_pct numeric(18,8) not null default 0 check (slippage_pct >= 0),
  strategy_snapshot jsonb not null,
  status text not null default 'PENDING' check (status in ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELED')),
  progress_pct int not null default 0 check (progress_pct between 0 and 100),
  error_message text,
  final_equity numeric(38,18),
  total_return_pct numeric(18,8),
  annualized_return_pct numeric(18,8),
  sharpe_ratio numeric(18,8),
  sortino_ratio numeric(18,8),
  calmar_ratio numeric(18,8),
  max_drawdown_pct numeric(18,8),
  max_drawdown_duration interval,
  win_rate numeric(9,8) check (win_rate between 0 and 1),
  profit_factor numeric(18,8),
  avg_trade_pct numeric(18,8),
  avg_win numeric(38,18),
  avg_loss numeric(38,18),
  avg_win_pct numeric(18,8),
  avg_loss_pct numeric(18,8),
  largest_win numeric(38,18),
  largest_loss numeric(38,18),
  total_trades int check (total_trades >= 0),
  winning_trades int check (winning_trades >= 0),
  losing_trades int check (losing_trades >= 0),
  avg_trade_duration interval,
  results jsonb,
  equity_curve jsonb,
  monthly_returns jsonb,
  drawdown_periods jsonb,
  metrics jsonb,
  created_at timestamptz not null default clock_timestamp(),
  started_at timestamptz,
  completed_at timestamptz,
  deleted_at timestamptz,
  check (end_date > start_date),
  check (winning_trades + losing_trades <= total_trades),
  check (status <> 'COMPLETED' or (completed_at is not null and final_equity is not null and progress_pct = 100)),
  check (status <> 'FAILED' or error_message is not null)
);
create index backtests_user on backtests (user_id, status, created_at desc);
create index backtests_strategy on backtests (strategy_id, created_at desc);
select describe('backtests', 'Runs of a strategy over the past', $$
  id                    | UUIDv7
  user_id               | owner
  strategy_id           | strategy
  bot_id                | bot whose settings were used; no foreign key, it outlives the bot's row
  symbol                | symbol; none for several, which strategy_snapshot names
  timeframe             | bar length
  start_date            | first day
  end_date              | last day, after the first
  initial_capital       | money at the start
  currency              | currency of the amounts
  commission_pct        | fee of a side, percent
  slippage_pct          | assumed slippage, percent
  strategy_snapshot     | rules and settings as they were
  status                | PENDING, RUNNING, COMPLETED, FAILED or CANCELED
  progress_pct          | 0 to 100
  error_message         | why it failed
  final_equity          | equity at the end
  total_return_pct      | gain, percent of the capital
  annualized_return_pct | gain a year, percent
  sharpe_ratio          | annualised
  sortino_ratio         | annualised
  calmar_ratio          | annual return over the drawdown
  max_drawdown_pct      | deepest fall from the peak, percent
  max_drawdown_duration | longest time below a peak
  win_rate              | winning of all trades, 0 to 1
  profit_factor         | gains over losses; none without a loss
  avg_trade_pct         | mean result, percent
  avg_win               | mean gain
  avg_loss              | mean loss
  avg_win_pct           | mean gain, percent
  avg_loss_pct          | mean loss, percent
  largest_win           | best trade
  largest_loss          | worst trade
  total_trades          | round trips
  winning_trades        | with a gain
  losing_trades         | with a loss
  avg_trade_duration    | mean time in the market
  results               | list of trades, in short
  equity_curve          | [[time, equity], ...]
  monthly_returns       | percent by month
  drawdown_periods      | falls with their times
  metrics               | further figures
  created_at            | when it was asked for
  started_at            | when it began
  completed_at          | when it ended
  deleted_at            | soft delete
$$);

create table backtest_trades (
  id bigint generated always as identity primary key,
  backtest_id uuid not null references backtests on delete cascade,
  trade_number int not null check (trade_number > 0),
  symbol text not null check (is_symbol(symbol)),
  side text not null check (side in ('BUY', 'SELL')),
  quantity numeric(38,18) not null check (quantity > 0),
  entry_price numeric(38,18) not null check (entry_price > 0),
  exit_price numeric(38,18) check (exit_price > 0),
  commission numeric(38,18) not null default 0,
  slippage numeric(38,18) not null default 0,
  gross_pnl numeric(38,18),
  net_pnl numeric(38,18),
  pnl_pct numeric(18,8),
  entry_signal text,
  exit_signal text,
  market_conditions jsonb,
  is_open boolean not null default true,
  entry_at timestamptz not null,
  exit_at timestamptz,
  unique (backtest_id, trade_number),
  check (is_open = (exit_at is null)),
  check (exit_at >= entry_at)
);
select describe('backtest_trades', 'Round trips of a backtest', $$
  id                | order
  backtest_id       | backtest; the trades go with it
  trade_number      | from 1
  symbol            | symbol
  side              | BUY for long, SELL for short
  quantity          | in base
  entry_price       | price of the entry
  exit_price        | price of the exit
  commission        | fees of both sides
  slippage          | cost of slippage
  gross_pnl         | before costs
  net_pnl           | after costs
  pnl_pct           | after costs, percent of the entry's value
  entry_signal      | why it was opened
  exit_signal       | why it was closed
  market_conditions | market at the entry
  is_open           | still open when the test ended
  entry_at          | time of the entry
  exit_at           | time of the exit
$$);

-- == reports and smoke runs

create table reports (
  id uuid primary key default uuid7(),
  period_start timestamptz not null,
  period_end timestamptz not null,
  report_type text not null default '4h' check (report_type <> ''),
  summary_markdown text not null,
  metrics jsonb not null default '{}',
  notable_events jsonb not null default '[]',
  delivered_at timestamptz,
  push_sent boolean not null default false,
  created_at timestamptz not null default clock_timestamp(),
  check (period_end > period_start)
);
create index reports_period on reports (period_end desc);
select describe('reports', 'What was told about a period', $$
  id               | UUIDv7
  period_start     | begin of the period
  period_end       | end of the period
  report_type      | 4h, daily ...
  summary_markdown | the text
  metrics          | its figures
  notable_events   | events that it names
  delivered_at     | when it was delivered
  push_sent        | a push notice went out
  created_at       | when it was written
$$);

create table smoke_runs (
  id uuid primary key default uuid7(),
  kind text not null default 'devnet' check (kind <> ''),
  status text not null check (status in ('PASSED', 'FAILED')),
  rpc_latency_ms int check (rpc_latency_ms >= 0),
  wallet_check text,
  tx_simulation text,
  details jsonb not null default '{}',
  ran_at timestamptz not null default clock_timestamp()
);
create index smoke_runs_ran on smoke_runs (ran_at desc);
select describe('smoke_runs', 'Short tests against the world outside: a venue, a chain', $$
  id             | UUIDv7
  kind           | what was tested: devnet, or a venue's code
  status         | PASSED or FAILED
  rpc_latency_ms | time of one call
  wallet_check   | what the check of the wallet or the account said
  tx_simulation  | what the simulated transaction or order said
  details        | every step with its time
  ran_at         | when
$$);

-- == classes and grants

insert into table_classes (table_name, class, origin) values
  ('risk_limits', 'PROJECTION', 'ConfigActivated'),
  ('alerts', 'REFERENCE', 'people'),
  ('outbox', 'QUEUE', 'the notifier'),
  ('backtests', 'REFERENCE', 'backtests'),
  ('backtest_trades', 'REFERENCE', 'backtests'),
  ('reports', 'REFERENCE', 'the reporter'),
  ('smoke_runs', 'REFERENCE', 'smoke runs');

do $$ begin
  if qs.role_profile() = 'REDUCED' then
    return;
  end if;
  grant select on risk_limits, alerts, outbox, backtests, backtest_trades, reports, smoke_runs
    to qs_engine, qs_app, qs_view;
  grant insert, update on risk_limits, alerts, outbox, backtests, backtest_trades, reports to qs_engine;
  grant delete on outbox to qs_engine;
  grant insert on smoke_runs to qs_engine, qs_app;
  grant insert, update on alerts, backtests, backtest_trades to qs_app;
end $$;
