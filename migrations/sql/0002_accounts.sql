-- 0002 Accounts: secrets, strategies, wallets and the versions of the engine's config. Kept by people and
-- programs; a rebuild of the read tables leaves them alone.

-- == secrets
-- Rows hold ciphertext only. Data keys are wrapped by a key that never enters the database.

create table encryption_keys (
  key_version int primary key check (key_version > 0),
  algorithm text not null default 'AES-256-GCM' check (algorithm = 'AES-256-GCM'),
  wrapped_dek bytea check (octet_length(wrapped_dek) = 48),
  wrap_nonce bytea check (octet_length(wrap_nonce) = 12),
  kdf jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  retired_at timestamptz,
  check (num_nulls(wrapped_dek, wrap_nonce) in (0, 2)),
  check (retired_at is not null or wrapped_dek is not null)
);
select describe('encryption_keys', 'Data keys, wrapped by a key that is kept outside', $$
  key_version | number of the key, in every encrypted row
  algorithm   | cipher
  wrapped_dek | the data key, encrypted: 32 bytes and a tag of 16; gone once the key is retired
  wrap_nonce  | nonce of that wrapping, 12 bytes
  kdf         | where the wrapping key came from (source), and a value to tell a wrong one by (check)
  created_at  | when the key was made
  retired_at  | when it stopped being used for new rows
$$);

-- The order of the files puts users before the keys; the reference is added once both exist.
alter table users add constraint users_mfa_key_version_fkey foreign key (mfa_key_version) references encryption_keys;

-- A rotation retires a key once no row needs it. Whoever still encrypts with it, from a copy that he read
-- before, must not leave a row that nobody can ever read: he waits here for the rotation, and is refused.
create function key_in_use() returns trigger
language plpgsql security definer set search_path = qs, pg_catalog, pg_temp as $$
declare
  version int := (to_jsonb(new) ->> tg_argv[0])::int;
begin
  if version is null then
    return new;
  end if;
  perform 1 from encryption_keys where key_version = version and retired_at is null for key share;
  if not found then
    raise exception 'key version % is not in use', version using errcode = 'QS005', hint = 'open the vault again';
  end if;
  return new;
end $$;
comment on function key_in_use() is 'Trigger: what is encrypted anew is encrypted with a key that is in use; else QS005';
create trigger key_in_use before insert or update of mfa_key_version, mfa_ciphertext, mfa_nonce on users
  for each row execute function key_in_use('mfa_key_version');

create table exchange_credentials (
  id uuid primary key default uuid7(),
  user_id uuid not null references users,
  exchange_id smallint not null references exchanges,
  label text,
  environment text not null default 'PRODUCTION' check (environment in ('PRODUCTION', 'TESTNET', 'PAPER')),
  ciphertext bytea not null,
  nonce bytea not null check (octet_length(nonce) = 12),
  key_version int not null references encryption_keys,
  api_key_hint text check (length(api_key_hint) <= 4),
  permissions text[] not null default '{READ}' check (permissions <@ array['READ', 'TRADE', 'WITHDRAW']),
  withdraw_allowed boolean not null default false,
  status text not null default 'ACTIVE' check (status in ('ACTIVE', 'INACTIVE', 'ERROR', 'EXPIRED', 'REVOKED')),
  last_tested_at timestamptz,
  last_test_result jsonb,
  last_used_at timestamptz,
  request_count bigint not null default 0,
  created_by uuid references users,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  revoked_at timestamptz,
  deleted_at timestamptz,
  -- A key that can move money out is never stored by accident.
  check (withdraw_allowed or not permissions @> array['WITHDRAW'])
);
create unique index exchange_credentials_label_key on exchange_credentials (user_id, exchange_id, environment, label)
  nulls not distinct where deleted_at is null and revoked_at is null;
select describe('exchange_credentials', 'Keys of exchange accounts, encrypted', $$
  id               | UUIDv7
  user_id          | owner
  exchange_id      | venue
  label            | name that a person gave it
  environment      | PRODUCTION, TESTNET or PAPER
  ciphertext       | one AEAD blob of key, secret and passphrase
  nonce            | its nonce, 12 bytes
  key_version      | data key that encrypted it
  api_key_hint     | last characters of the key, four at most
  permissions      | READ, TRADE, WITHDRAW
  withdraw_allowed | a person said in so many words that this key may have WITHDRAW
  status           | ACTIVE, INACTIVE, ERROR, EXPIRED or REVOKED
  last_tested_at   | last test against the venue
  last_test_result | what that test said
  last_used_at     | last use
  request_count    | requests made with it
  created_by       | who entered it
  created_at       | when the row was made
  updated_at       | last change of the row
  revoked_at       | when it was withdrawn
  deleted_at       | soft delete
$$);
create trigger key_in_use before insert or update of key_version, ciphertext, nonce on exchange_credentials
  for each row execute function key_in_use('key_version');

