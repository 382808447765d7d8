-- 0007 Series: market data by the million, how it is cut into partitions, rolled up, kept and archived.
--
-- A series is one table to every reader, whatever keeps it: declarative partitions, or a hypertable where
-- TimescaleDB is installed. Which of the two is decided when the table is made, recorded, and changed by
-- `quantsail db convert` only. Market data carries no row security: COPY and compression refuse it.

-- == formats

-- Unified names as ccxt spells them: BASE/QUOTE, BASE/QUOTE:SETTLE, and dated or optional contracts behind a
-- dash. Bases may be lower case or not ASCII (kPEPE), so the rule is about separators, blanks and controls.
create function is_symbol(p_symbol text) returns boolean language sql immutable parallel safe
  set search_path = pg_catalog, pg_temp as $$
  select p_symbol ~ '^[^[:space:][:cntrl:]/:]{1,40}/[^[:space:][:cntrl:]/:]{1,40}(:[^[:space:][:cntrl:]/:]{1,60})?$'
$$;
comment on function is_symbol(text) is 'BASE/QUOTE or BASE/QUOTE:SETTLE; 1INCH/USDT, BTC/USDT:USDT, BTC/USD:BTC-250328';

create function is_currency(p_code text) returns boolean language sql immutable parallel safe
  set search_path = pg_catalog, pg_temp as $$
  select p_code ~ '^[^[:space:][:cntrl:]/:]{1,40}$'
$$;
comment on function is_currency(text) is 'USDT, 1INCH, kPEPE: one word without separators';

alter table strategies add check (is_symbol(symbol));

-- What the journal says must be storable: venues that name bare coins (kPEPE, BTC-PERP) are traded by that name.
create function is_market(p_symbol text) returns boolean language sql immutable parallel safe
  set search_path = qs, pg_catalog, pg_temp as $$
  select is_symbol(p_symbol) or is_currency(p_symbol)
$$;
comment on function is_market(text) is 'A symbol, or the bare name of a venue that has no quote in its names';

alter table instruments add check (is_market(symbol)), add check (is_currency(base_currency)),
  add check (is_currency(quote_currency));
alter table positions add check (is_market(symbol));
alter table orders add check (is_market(symbol));
alter table fills add check (is_market(symbol));
alter table signals add check (is_market(symbol));
alter table portfolios add check (is_currency(base_currency));
alter table ledger add check (is_currency(base_currency));

-- == how a series is cut

create table series (
  table_name text primary key,
  step text not null check (step in ('day', 'week', 'month')),
  ahead int not null default 2 check (ahead between 1 and 60),
  profile text not null check (profile in ('NATIVE', 'TIMESCALE', 'PARTMAN')),
  segment_by text not null,
  created_at timestamptz not null default clock_timestamp()
);
select describe('series', 'Tables that are cut by time, and what cuts them', $$
  table_name | the table that is partitioned: for one-minute candles, candles_1m
  step       | length of a partition: day, week or month
  ahead      | partitions that are kept ready after the newest time
  profile    | NATIVE, TIMESCALE or PARTMAN: chosen when the table was made
  segment_by | columns that compression groups rows by, where the profile compresses
  created_at | when the table was made
$$);
insert into series (table_name, step, profile, segment_by) values
  ('candles_1m', 'week', 'NATIVE', 'exchange_id, symbol'),
  ('equity_snapshots', 'month', 'NATIVE', 'scope_id');

-- Extensions are the administrator's: used where they are installed in this database and may be used, never
-- installed by us. An extension that is there but closed to us is no reason to fail.
create function extension_schema(p_name text) returns name language sql stable set search_path = pg_catalog, pg_temp as $$
  select nspname from pg_extension join pg_namespace n on n.oid = extnamespace
   where extname = p_name and has_schema_privilege(n.oid, 'USAGE')
$$;
comment on function extension_schema(text) is 'Where an extension is installed; null where it is not, or is closed to us';

