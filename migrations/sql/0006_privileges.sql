-- 0006 Classes and privileges. Classes say what a rebuild may touch; privileges say who may try what. In
-- the REDUCED profile the roles do not exist and the grants are left out.

insert into table_classes (table_name, class, origin) values
  ('events', 'JOURNAL', 'append_events'),
  ('log_heads', 'JOURNAL', 'append_events, append_audit'),
  ('audit_logs', 'JOURNAL', 'append_audit'),
  ('engine_runs', 'JOURNAL', 'start_run; the engine: heartbeat and end'),
  ('snapshots', 'JOURNAL', 'the engine: a folded ledger now and then'),
  ('portfolios', 'PROJECTION', 'LedgerOpened, PortfolioOpened, OrderFilled, FundingPaid, DustKept, EquitySampled'),
  ('bots', 'PROJECTION', 'ConfigActivated, BotStatusChanged, TradingStateChanged'),
  ('signals', 'PROJECTION', 'SignalGenerated'),
  ('positions', 'PROJECTION', 'OrderFilled, ExitsMoved, MarginChanged, FundingPaid, DustKept, PositionLiquidated, '
   'EquitySampled, PositionClosed'),
  ('orders', 'PROJECTION', 'OrderDenied, OrderSubmitted, OrderAdopted and every later word about the order'),
  ('fills', 'PROJECTION', 'OrderFilled'),
  ('risk_decisions', 'PROJECTION', 'IntentEvaluated'),
  ('kill_switch_events', 'PROJECTION', 'TradingStateChanged'),
  ('stop_results', 'PROJECTION', 'StopCompleted'),
  ('funding_payments', 'PROJECTION', 'FundingPaid'),
  ('equity_snapshots', 'PROJECTION', 'EquitySampled'),
  ('candles', 'SERIES', 'feeds'),
  ('commands', 'QUEUE', 'cockpit and command line; answers: the engine'),
  ('ledger', 'REFERENCE', 'the engine, with the first event'),
  ('users', 'REFERENCE', 'people'),
  ('encryption_keys', 'REFERENCE', 'the vault'),
  ('exchange_credentials', 'REFERENCE', 'people, through the vault'),
  ('database_configs', 'REFERENCE', 'people, through the vault'),
  ('exchanges', 'REFERENCE', 'exchange_id()'),
  ('instruments', 'REFERENCE', 'bundled rules, or the venue'),
  ('strategies', 'REFERENCE', 'people; the engine, when a config activates one'),
  ('strategy_versions', 'REFERENCE', 'the engine, when a config activates one'),
  ('wallets', 'REFERENCE', 'people'),
  ('bot_config_versions', 'REFERENCE', 'people; the engine activates'),
  ('capability', 'REFERENCE', 'migrations'),
  ('catalog_records', 'REFERENCE', 'migrations'),
  ('table_classes', 'REFERENCE', 'migrations'),
  ('alembic_version', 'REFERENCE', 'migrations');

-- Empties the read tables in one transaction with their rebuild: readers wait, and a crash leaves
-- everything as it was. Runs with the rights of the caller: only the owner may switch the append-only
-- triggers off, and they are on again before the transaction can end.
create function empty_projections() returns void language plpgsql set search_path = qs, pg_catalog, pg_temp as $$
declare
  projections text[] := array(select table_name from table_classes where class = 'PROJECTION' order by table_name);
  guarded text[] := array(
    select distinct c.relname::text from pg_trigger t join pg_class c on c.oid = t.tgrelid
     where c.relnamespace = 'qs'::regnamespace and t.tgname = 'append_only' and c.relname = any (projections));
  name text;
begin
  foreach name in array guarded loop
    execute format('alter table %I disable trigger append_only_truncate', name);
  end loop;
  execute 'truncate ' || (select string_agg(format('%I', t), ', ') from unnest(projections) t);
  foreach name in array guarded loop
    execute format('alter table %I enable always trigger append_only_truncate', name);
  end loop;
end $$;
comment on function empty_projections() is 'Empties every PROJECTION table, for a rebuild; the owner only';

revoke all on all functions in schema qs from public;

do $$ begin
  if qs.role_profile() = 'REDUCED' then
    return;
  end if;
  -- Whoever may connect may ask which schema this is, before taking a role; a login need not inherit any.
  grant usage on schema qs to public;
  grant select on alembic_version to public;

  -- Everyone reads what is neither secret nor personal.
  grant select on events, log_heads, engine_runs, snapshots, portfolios, bots, signals, positions, orders, fills,
    risk_decisions, kill_switch_events, stop_results, funding_payments, equity_snapshots, candles, commands, ledger,
    exchanges, instruments, strategies, strategy_versions, wallets, bot_config_versions, capability, catalog_records,
    table_classes, alembic_version to qs_engine, qs_app, qs_view;
  grant execute on function qs.role_profile(), qs.uuid7() to qs_engine, qs_app, qs_view;

  -- The engine. Of the journal it may only append, of what is written once only insert, and it deletes
  -- nothing at all but snapshots that newer ones replace.
  grant select on users, audit_logs, encryption_keys, exchange_credentials to qs_engine;
  grant insert on signals, fills, risk_decisions, kill_switch_events, stop_results, funding_payments, equity_snapshots
    to qs_engine;
  grant insert, update on portfolios, bots, positions, orders, candles, exchanges, instruments, users, strategies,
    wallets, bot_config_versions, commands to qs_engine;
  grant insert on ledger, strategy_versions to qs_engine;
  grant update (last_used_at, request_count, last_tested_at, last_test_result, status) on exchange_credentials
    to qs_engine;
  grant insert, delete on snapshots to qs_engine;
  grant update (heartbeat_at, ended_at, why, recovery, ledger_id) on engine_runs to qs_engine;
  grant execute on all functions in schema qs to qs_engine;
  revoke execute on function qs.empty_projections(), qs.guard_append_only(regclass), qs.describe(text, text, text)
    from qs_engine;

  -- The operator's program asks; the engine acts. Drafts and watched wallets are the operator's own.
  grant insert on commands, bot_config_versions, strategy_versions to qs_app;
  grant insert, update on strategies, wallets to qs_app;
  -- It keeps what is secret, as ciphertext. Retiring and rewrapping keys is the owner's: that has to see
  -- the rows of all users.
  grant select, insert on encryption_keys to qs_app;
  grant select, insert, update on exchange_credentials, database_configs to qs_app;
  grant execute on function qs.exchange_id(text) to qs_app;
  grant execute on function qs.lock_head(text), qs.append_audit(bigint, bytea, bytea, uuid, timestamptz, uuid, text,
    text, uuid, jsonb, jsonb, inet, text, text, jsonb) to qs_app;
end $$;