create table database_configs (
  id uuid primary key default uuid7(),
  user_id uuid not null references users,
  name text not null check (name <> ''),
  db_type text not null check (db_type in ('POSTGRESQL', 'MYSQL', 'MONGODB')),
  host text not null check (host <> ''),
  port int not null check (port between 1 and 65535),
  database text not null check (database <> ''),
  username text,
  password_ciphertext bytea,
  password_nonce bytea check (octet_length(password_nonce) = 12),
  key_version int references encryption_keys,
  ssl_config jsonb check (jsonb_typeof(ssl_config) = 'object'),
  status text not null default 'INACTIVE' check (status in ('ACTIVE', 'INACTIVE', 'ERROR')),
  last_tested_at timestamptz,
  last_test_result jsonb check (jsonb_typeof(last_test_result) = 'object'),
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  deleted_at timestamptz,
  check (num_nulls(password_ciphertext, password_nonce, key_version) in (0, 3)),
  check (num_nulls(last_tested_at, last_test_result) in (0, 2))
);
create unique index database_configs_name_key on database_configs (user_id, name) where deleted_at is null;
create trigger key_in_use before insert or update of key_version, password_ciphertext, password_nonce on database_configs
  for each row execute function key_in_use('key_version');
select describe('database_configs', 'Other databases that a user connects to; their passwords are encrypted', $$
  id                  | UUIDv7
  user_id             | owner
  name                | name that a person gave it, unique among those not deleted
  db_type             | POSTGRESQL, MYSQL or MONGODB
  host                | name or address; for POSTGRESQL also the folder of its socket
  port                | TCP port
  database            | database there
  username            | login there
  password_ciphertext | its password, encrypted; none where the server asks for none
  password_nonce      | nonce of that encryption, 12 bytes
  key_version         | data key that encrypted it
  ssl_config          | TLS: mode, ca_file, cert_file, key_file; files by path, never by content
  status              | ACTIVE after a test that succeeded, ERROR after one that failed, INACTIVE before any
  last_tested_at      | last test
  last_test_result    | what that test said: ok, latency_ms, server_version, error
  created_at          | when the row was made
  updated_at          | last change of the row
  deleted_at          | soft delete
$$);

-- == strategies

create table strategies (
  id uuid primary key default uuid7(),
  user_id uuid not null references users,
  name text not null check (name ~ '[^[:space:]]' and name !~ '[[:cntrl:]]'),
  type text not null default 'TECHNICAL' check (type in ('TECHNICAL', 'ML', 'HYBRID', 'ARBITRAGE')),
  description text,
  symbol text,
  timeframe text check (timeframe ~ '^[1-9][0-9]?[smhdwM]$'),
  entry_rules jsonb not null default '[]',
  exit_rules jsonb not null default '[]',
  parameters jsonb not null default '{}',
  version int not null default 1 check (version > 0),
  version_label text,
  stop_loss_pct numeric(18,8) check (stop_loss_pct between 0 and 100),
  take_profit_pct numeric(18,8) check (take_profit_pct between 0 and 1000),
  max_position_size_pct numeric(18,8) check (max_position_size_pct > 0 and max_position_size_pct <= 100),
  max_drawdown_pct numeric(18,8) check (max_drawdown_pct between 0 and 100),
  trailing_stop_pct numeric(18,8) check (trailing_stop_pct between 0 and 100),
  status text not null default 'DRAFT' check (status in ('DRAFT', 'ACTIVE', 'PAUSED', 'ARCHIVED')),
  trading_mode text check (trading_mode in ('SIM', 'PAPER', 'LIVE')),
  is_public boolean not null default false,
  backtest_summary jsonb,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  activated_at timestamptz,
  last_signal_at timestamptz,
  deleted_at timestamptz
);
select describe('strategies', 'Rule documents that bots trade by', $$
  id                    | the engine's strategy_id, from the document's hash; UUIDv7 for a draft
  user_id               | owner
  name                  | name as shown
  type                  | TECHNICAL, ML, HYBRID or ARBITRAGE
  description           | what it does, in words
  symbol                | symbol it was written for
  timeframe             | bar length it was written for
  entry_rules           | when to open
  exit_rules            | when to close
  parameters            | indicators and their settings
  version               | number of its current version
  version_label         | semantic version, for people
  stop_loss_pct         | stop distance, percent
  take_profit_pct       | target distance, percent
  max_position_size_pct | largest share of equity, percent
  max_drawdown_pct      | drawdown that stops it, percent
  trailing_stop_pct     | trailing distance, percent
  status                | DRAFT, ACTIVE, PAUSED or ARCHIVED
  trading_mode          | mode it is meant for
  is_public             | may be shown to others
  backtest_summary      | figures of its last backtest
  created_at            | when the row was made
  updated_at            | last change of the row
  activated_at          | when a bot first used it
  last_signal_at        | last time it fired
  deleted_at            | soft delete
$$);