create function series_profile() returns text language sql stable set search_path = qs, pg_catalog, pg_temp as $$
  select case
    when extension_schema('timescaledb') is not null then 'TIMESCALE'
    when has_table_privilege(to_regclass(extension_schema('pg_partman') || '.part_config'), 'INSERT') then 'PARTMAN'
    else 'NATIVE' end
$$;
comment on function series_profile() is 'The best that this server has to cut tables by time: TIMESCALE, PARTMAN or NATIVE';

create function register_series(p_table text) returns void
language plpgsql set search_path = qs, pg_catalog, pg_temp as $$
declare
  cut series := (select s from series s where table_name = p_table);
  ext name := extension_schema('pg_partman');
  newer boolean := (select extversion ~ '^([5-9]|[0-9]{2})[.]' from pg_extension where extname = 'pg_partman');
begin
  if cut.profile <> 'PARTMAN' then
    return;
  end if;
  -- 4.x has words for the steps, 5.x intervals, and each refuses the other's.
  execute format('select %I.create_parent(p_parent_table => %L, p_control => ''ts'', p_type => %L, p_interval => %L,
                  p_premake => %s)', ext, 'qs.' || p_table, case when newer then 'range' else 'native' end,
    case when newer then '1 ' || cut.step
         else case cut.step when 'day' then 'daily' when 'week' then 'weekly' else 'monthly' end end, cut.ahead);
end $$;
comment on function register_series(text) is 'Hands a series over to pg_partman where that is its profile';

-- Makes an empty series of a plain or partitioned table's columns, in a profile. A plain table cannot become
-- partitioned in place, nor a partitioned one a hypertable: so the profile is chosen where the table is made.
create function cut_series(p_table text, p_like text, p_including text, p_step text, p_segment_by text, p_profile text)
returns void language plpgsql set search_path = qs, pg_catalog, pg_temp as $$
declare
  ext name;
  compress boolean := coalesce(current_setting('timescaledb.license', true), '') = 'timescale';
begin
  execute format('create table %I (like %I %s) %s', p_table, p_like, p_including,
                 case when p_profile = 'TIMESCALE' then '' else 'partition by range (ts)' end);
  if p_profile = 'TIMESCALE' then
    ext := extension_schema('timescaledb');
    execute format('select %I.create_hypertable(%L::regclass, ''ts'', chunk_time_interval => %L::interval,
      create_default_indexes => false)', ext, 'qs.' || p_table, '1 ' || p_step);
    if compress then
      execute format('alter table %I set (timescaledb.compress, timescaledb.compress_segmentby = %L,
        timescaledb.compress_orderby = ''ts desc'')', p_table, p_segment_by);
      execute format('select %I.add_compression_policy(%L::regclass, %L::interval)', ext, 'qs.' || p_table, '2 ' || p_step);
    end if;
  end if;
  insert into series (table_name, step, profile, segment_by) values (p_table, p_step, p_profile, p_segment_by)
    on conflict (table_name) do update set profile = excluded.profile, created_at = clock_timestamp();
  insert into capability (name, value, detail)
  values ('SERIES:' || p_table, p_profile, case when p_profile = 'TIMESCALE' and not compress
                                                then 'the Apache build: no compression' end)
    on conflict (name) do update set value = excluded.value, detail = excluded.detail, recorded_at = clock_timestamp();
  perform register_series(p_table);
end $$;
comment on function cut_series(text, text, text, text, text, text) is 'Makes an empty series in a profile, and records it';

-- Turns the shape (a plain table named <table>_shape, with its checks and primary key) into the series.
create function create_series(p_table text, p_step text, p_segment_by text) returns void
language plpgsql set search_path = qs, pg_catalog, pg_temp as $$
declare
  item name;
begin
  perform cut_series(p_table, p_table || '_shape', 'including all', p_step, p_segment_by, series_profile());
  execute format('drop table %I', p_table || '_shape');
  for item in select conname from pg_constraint where conrelid = format('qs.%I', p_table)::regclass
                 and conname like p_table || '\_shape\_%' loop
    execute format('alter table %I rename constraint %I to %I', p_table, item, replace(item, '_shape_', '_'));
  end loop;
