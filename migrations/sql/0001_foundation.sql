-- 0001 Foundation: the helpers that later files use, the facts about this database, and the reference tables.
-- Runs with search_path = qs, pg_catalog and, in the full profile, as qs_owner.

-- == helpers

-- Comments are the source of docs/schema.md. One block per table: "column | phrase" lines. A column that is
-- forgotten or misspelled stops the migration, so the page can never fall behind.
create function describe(p_table text, p_phrase text, p_columns text) returns void
language plpgsql set search_path = qs, pg_catalog, pg_temp as $$
declare
  line text;
  pair text[];
  missing text;
begin
  execute format('comment on table qs.%I is %L', p_table, p_phrase);
  foreach line in array string_to_array(p_columns, E'\n') loop
    continue when btrim(line) = '';
    pair := regexp_match(line, '^\s*(\w+)\s*\|\s*(\S.*?)\s*$');
    if pair is null then
      raise exception 'describe %: cannot read %', p_table, quote_literal(line);
    end if;
    execute format('comment on column qs.%I.%I is %L', p_table, pair[1], pair[2]);
  end loop;
  select string_agg(attname, ', ') into missing
    from pg_attribute a
   where a.attrelid = format('qs.%I', p_table)::regclass and attnum > 0 and not attisdropped
     and col_description(a.attrelid, a.attnum) is null;
  if missing is not null then
    raise exception 'describe %: no phrase for %', p_table, missing;
  end if;
end $$;
comment on function describe(text, text, text) is 'Comments a table and all its columns; raises when one is left out';

-- FULL where qs_owner owns the schema, REDUCED where the login owns it (roles.sql).
create function role_profile() returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when pg_get_userbyid(nspowner) = 'qs_owner' then 'FULL' else 'REDUCED' end
    from pg_namespace where nspname = 'qs'
$$;
comment on function role_profile() is 'FULL: roles and grants are in force. REDUCED: the login owns the schema';

-- UUIDv7 (RFC 9562) as a default for rows that people make. The server's own from 18 on, before that from
-- core functions only: 48 bits of Unix milliseconds and the version bits over a random v4. Projections take
-- their ids from the event.
do $$ begin
  if to_regprocedure('pg_catalog.uuidv7()') is not null then
    execute $f$create function qs.uuid7() returns uuid language sql volatile parallel safe as
      'select pg_catalog.uuidv7()'$f$;
  else
    execute $f$create function qs.uuid7() returns uuid language sql volatile parallel safe as '
      select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
        from 1 for 6), 52, 1), 53, 1), ''hex'')::uuid'$f$;
  end if;
end $$;
comment on function uuid7() is 'A UUIDv7 of now';

create function touch() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end $$;
comment on function touch() is 'Trigger: updated_at of reference rows';

create function append_only() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'append-only: % on %.% is refused', tg_op, tg_table_schema, tg_table_name
    using errcode = 'restrict_violation', hint = 'history is corrected by a new row, never by changing an old one';
end $$;
comment on function append_only() is 'Trigger: refuses UPDATE, DELETE and TRUNCATE';

