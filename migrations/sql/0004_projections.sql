-- 0004 Projections: the read tables. Written in the transaction of the events they follow from, emptied and
-- rebuilt from the journal by `quantsail db rebuild`. Every value comes from the event: no default ids, no
-- default times, no touch triggers, or a rebuild would not give the same rows.
--
-- Foreign keys between projections are deferred to the commit, because the rows of a batch are written
-- table by table. Where an id is given out before its row exists (the position of an order that has not
-- filled), there is none.

create table portfolios (
  id uuid primary key,
  user_id uuid not null references users,
  name text not null,
  description text,
  base_currency text not null,
  mode text not null check (mode in ('SIM', 'PAPER', 'LIVE')),
  broker text,
  broker_account_id text,
  initial_balance numeric(38,18) not null check (initial_balance >= 0),
  cash_balance numeric(38,18) not null,
  positions_value numeric(38,18) not null,
  total_value numeric(38,18),
  unrealized_pnl numeric(38,18) not null,
  realized_pnl numeric(38,18) not null,
  fees_paid numeric(38,18) not null,
  funding_paid numeric(38,18) not null,
  other_assets jsonb not null,
  dust jsonb not null,
  is_active boolean not null,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
select describe('portfolios', 'Accounts: money in one currency', $$
  id                | the engine's portfolio_id
  user_id           | owner
  name              | name as shown
  description       | what it is for
  base_currency     | currency of all its amounts
  mode              | SIM, PAPER or LIVE
  broker            | where the account is kept
  broker_account_id | its number there
  initial_balance   | money at the start
  cash_balance      | money not in positions
  positions_value   | open positions at the last sample's marks
  total_value       | equity at the last sample
  unrealized_pnl    | P&L of open positions at the last sample
  realized_pnl      | P&L of fills so far, before fees
  fees_paid         | fees so far, as far as they were paid in the base currency or out of what was bought
  funding_paid      | funding so far; below zero when more was received
  other_assets      | fees paid in other currencies, which the account owes: amounts below zero by currency
  dust              | what was left of positions and is too small to be sold: quantity and cost by asset
  is_active         | in use
  created_at        | time of the first event
  updated_at        | time of the last event that changed it
$$);

create table bots (
  id uuid primary key,
  user_id uuid not null references users,
  strategy_id uuid references strategies deferrable initially deferred,
  portfolio_id uuid,  -- a config names it, and opens it right after
  credential_id uuid references exchange_credentials,
  name text not null,
  status text not null check (status in ('WARMING_UP', 'RUNNING', 'STOPPED', 'ERROR')),
  status_reason text,
  traceback text,
  trading_state text not null check (trading_state in ('ACTIVE', 'PAUSED', 'REDUCING', 'HALTED')),
  state_reason text,
  state_actor text,
  config_version int not null,
  config jsonb not null,
  performance_stats jsonb,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  last_run_at timestamptz,
  deleted_at timestamptz
);
create unique index bots_name_key on bots (name) where deleted_at is null;
select describe('bots', 'Bots of the active config and of those before it', $$
  id                | from ledger and name: the same bot in every config version
  user_id           | owner
  strategy_id       | its strategy
  portfolio_id      | account it trades on
  credential_id     | exchange account, in LIVE
  name              | its name in the config
  status            | where it is in its life: WARMING_UP, RUNNING, STOPPED or ERROR
  status_reason     | why
  traceback         | in ERROR, that of the exception: file names without folders
  trading_state     | what it may trade: ACTIVE, PAUSED, REDUCING or HALTED
  state_reason      | why
  state_actor       | person or gate that set it
  config_version    | config it was last part of
  config            | its part of that config
  performance_stats | figures for lists: round trips as they closed
  created_at        | time of the config that named it first
  updated_at        | time of the last event that changed it
  last_run_at       | when it last began to run
  deleted_at        | when a config no longer named it
$$);

create table signals (
  id uuid primary key,
  user_id uuid not null references users,
  bot_id uuid references bots deferrable initially deferred,
  strategy_id uuid references strategies deferrable initially deferred,
  cycle_id uuid,
  exchange_id smallint references exchanges,
  symbol text not null,
  side text not null check (side in ('BUY', 'SELL')),
  kind text not null check (kind in ('ENTRY', 'EXIT')),
  position_side text not null check (position_side in ('LONG', 'SHORT')),
  tag text,
  price numeric(38,18),
  reason text,
  confidence numeric(9,8) check (confidence between 0 and 1),
  config_version int not null,
  payload jsonb not null,
  event_seq bigint not null,
  created_at timestamptz not null
);
create index signals_symbol on signals (symbol, created_at desc);
create index signals_bot on signals (bot_id, created_at desc);
select describe('signals', 'Rules that fired', $$
  id             | the engine's signal_id
  user_id        | owner
  bot_id         | bot
  strategy_id    | strategy
  cycle_id       | decision that it was part of
  exchange_id    | venue
  symbol         | symbol
  side           | BUY or SELL
  kind           | ENTRY or EXIT
  position_side  | of a LONG or a SHORT position
  tag            | what the strategy calls it
  price          | price that it was decided at
  reason         | why it fired, in words
  confidence     | 0 to 1; 1 for a rule, which is true or not
  config_version | config in force
  payload        | why it fired: the explain tree
  event_seq      | event that says so
  created_at     | time of that event
$$);

create table positions (
  id uuid primary key,
  user_id uuid not null references users,
  portfolio_id uuid not null references portfolios deferrable initially deferred,
  bot_id uuid references bots deferrable initially deferred,
  strategy_id uuid references strategies deferrable initially deferred,
  signal_id uuid,
  exchange_id smallint not null references exchanges,
  symbol text not null,
  side text not null check (side in ('LONG', 'SHORT')),
  status text not null check (status in ('OPEN', 'CLOSED', 'CANCELED', 'LIQUIDATED')),
  mode text not null check (mode in ('SIM', 'PAPER', 'LIVE')),
  kind text not null check (kind in ('SPOT', 'LINEAR')),
  contract_size numeric(38,18) not null check (contract_size > 0),
  position_mode text not null check (position_mode in ('ONE_WAY', 'HEDGE')),
  -- May fall below zero: a venue that sold more than was held is a fact, and the journal must be able to
  -- say so.
  quantity numeric(38,18) not null,
  entry_price numeric(38,18),
  entry_qty numeric(38,18),
  entry_notional numeric(38,18),
  exit_price numeric(38,18),
  exit_qty numeric(38,18),
  exit_notional numeric(38,18),
  entries int not null,
  targets_taken text[] not null,
  dust numeric(38,18) not null,
  mark_price numeric(38,18),
  liquidation_price numeric(38,18),
  market_value numeric(38,18),
  cost_basis numeric(38,18),
  stop_price numeric(38,18),
  stop_reason text,
  take_profit_price numeric(38,18),
  trailing_enabled boolean not null,
  trailing_offset numeric(38,18),
  extreme_price numeric(38,18),
  leverage numeric(9,4) not null,
  margin_mode text check (margin_mode in ('ISOLATED', 'CROSS')),
  margin_used numeric(38,18),
  maintenance_margin numeric(38,18),
  unrealized_pnl numeric(38,18),
  unrealized_pnl_pct numeric(18,8),
  realized_pnl numeric(38,18),
  realized_pnl_pct numeric(18,8),
  fees_paid numeric(38,18),
  funding_paid numeric(38,18),
  slippage_est numeric(38,18),
  max_drawdown_pct numeric(18,8),
  risk_consumed numeric(18,8),
  signal_wallet_id uuid references wallets,
  config_version int not null,
  close_reason text,
  notes jsonb,
  event_seq bigint not null,
  opened_at timestamptz not null,
  closed_at timestamptz,
  updated_at timestamptz not null,
  deleted_at timestamptz,
  check ((status = 'OPEN') = (closed_at is null)),
  check ((kind = 'LINEAR') = (margin_mode is not null))
);
-- One open round trip per bot, venue, symbol and side; without a bot, per account.
create unique index positions_one_open_bot on positions (bot_id, exchange_id, symbol, side)
  where status = 'OPEN' and bot_id is not null;
create unique index positions_one_open_manual on positions (portfolio_id, exchange_id, symbol, side)
  where status = 'OPEN' and bot_id is null;
create index positions_symbol on positions (symbol, opened_at desc);
create index positions_closed on positions (closed_at desc) where status <> 'OPEN';
select describe('positions', 'Round trips: from the first fill to flat', $$
  id                 | the engine's position_id
  user_id            | owner
  portfolio_id       | account
  bot_id             | bot; none for one that a person opened
  strategy_id        | strategy
  signal_id          | signal that opened it
  exchange_id        | venue
  symbol             | symbol
  side               | LONG or SHORT
  status             | OPEN, CLOSED, CANCELED or LIQUIDATED
  mode               | SIM, PAPER or LIVE
  kind               | SPOT, or LINEAR: a perpetual future settled in its quote currency
  contract_size      | units of the base asset in a quantity of one
  position_mode      | ONE_WAY, or HEDGE: beside one of the other side
  quantity           | held now, on either side above zero; below zero it was closed beyond what was held
  entry_price        | average over all entries
  entry_qty          | entered over its life
  entry_notional     | value of its entries, before fees
  exit_price         | average over all exits
  exit_qty           | left over its life
  exit_notional      | value of its exits, before fees
  entries            | how many entries it has taken
  targets_taken      | roles of the partial targets that have filled
  dust               | quantity that was too small to be sold and stays with the account
  mark_price         | last price it was valued at
  liquidation_price  | where the venue would close it; none for spot, and where no price would
  market_value       | quantity at the mark
  cost_basis         | what the quantity held now cost
  stop_price         | stop in force
  stop_reason        | why it is there: empty as planned, trailing or break_even
  take_profit_price  | target in force
  trailing_enabled   | the stop follows the price
  trailing_offset    | how far behind, in price
  extreme_price      | best price seen, which the stop follows
  leverage           | 1 for spot
  margin_mode        | ISOLATED or CROSS; none for spot
  margin_used        | margin held for it; of spot all that it cost
  maintenance_margin | margin at which the venue closes it; none for spot
  unrealized_pnl     | at the mark, before fees
  unrealized_pnl_pct | of the cost, percent
  realized_pnl       | of its exits so far, before fees
  realized_pnl_pct   | of the cost, percent
  fees_paid          | fees so far
  funding_paid       | funding so far; below zero when more was received
  slippage_est       | slippage of its orders so far, in quote; above zero is a cost
  max_drawdown_pct   | worst price against the entry, percent; known when it is closed
  risk_consumed      | share of the day's loss budget that its plan put at stake, 0 to 1
  signal_wallet_id   | wallet that it follows
  config_version     | config in force when it opened
  close_reason       | role of the order that closed it
  notes              | whatever else belongs to it
  event_seq          | last event that changed it
  opened_at          | time of its first fill
  closed_at          | time it became flat
  updated_at         | time of the last event that changed it
  deleted_at         | soft delete
$$);

create table orders (
  id uuid primary key,
  user_id uuid not null references users,
  portfolio_id uuid references portfolios deferrable initially deferred,
  bot_id uuid references bots deferrable initially deferred,
  strategy_id uuid references strategies deferrable initially deferred,
  position_id uuid,
  signal_id uuid,
  signal_event_id uuid,
  cycle_id uuid,
  number bigint,
  exchange_id smallint not null references exchanges,
  symbol text not null,
  side text not null check (side in ('BUY', 'SELL')),
  position_side text check (position_side in ('LONG', 'SHORT')),
  order_type text check (order_type in ('MARKET', 'LIMIT', 'STOP_MARKET', 'STOP_LIMIT', 'TRAILING_STOP')),
  time_in_force text check (time_in_force in ('GTC', 'IOC', 'FOK', 'GTX')),
  origin text check (origin in ('ENTRY', 'EXIT', 'FLATTEN', 'LIQUIDATION')),
  role text,
  mode text not null check (mode in ('SIM', 'PAPER', 'LIVE')),
  status text not null check (status in ('DENIED', 'SUBMITTED', 'ACCEPTED', 'PARTIALLY_FILLED', 'FILLED', 'CANCELED',
                                         'REJECTED', 'EXPIRED')),
  in_doubt boolean not null,
  cancel_requested boolean not null,
  reduce_only boolean not null,
  oco_group text,
  replaces uuid,
  tag text,
  risk_reason text,
  quantity numeric(38,18) not null,
  price numeric(38,18),
  stop_price numeric(38,18),
  trigger_source text check (trigger_source in ('LAST', 'MARK')),
  activation_price numeric(38,18),
  callback_rate numeric(18,8),
  valid_until timestamptz,
  kind text check (kind in ('SPOT', 'LINEAR')),
  contract_size numeric(38,18) check (contract_size > 0),
  leverage numeric(9,4),
  margin_mode text check (margin_mode in ('ISOLATED', 'CROSS')),
  position_mode text check (position_mode in ('ONE_WAY', 'HEDGE')),
  stop_loss numeric(38,18),
  take_profit numeric(38,18)[],
  filled_quantity numeric(38,18) not null check (filled_quantity >= 0),
  avg_fill_price numeric(38,18),
  filled_value numeric(38,18),
  fees numeric(38,18) not null,
  slippage numeric(38,18),
  realized_pnl numeric(38,18),
  client_order_id text check (client_order_id <> ''),
  exchange_order_id text check (exchange_order_id <> ''),
  config_version int not null,
  policy_snapshot jsonb,
  signal_reason text,
  decision_price numeric(38,18),
  market_conditions jsonb,
  error_message text,
  metadata jsonb,
  event_seq bigint not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  submitted_at timestamptz,
  filled_at timestamptz,
  cancelled_at timestamptz,
  deleted_at timestamptz,
  -- A gate may deny an order because its size is none at all; what is sent has a size and is complete.
  check (quantity > 0 or (status = 'DENIED' and quantity = 0)),
  check (status = 'DENIED' or (submitted_at is not null and portfolio_id is not null and number is not null
         and order_type is not null and time_in_force is not null and origin is not null and role is not null
         and position_side is not null and client_order_id is not null and kind is not null
         and contract_size is not null and leverage is not null and position_mode is not null)),
  check ((kind = 'LINEAR') = (margin_mode is not null))
);
create unique index orders_client_order_id on orders (exchange_id, client_order_id) where client_order_id is not null;
-- Venues number orders per symbol.
create unique index orders_exchange_order_id on orders (exchange_id, symbol, exchange_order_id)
  where exchange_order_id is not null;
create index orders_position on orders (position_id) where position_id is not null;
create index orders_symbol on orders (symbol, created_at desc);
create index orders_bot on orders (bot_id, created_at desc);
create index orders_created on orders (created_at desc);
create index orders_open on orders (created_at desc) where status in ('SUBMITTED', 'ACCEPTED', 'PARTIALLY_FILLED');
select describe('orders', 'Orders: sent, perhaps sent, or denied by a gate', $$
  id                | the engine's order_id
  user_id           | owner
  portfolio_id      | account
  bot_id            | bot
  strategy_id       | strategy
  position_id       | position it opens or changes; exists from the first fill on
  signal_id         | signal it follows from
  signal_event_id   | chain event it follows from
  cycle_id          | decision that it was part of
  number            | the ledger's count of intents when it was sent
  exchange_id       | venue
  symbol            | symbol
  side              | BUY or SELL
  position_side     | LONG or SHORT
  order_type        | MARKET, LIMIT, STOP_MARKET, STOP_LIMIT or TRAILING_STOP
  time_in_force     | GTC, IOC, FOK or GTX
  origin            | ENTRY, EXIT, FLATTEN or LIQUIDATION: the venue's own order, which we took in and never sent
  role              | ENTRY, STOP, TAKE_PROFIT, TARGET_<n>, SIGNAL_EXIT, TIME_STOP, BY_HAND, FLATTEN or LIQUIDATION
  mode              | SIM, PAPER or LIVE
  status            | DENIED, SUBMITTED, ACCEPTED, PARTIALLY_FILLED, FILLED, CANCELED, REJECTED or EXPIRED
  in_doubt          | sent, and no word of the venue yet
  cancel_requested  | a cancel is on its way
  reduce_only       | may only make a position smaller
  oco_group         | orders of one group: when one fills, the others end
  replaces          | order that this one amends
  tag               | what the strategy calls its signal
  risk_reason       | gate that denied it, and why
  quantity          | ordered, in base or in contracts; 0 only when denied
  price             | limit
  stop_price        | trigger
  trigger_source    | what triggers it, the LAST price or the MARK; none for orders without a trigger
  activation_price  | price from which it trails
  callback_rate     | trailing distance, percent
  valid_until       | when it is cancelled unless it has filled
  kind              | SPOT or LINEAR
  contract_size     | units of the base asset in a quantity of one
  leverage          | 1 for spot
  margin_mode       | ISOLATED or CROSS; none for spot
  position_mode     | ONE_WAY or HEDGE
  stop_loss         | planned stop; the position's follows the real entry
  take_profit       | planned targets
  filled_quantity   | filled so far
  avg_fill_price    | average price of its fills
  filled_value      | value of its fills, in quote
  fees              | fees of its fills, in the account's currency
  slippage          | average fill against decision_price, per unit; above zero is worse
  realized_pnl      | realised by its fills, before fees
  client_order_id   | our name for it at the venue
  exchange_order_id | the venue's name for it
  config_version    | config in force
  policy_snapshot   | limits in force: the account's and the bot's
  signal_reason     | why, in words
  decision_price    | the signal's price, or its own where it rests; none when a person asked
  market_conditions | market when it was decided: the price, and what each gate saw
  error_message     | what the venue said against it
  metadata          | whatever else belongs to it
  event_seq         | last event that changed it
  created_at        | time of the decision
  updated_at        | time of the last event that changed it
  submitted_at      | time it was sent, or the venue's own was taken in
  filled_at         | time of its last fill
  cancelled_at      | time it was cancelled
  deleted_at        | soft delete
$$);
