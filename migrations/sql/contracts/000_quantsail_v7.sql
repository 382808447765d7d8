-- 000 Quantsail v7: a trade is the life of a position, events are the journal. Its amounts are named _usd; they
-- are in the account's currency, whatever that is.

select qs.contract('quantsail_v7.users', 'People; without those deleted, and without viewers: it has no such role', $$
  id         | uuid        | users.id
  email      | text        | users.email
  role       | text        | users.role
  created_at | timestamptz | users.created_at
$$, $$ from qs.users where users.deleted_at is null and users.role <> 'VIEWER' $$);

select qs.contract('quantsail_v7.exchange_keys', 'Keys of exchange accounts, without what is secret; without those deleted', $$
  id          | uuid        | exchange_credentials.id
  exchange    | text        | exchanges.code
  label       | text        | exchange_credentials.label
  ciphertext  | bytea       | secret
  nonce       | bytea       | secret
  key_version | integer     | exchange_credentials.key_version
  created_by  | uuid        | exchange_credentials.created_by
  created_at  | timestamptz | exchange_credentials.created_at
  revoked_at  | timestamptz | exchange_credentials.revoked_at
$$, $$
  from qs.exchange_credentials join qs.exchanges on exchanges.id = exchange_credentials.exchange_id
 where exchange_credentials.deleted_at is null
$$);

select qs.contract('quantsail_v7.bot_config_versions', 'Every version of the engine document; one is active', $$
  id           | uuid        | bot_config_versions.id
  version      | integer     | bot_config_versions.version
  config_json  | jsonb       | bot_config_versions.config_json
  config_hash  | text        | bot_config_versions.config_hash
  created_by   | uuid        | bot_config_versions.created_by
  created_at   | timestamptz | bot_config_versions.created_at
  activated_at | timestamptz | bot_config_versions.activated_at
  is_active    | boolean     | bot_config_versions.is_active
$$, 'from qs.bot_config_versions');

select qs.contract('quantsail_v7.trades', 'Positions, from the first fill to flat; without those deleted', $$
  id                 | uuid           | positions.id
  symbol             | text           | positions.symbol
  side               | text           | positions.side
  status             | text           |
                     ... '{"OPEN":"OPEN","CLOSED":"CLOSED","CANCELED":"CANCELED","LIQUIDATED":"CLOSED"}'::jsonb
                     ... ->> positions.status | positions.status; LIQUIDATED is CLOSED
  mode               | text           | '{"SIM":"DRY_RUN","PAPER":"DRY_RUN","LIVE":"LIVE"}'::jsonb ->> positions.mode
                     ... | positions.mode; SIM and PAPER are DRY_RUN
  opened_at          | timestamptz    | positions.opened_at
  closed_at          | timestamptz    | positions.closed_at
  entry_price        | numeric(24,10) | positions.entry_price
  entry_qty          | numeric(24,10) | positions.entry_qty
  entry_notional_usd | numeric(24,10) | positions.entry_notional
  stop_price         | numeric(24,10) | positions.stop_price
  take_profit_price  | numeric(24,10) | positions.take_profit_price
  trailing_enabled   | boolean        | positions.trailing_enabled
  trailing_offset    | numeric(24,10) | positions.trailing_offset
  exit_price         | numeric(24,10) | positions.exit_price
  realized_pnl_usd   | numeric(24,10) | positions.realized_pnl
  fees_paid_usd      | numeric(24,10) | positions.fees_paid
  slippage_est_usd   | numeric(24,10) | positions.slippage_est
  notes              | jsonb          | positions.notes
$$, 'from qs.positions where positions.deleted_at is null');

select qs.contract('quantsail_v7.orders', 'Orders that were sent; without those that a gate denied, which have no trade', $$
  id                | uuid           | orders.id
  trade_id          | uuid           | orders.position_id
                    ... | orders.position_id: given out with the order, the trade is there from its first fill on
  symbol            | text           | orders.symbol
  side              | text           | orders.side
  order_type        | text           |
                    ... '{"MARKET":"MARKET","STOP_MARKET":"MARKET","TRAILING_STOP":"MARKET","LIMIT":"LIMIT",
                    ... "STOP_LIMIT":"LIMIT"}'::jsonb ->> orders.order_type
                    ... | orders.order_type; a stop is what it becomes when it is triggered
  qty               | numeric(24,10) | orders.quantity
  price             | numeric(24,10) | orders.price
  status            | text           | case when orders.status = 'FILLED' and orders.mode <> 'LIVE' then 'SIMULATED'
                    ... else
                    ... '{"SUBMITTED":"PLACED","ACCEPTED":"PLACED","PARTIALLY_FILLED":"PLACED","FILLED":"FILLED",
                    ... "CANCELED":"CANCELED","EXPIRED":"CANCELED","REJECTED":"FAILED"}'::jsonb ->> orders.status end
                    ... | orders.status; working ones are PLACED, EXPIRED is CANCELED, REJECTED is FAILED; FILLED
                    ... outside LIVE is SIMULATED
  exchange_order_id | text           | orders.exchange_order_id
  idempotency_key   | text           | orders.client_order_id
  created_at        | timestamptz    | orders.created_at
  updated_at        | timestamptz    | orders.updated_at
$$, $$ from qs.orders where orders.status <> 'DENIED' and orders.deleted_at is null $$);

select qs.contract('quantsail_v7.equity_snapshots', 'Equity of the main account over time', $$
  id                     | uuid           | equity_snapshots.id
  ts                     | timestamptz    | equity_snapshots.ts
  equity_usd             | numeric(24,10) | equity_snapshots.equity
  cash_usd               | numeric(24,10) | equity_snapshots.cash
  unrealized_pnl_usd     | numeric(24,10) | equity_snapshots.unrealized_pnl
  realized_pnl_today_usd | numeric(24,10) | equity_snapshots.realized_pnl_today
  open_positions         | integer        | equity_snapshots.open_positions
  meta                   | jsonb          | equity_snapshots.meta
$$, $$
  from qs.equity_snapshots join qs.portfolios on portfolios.id = equity_snapshots.scope_id where portfolios.name = 'main'
$$);

select qs.contract('quantsail_v7.events', 'The journal', $$
  id          | uuid        | events.id
  seq         | bigint      | events.seq
  ts          | timestamptz | events.ts
  level       | text        | '{"DEBUG":"INFO","INFO":"INFO","WARN":"WARN","ERROR":"ERROR"}'::jsonb ->> events.level
              ... | events.level; DEBUG is INFO
  type        | text        | events.type
  symbol      | text        | events.symbol
  trade_id    | uuid        | events.position_id
  payload     | jsonb       | events.payload
  public_safe | boolean     | events.public_safe
$$, 'from qs.events');