end $$;
comment on function create_series(text, text, text) is 'Makes a series of its shape, in the best profile of this server';

-- Partitions follow the data's own time: made when needed, for the past as well.
create function ensure_partitions(p_table text, p_from timestamptz, p_to timestamptz) returns int
language plpgsql security definer set search_path = qs, pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
  cut record;
  made int;
begin
  select step, profile into cut from series where table_name = p_table;
  if not found then
    raise exception 'there is no series %', p_table using errcode = 'invalid_parameter_value';
  end if;
  case cut.profile
    when 'TIMESCALE' then
      return 0;  -- chunks are made by the insert
    when 'PARTMAN' then
      execute format('select %I.create_partition_time(%L, array(select generate_series(date_trunc(%L, $1), $2, %L::interval)))::int',
        extension_schema('pg_partman'), 'qs.' || p_table, cut.step, '1 ' || cut.step)
        into made using p_from, p_to;
      return made;
    else
      return ensure_range_partitions(p_table, cut.step, p_from, p_to);
  end case;
end $$;
comment on function ensure_partitions(text, timestamptz, timestamptz)
  is 'Makes the missing partitions of a series from one time to another; returns how many';

-- == another profile for a table that exists (`quantsail db convert`)

-- Sets the table aside as <table>_old and makes an empty one in its place; the rows are moved by the caller, by
-- ranges and with progress, and finish_conversion brings back what LIKE does not copy. All in one transaction.
create function begin_conversion(p_table text, p_profile text) returns void
language plpgsql set search_path = qs, pg_catalog, pg_temp as $$
declare
  cut series := (select s from series s where table_name = p_table);
  item record;