-- ENABLE ALWAYS: the guard holds for the owner and with session_replication_role = replica, too.
create function guard_append_only(p_table regclass) returns void language plpgsql set search_path = qs, pg_catalog, pg_temp as $$
begin
  execute format('create trigger append_only before update or delete on %s
                  for each row execute function qs.append_only()', p_table);
  execute format('create trigger append_only_truncate before truncate on %s
                  for each statement execute function qs.append_only()', p_table);
  execute format('alter table %s enable always trigger append_only', p_table);
  execute format('alter table %s enable always trigger append_only_truncate', p_table);
end $$;
comment on function guard_append_only(regclass) is 'Puts the append-only triggers on a table';

-- == facts about this database

select describe('alembic_version', 'Which migration this database is at', $$
  version_num | number of the last migration that ran
$$);

create table capability (
  name text primary key,
  value text not null,
  detail text,
  recorded_at timestamptz not null default clock_timestamp()
);
select describe('capability', 'What this server can do, as found when the schema was made; never switched silently', $$
  name        | what was asked: ROLES, UUID7, ROW_SECURITY, EMBEDDINGS, SERIES:<table>
  value       | the answer
  detail      | what follows from it, in words
  recorded_at | when it was found
$$);
insert into capability (name, value, detail) values
  ('ROLES', role_profile(), 'REDUCED: the login may not create roles; triggers guard the journal, privileges do not'),
  ('UUID7', case when to_regprocedure('pg_catalog.uuidv7()') is null then 'OWN' else 'SERVER' end, null);

create table catalog_records (
  revision text not null,
  variant text not null,
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  parts jsonb not null,
  recorded_at timestamptz not null default clock_timestamp(),
  primary key (revision, variant)
);
select describe('catalog_records', 'How the catalog looked when a migration had made it, for servers that nobody measured', $$
  revision    | the migration
  variant     | server major, role profile and capabilities
  sha256      | hash of all parts, hex
  parts       | what the catalog holds, by name
  recorded_at | when the migration ran
$$);

create table table_classes (
  table_name text primary key,
  class text not null check (class in ('JOURNAL', 'PROJECTION', 'REFERENCE', 'SERIES', 'QUEUE')),
  origin text not null
);
select describe('table_classes', 'Class of every table: a rebuild touches PROJECTION only', $$
  table_name | table in schema qs
  class      | JOURNAL is truth, PROJECTION follows from it, REFERENCE is kept by people, SERIES is data, QUEUE is work
  origin     | where its rows come from: event types, or the writer
$$);

-- Names of the time zone database only: `at time zone` would also take POSIX strings, in which FOO5 is a place.
create function is_timezone(p_name text) returns boolean language sql stable parallel safe
  set search_path = pg_catalog, pg_temp as $$
  select p_name = 'UTC' or exists (select from pg_timezone_names where name = p_name)
$$;
comment on function is_timezone(text) is 'A name of the IANA time zone database: UTC, America/Argentina/Buenos_Aires';

create table users (
  id uuid primary key default uuid7(),
  -- One @ and no blanks: an operator@localhost is a user, too.
  email text not null check (length(email) <= 254 and email ~ '^[^[:space:][:cntrl:]@]+@[^[:space:][:cntrl:]@]+$'),
  role text not null default 'OWNER' check (role in ('OWNER', 'CEO', 'DEVELOPER', 'ADMIN', 'VIEWER')),
  password_hash text,
  full_name text,
  first_name text,
  last_name text,
  timezone text not null default 'UTC' check (is_timezone(timezone)),
  preferred_currency text not null default 'USD' check (preferred_currency ~ '^[A-Z0-9]{2,12}$'),
  trading_mode text not null default 'SIM' check (trading_mode in ('SIM', 'PAPER', 'LIVE')),
  is_active boolean not null default true,
  is_verified boolean not null default false,
  verified_at timestamptz,
  mfa_enabled boolean not null default false,
  mfa_ciphertext bytea,
  mfa_nonce bytea,
  mfa_key_version int,
  preferences jsonb not null default '{}',
  notification_preferences jsonb not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  last_login_at timestamptz,
  deleted_at timestamptz
);
-- An address is free again once its user is deleted; comparison ignores case.
create unique index users_email_key on users (lower(email)) where deleted_at is null;
select describe('users', 'The people who operate this database', $$
  id                       | UUIDv7
  email                    | address, unique without regard to case
  role                     | OWNER, CEO, DEVELOPER, ADMIN or VIEWER
  password_hash            | Argon2id string, where a password is used
  full_name                | name as shown
  first_name               | given name
  last_name                | family name
  timezone                 | IANA name, for display only
  preferred_currency       | currency of totals on the screen
  trading_mode             | SIM, PAPER or LIVE: what the user's screens open with
  is_active                | may sign in
  is_verified              | address was confirmed
  verified_at              | when the address was confirmed
  mfa_enabled              | a second factor is asked for
  mfa_ciphertext           | second factor's secret, encrypted
  mfa_nonce                | nonce of that encryption
  mfa_key_version          | key of that encryption
  preferences              | settings of the screens
  notification_preferences | which notice goes where
  created_at               | when the row was made
  updated_at               | last change of the row
  last_login_at            | last sign-in
  deleted_at               | soft delete
$$);

create table ledger (
  singleton boolean primary key default true check (singleton),
  ledger_id text not null,
  user_id uuid not null references users,
  mode text not null check (mode in ('SIM', 'PAPER', 'LIVE')),
  feed text not null,
  seed bigint,
  base_currency text not null,
  created_at timestamptz not null
);
-- A ledger never changes what it is bound to; opening it with anything else is refused by the program.
select guard_append_only('ledger');
select describe('ledger', 'What this database is bound to for ever: one row, made with the first event', $$
  singleton     | always true: there is one ledger per database
  ledger_id     | name of the ledger; ids and the hash chain start from it
  user_id       | owner of everything that the engine writes here
  mode          | SIM, PAPER or LIVE
  feed          | where the market data comes from
  seed          | seed of the simulator, if there is one
  base_currency | currency of the account
  created_at    | time of the first event
$$);

-- == venues

create table exchanges (
  id smallint generated always as identity primary key,
  code text not null unique check (code <> ''),
  name text not null,
  api_base_url text,
  supported_features jsonb not null default '{}',
  rate_limits jsonb not null default '{}',
  is_active boolean not null default true,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp()
);
select describe('exchanges', 'Venues and feeds that symbols belong to', $$
  id                 | short key
  code               | the engine's word, as in events: binance, sim
  name               | name as shown
  api_base_url       | where its interface lives
  supported_features | what it offers: spot, margin, futures
  rate_limits        | limits of its interface
  is_active          | offered for new bots
  created_at         | when the row was made
  updated_at         | last change of the row
$$);

-- Events name exchanges by code. The select comes first: an upsert would burn an identity value with every
-- call.
create function exchange_id(p_code text) returns smallint
language plpgsql security definer set search_path = qs, pg_catalog, pg_temp as $$
declare
  found_id smallint;
begin
  select id into found_id from exchanges where code = p_code;
  if found_id is null then
    insert into exchanges (code, name) values (p_code, p_code) on conflict (code) do nothing;
    select id into found_id from exchanges where code = p_code;
  end if;
  return found_id;
end $$;
comment on function exchange_id(text) is 'Key of an exchange by its code; an unknown one is added';

create table instruments (
  exchange_id smallint not null references exchanges,
  symbol text not null check (symbol <> ''),
  native_symbol text,
  base_currency text not null,
  quote_currency text not null,
  min_quantity numeric(38,18),
  max_quantity numeric(38,18),
  tick_size numeric(38,18),
  step_size numeric(38,18),
  price_precision int,
  quantity_precision int,
  min_notional numeric(38,18),
  status text not null default 'TRADING' check (status in ('TRADING', 'HALT', 'DELISTED')),
  source text not null default 'default' check (source in ('bundled', 'venue', 'default')),
  contract_info jsonb,
  metadata jsonb,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (exchange_id, symbol)
);
select describe('instruments', 'Trading rules of a symbol at a venue', $$
  exchange_id        | venue
  symbol             | unified name, BTC/USDT
  native_symbol      | the venue's own name, BTCUSDT
  base_currency      | what is bought
  quote_currency     | what it is paid with
  min_quantity       | smallest order
  max_quantity       | largest order
  tick_size          | step of prices
  step_size          | step of quantities
  price_precision    | digits of prices on the screen
  quantity_precision | digits of quantities on the screen
  min_notional       | least value of an order, in quote
  status             | TRADING, HALT or DELISTED
  source             | where the rules come from: bundled, venue or default
  contract_info      | facts of derivatives
  metadata           | whatever else the venue says
  updated_at         | last change of the row
$$);