create table strategy_versions (
  strategy_id uuid not null references strategies,
  version int not null check (version > 0),
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  document jsonb not null,
  document_text text not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (strategy_id, version),
  -- What is hashed is what is stored. A content may come back: rules that are taken back are a new version.
  check (sha256 = encode(sha256(convert_to(document_text, 'UTF8')), 'hex')),
  check (document = document_text::jsonb)
);
create index strategy_versions_content on strategy_versions (strategy_id, sha256);
select guard_append_only('strategy_versions');

-- Rules do not change under the same number, whoever changes them.
create function strategy_version() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if row(new.entry_rules, new.exit_rules, new.parameters)
     is distinct from row(old.entry_rules, old.exit_rules, old.parameters) then
    new.version := old.version + 1;
  elsif new.version <> old.version then
    raise exception 'the version of strategy % follows from its content', old.id
      using errcode = 'restrict_violation', hint = 'change entry_rules, exit_rules or parameters';
  end if;
  return new;
end $$;
comment on function strategy_version() is 'Trigger: other rules are another version, one higher';
create trigger strategy_version before update on strategies for each row execute function strategy_version();
alter table strategies enable always trigger strategy_version;
select describe('strategy_versions', 'Every content that a strategy ever had, by its hash', $$
  strategy_id   | strategy
  version       | counts from 1 within the strategy
  sha256        | hash of document_text
  document      | rules, for queries
  document_text | canonical JSON that was hashed: jsonb does not keep it
  created_at    | when it was first seen
$$);

create table wallets (
  id uuid primary key default uuid7(),
  chain text not null default 'ethereum',
  address text not null,
  label text,
  first_seen_at timestamptz default clock_timestamp(),
  last_activity_at timestamptz,
  is_active boolean not null default true,
  tags text[] not null default '{}',
  metadata jsonb,
  unique (chain, address)
);
select describe('wallets', 'Wallets on chain whose trades are watched', $$
  id               | UUIDv7
  chain            | network
  address          | address in the network's own spelling
  label            | name that a person gave it
  first_seen_at    | when watching began
  last_activity_at | last transaction seen
  is_active        | still watched
  tags             | words to filter by
  metadata         | whatever else is known
$$);

-- == config
-- One document for the whole engine, globally numbered. Its text is kept beside the jsonb because the hash
-- covers the text.

create table bot_config_versions (
  id uuid primary key default uuid7(),
  version int not null unique check (version > 0),
  config_json jsonb not null,
  config_text text not null,
  config_hash text not null check (config_hash ~ '^[0-9a-f]{64}$'),
  actor text not null,
  created_by uuid references users,
  note text,
  created_at timestamptz not null default clock_timestamp(),
  activated_at timestamptz,
  is_active boolean not null default false,
  -- What is hashed is what is stored: a document cannot be changed under its hash, not even by hand.
  check (config_hash = encode(sha256(convert_to(config_text, 'UTF8')), 'hex')),
  check (config_json = config_text::jsonb),
  check (activated_at is not null or not is_active)
);
-- One active document in the whole database; the second one is refused at once, whoever writes it.
create unique index bot_config_one_active on bot_config_versions (is_active) where is_active;
select describe('bot_config_versions', 'Every version of the engine document; one is active', $$
  id           | UUIDv7
  version      | global number, from 1
  config_json  | the document, for queries
  config_text  | canonical JSON that was hashed
  config_hash  | sha256 of config_text, hex
  actor        | who wrote it, in words
  created_by   | who wrote it; none for the version that the ledger began with
  note         | why
  created_at   | when it was written
  activated_at | when it last took hold
  is_active    | in force now
$$);

create function config_version_guard() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op <> 'UPDATE' or row(new.id, new.version, new.config_text, new.config_hash, new.actor, new.created_at)
       is distinct from row(old.id, old.version, old.config_text, old.config_hash, old.actor, old.created_at) then
    raise exception 'config versions are kept as written: only is_active and activated_at may change'
      using errcode = 'restrict_violation', hint = 'write a new version';
  end if;
  return new;
end $$;
comment on function config_version_guard() is 'Trigger: a config version is immutable but for its activation';
create trigger config_version_guard before update or delete on bot_config_versions
  for each row execute function config_version_guard();
create trigger config_version_guard_truncate before truncate on bot_config_versions
  for each statement execute function append_only();
alter table bot_config_versions enable always trigger config_version_guard;
alter table bot_config_versions enable always trigger config_version_guard_truncate;

-- == updated_at

create trigger touch before update on users for each row execute function touch();
create trigger touch before update on exchanges for each row execute function touch();
create trigger touch before update on instruments for each row execute function touch();
create trigger touch before update on exchange_credentials for each row execute function touch();
create trigger touch before update on database_configs for each row execute function touch();
create trigger touch before update on strategies for each row execute function touch();