begin
  if cut.profile = 'PARTMAN' then
    execute format('delete from %I.part_config where parent_table = %L', extension_schema('pg_partman'), 'qs.' || p_table);
  end if;
  execute format('alter table %I rename to %I', p_table, p_table || '_old');
  for item in select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid
               where i.indrelid = format('qs.%I', p_table || '_old')::regclass loop
    execute format('alter index %I rename to %I', item.relname, left(item.relname || '_old', 63));
  end loop;
  -- Partition names are wanted again.
  for item in select c.relname from pg_inherits h join pg_class c on c.oid = h.inhrelid
               where h.inhparent = format('qs.%I', p_table || '_old')::regclass loop
    execute format('alter table %I rename to %I', item.relname, left(item.relname || '_old', 63));
  end loop;
  perform cut_series(p_table, p_table || '_old', 'including defaults including constraints including comments
    including storage', cut.step, cut.segment_by, p_profile);
end $$;
comment on function begin_conversion(text, text) is 'Sets a series aside and makes an empty one of another profile';

create function finish_conversion(p_table text) returns void
language plpgsql set search_path = qs, pg_catalog, pg_temp as $$
declare
  old regclass := format('qs.%I', p_table || '_old')::regclass;
  item record;
begin
  for item in select conname, contype, pg_get_constraintdef(oid) as def from pg_constraint
               where conrelid = old and contype in ('p', 'u', 'f') loop
    execute format('alter table %I add constraint %I %s', p_table, regexp_replace(item.conname, '_old$', ''), item.def);
  end loop;
  for item in select c.relname, pg_get_indexdef(i.indexrelid) as def from pg_index i join pg_class c on c.oid = i.indexrelid
               where i.indrelid = old and not exists (select from pg_constraint where conindid = i.indexrelid) loop
    execute format('create index %I on %I %s', regexp_replace(item.relname, '_old$', ''), p_table,
                   substring(item.def from ' (USING .*)$'));
  end loop;
  for item in select a.grantee::regrole as role, a.privilege_type as privilege from pg_class c, aclexplode(c.relacl) a
               where c.oid = old and a.grantee <> c.relowner loop
    execute format('grant %s on %I to %s', item.privilege, p_table, item.role);
  end loop;
  execute format('comment on table %I is %L', p_table, obj_description(old, 'pg_class'));
  execute format('drop table %s', old);
end $$;
comment on function finish_conversion(text) is 'Gives a converted series its keys, indexes and grants, and drops the old one';

-- == ticks and books

create table ticks_shape (
  exchange_id smallint not null,
  symbol text not null check (symbol <> ''),
  ts timestamptz not null,
  -- NaN is above every number to Postgres, so that it must be named.
  bid numeric(38,18) check (bid > 0 and bid <> 'NaN'),
  ask numeric(38,18) check (ask > 0 and ask <> 'NaN'),
  last_price numeric(38,18) check (last_price > 0 and last_price <> 'NaN'),
  last_volume numeric(38,18) check (last_volume >= 0 and last_volume <> 'NaN'),
  source text,
  received_at timestamptz not null default clock_timestamp(),
  check (ask >= bid)
);
select create_series('ticks', 'day', 'exchange_id, symbol');
create index ticks_symbol on ticks (symbol, ts desc, exchange_id);
select describe('ticks', 'Best bid and ask, and last trades, as they came', $$
  exchange_id | venue
  symbol      | unified name, BTC/USDT
  ts          | time at the venue
  bid         | best bid, in quote
  ask         | best ask, in quote; never below the bid
  last_price  | price of the last trade
  last_volume | size of the last trade, in base
  source      | feed it came from
  received_at | when it reached us
$$);

create table order_books_shape (
  exchange_id smallint not null,
  symbol text not null check (symbol <> ''),
  ts timestamptz not null,
  bids jsonb not null check (jsonb_typeof(bids) = 'array'),
  asks jsonb not null check (jsonb_typeof(asks) = 'array'),
  depth int not null check (depth > 0),
  total_bid_volume numeric(38,18) not null check (total_bid_volume >= 0),
  total_ask_volume numeric(38,18) not null check (total_ask_volume >= 0),
  primary key (symbol, ts, exchange_id)
);
select create_series('order_books', 'day', 'exchange_id, symbol');
select describe('order_books', 'Snapshots of order books', $$
  exchange_id      | venue
  symbol           | unified name, BTC/USDT
  ts               | time at the venue
  bids             | [[price, quantity], ...], best first, as strings
  asks             | [[price, quantity], ...], best first, as strings
  depth            | levels asked for on each side
  total_bid_volume | quantity of all bids shown, in base
  total_ask_volume | quantity of all asks shown, in base
$$);

-- == roll-ups

-- What changed below the watermark is noted by the insert itself, so that late data is never missed, however
-- late: one row per statement and symbol, merged by the job that takes it.
create table rollup_queue (
  id bigint generated always as identity primary key,
  exchange_id smallint not null,
  symbol text not null,
  since timestamptz not null,
  until timestamptz not null,
  noted_at timestamptz not null default clock_timestamp(),
  check (until >= since)
);
select describe('rollup_queue', 'Ranges of one-minute candles that longer ones have not taken in yet', $$
  id          | order of arrival
  exchange_id | venue
  symbol      | symbol
  since       | open time of the first candle that came or changed
  until       | open time of the last one
  noted_at    | when it was noted
$$);

create table rollup_watermarks (
  exchange_id smallint not null,
  symbol text not null,
  timeframe text not null,
  ts timestamptz not null,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (exchange_id, symbol, timeframe)
);
select describe('rollup_watermarks', 'How far the longer candles are rolled up', $$
  exchange_id | venue
  symbol      | symbol
  timeframe   | length of the bars that are made
  ts          | end of the last closed bar that was made
  updated_at  | when it moved
$$);

-- == daily figures

create table daily_performance (
  scope_id uuid not null,
  scope text not null check (scope in ('BOT', 'PORTFOLIO')),
  user_id uuid not null references users,
  date date not null,
  mode text not null check (mode in ('SIM', 'PAPER', 'LIVE')),
  currency text not null check (is_currency(currency)),
  daily_pnl numeric(38,18) not null,
  cumulative_pnl numeric(38,18) not null,
  trades_count int not null check (trades_count >= 0),
  winning_trades int not null check (winning_trades >= 0),
  losing_trades int not null check (losing_trades >= 0),
  win_rate numeric(9,8) check (win_rate between 0 and 1),
  avg_pnl numeric(38,18),
  best_trade numeric(38,18),
  worst_trade numeric(38,18),
  avg_holding_time interval,
  sharpe_ratio numeric(18,8),
  max_drawdown_pct numeric(18,8),
  total_volume numeric(38,18) not null check (total_volume >= 0),
  total_fees numeric(38,18) not null,
  equity numeric(38,18),
  detailed_metrics jsonb not null default '{}',
  event_seq bigint not null,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (scope_id, date, mode),
  check (winning_trades + losing_trades <= trades_count)
);
select describe('daily_performance', 'Results per day (UTC) of every bot and portfolio; days without a trade too', $$
  scope_id         | bot or portfolio
  scope            | BOT or PORTFOLIO
  user_id          | owner
  date             | day, UTC
  mode             | SIM, PAPER or LIVE
  currency         | currency of the amounts
  daily_pnl        | realised on that day, less fees and funding
  cumulative_pnl   | sum of the days so far
  trades_count     | round trips closed on that day
  winning_trades   | of these, with a gain after fees and funding
  losing_trades    | of these, with a loss after fees and funding
  win_rate         | winning of all, 0 to 1; none without a trade
  avg_pnl          | mean result of its trades
  best_trade       | best result
  worst_trade      | worst result
  avg_holding_time | mean time from opening to closing
  sharpe_ratio     | of the daily returns so far, times the root of 365; none before 30 days
  max_drawdown_pct | deepest fall of equity below its peak so far, percent; without samples, of balance and results
  total_volume     | value of the day's fills, in quote
  total_fees       | fees of the day's fills, in that currency
  equity           | at the last sample so far; none for a scope without samples, like a bot on a shared account
  detailed_metrics | result and trades per symbol
  event_seq        | newest event that the day's figures follow from
  created_at       | when the row was made
  updated_at       | when it was last computed
$$);

-- == retention and archive

create table retention_policies (
  subject text primary key,
  table_name text not null,
  filter_column text,
  filter_value text,
  time_column text not null,
  keep interval check (keep > interval '0'),
  archive boolean not null default false,
  basis text not null check (basis <> ''),
  hold boolean not null default false,
  hold_reason text,
  hold_by text,
  hold_since timestamptz,
  updated_at timestamptz not null default clock_timestamp(),
  check (not hold or (hold_reason <> '' and hold_by <> '' and hold_since is not null)),
  check ((filter_column is null) = (filter_value is null))
);
select describe('retention_policies', 'How long what is kept, and why; nothing is deleted that is not named here', $$
  subject       | short name, for the command
  table_name    | table
  filter_column | the policy is for rows of one value of this column
  filter_value  | that value
  time_column   | column that the age is told by
  keep          | how long; none: for ever
  archive       | written to the archive and read back before it is dropped
  basis         | why so long: law, use or size
  hold          | legal hold: nothing is dropped while it is set
  hold_reason   | why it is held
  hold_by       | who asked for it
  hold_since    | since when
  updated_at    | last change of the row
$$);
create trigger touch before update on retention_policies for each row execute function touch();
insert into retention_policies (subject, table_name, filter_column, filter_value, time_column, keep, archive, basis) values
  ('ticks', 'ticks', null, null, 'ts', '7 days', false, 'size: a day is millions of rows; candles stay'),
  ('order books', 'order_books', null, null, 'ts', '30 days', false, 'size; used by fill models only'),
  ('candles 1m', 'candles', 'timeframe', '1m', 'ts', '30 days', false, 'size; longer bars are made from them'),
  ('candles 5m', 'candles', 'timeframe', '5m', 'ts', '90 days', false, 'size'),
  ('candles 15m', 'candles', 'timeframe', '15m', 'ts', '90 days', false, 'size'),
  ('candles 30m', 'candles', 'timeframe', '30m', 'ts', '90 days', false, 'size'),
  ('candles 1h', 'candles', 'timeframe', '1h', 'ts', '5 years', false, 'research'),
  ('candles 4h', 'candles', 'timeframe', '4h', 'ts', '5 years', false, 'research'),
  ('candles 1d', 'candles', 'timeframe', '1d', 'ts', '5 years', false, 'research'),
  ('candles 1w', 'candles', 'timeframe', '1w', 'ts', '5 years', false, 'research'),
  ('equity', 'equity_snapshots', null, null, 'ts', '10 years', true, 'tax and trading records, ten years'),
  ('orders', 'orders', null, null, 'created_at', '10 years', true, 'tax and trading records, ten years'),
  ('fills', 'fills', null, null, 'executed_at', '10 years', true, 'tax and trading records, ten years'),
  ('positions', 'positions', null, null, 'closed_at', '10 years', true, 'tax and trading records, ten years'),
  ('audit', 'audit_logs', null, null, 'ts', '7 years', true, 'accountability, seven years'),
  ('events', 'events', null, null, 'ts', null, true, 'the journal is the truth of all read tables'),
  ('outbox', 'outbox', null, null, 'processed_at', '7 days', false, 'delivered notices are of no more use');

create table archive_segments (
  id uuid primary key default uuid7(),
  table_name text not null,
  partition_name text,
  since timestamptz not null,
  until timestamptz not null,
  rows_count bigint not null check (rows_count >= 0),
  size_bytes bigint not null check (size_bytes >= 0),
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  checksums jsonb not null,
  location text not null check (location <> ''),
  written_at timestamptz not null default clock_timestamp(),
  verified_at timestamptz,
  dropped_at timestamptz,
  check (until >= since),
  check (dropped_at is null or verified_at is not null)
);
create index archive_segments_table on archive_segments (table_name, since);
select describe('archive_segments', 'What was written to the archive, and what was dropped after it was read back', $$
  id             | UUIDv7
  table_name     | table the rows came from
  partition_name | partition, or the month of the rows
  since          | time of the first row
  until          | time of the last row
  rows_count     | rows written
  size_bytes     | size of the file
  sha256         | of the file, hex
  checksums      | values and sum of hashes per column, as column_checksums gives them
  location       | path or address of the file
  written_at     | when it was written
  verified_at    | when it was read back and compared
  dropped_at     | when the rows were dropped; only after verified_at
$$);

-- == classes and grants

insert into table_classes (table_name, class, origin) values
  ('series', 'REFERENCE', 'migrations; `quantsail db convert`'),
  ('ticks', 'SERIES', 'feeds'),
  ('order_books', 'SERIES', 'feeds'),
  ('rollup_queue', 'QUEUE', 'every insert of one-minute candles'),
  ('rollup_watermarks', 'SERIES', 'the roll-up job'),
  ('daily_performance', 'SERIES', 'the daily job, from positions, fills and equity'),
  ('retention_policies', 'REFERENCE', 'migrations; people'),
  ('archive_segments', 'REFERENCE', 'the archive job');

revoke all on function is_symbol(text), is_currency(text), is_market(text), create_series(text, text, text),
  ensure_partitions(text, timestamptz, timestamptz), extension_schema(text), series_profile(), register_series(text),
  cut_series(text, text, text, text, text, text), begin_conversion(text, text), finish_conversion(text) from public;

do $$ begin
  if qs.role_profile() = 'REDUCED' then
    return;
  end if;
  -- Checks run with the rights of whoever writes.
  grant execute on function qs.is_symbol(text), qs.is_currency(text), qs.is_market(text) to qs_engine, qs_app, qs_view;
  grant select on series, ticks, order_books, rollup_queue, rollup_watermarks, daily_performance, retention_policies,
    archive_segments to qs_engine, qs_app, qs_view;
  grant insert on ticks, order_books, rollup_queue to qs_engine;
  grant delete on rollup_queue to qs_engine;
  grant insert, update on rollup_watermarks, daily_performance to qs_engine;
  grant execute on function qs.ensure_partitions(text, timestamptz, timestamptz) to qs_engine;
end $$;
