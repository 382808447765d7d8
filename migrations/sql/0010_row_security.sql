-- 0010 Row security: whose rows a reader sees. qs_app and qs_view see those of the user that the connection
-- was given to (db/connect.py sets app.user_id at every checkout), and none at all where nobody said whose.
-- qs_engine works for every user and qs_owner rebuilds and retains for every user: by a policy that says so,
-- not by BYPASSRLS. FORCE, or the owner would not be asked at all. Whatever role is granted something later
-- has no policy, and sees nothing.
--
-- Market data belongs to nobody and carries none (COPY FROM and compression refuse it). In the REDUCED
-- profile there is one login for everything, so there is nobody to keep apart: `capability` says so.

-- Neither an empty setting nor a forged one is an error: it is nobody.
create function app_user_id() returns uuid language sql stable parallel safe set search_path = pg_catalog, pg_temp as $$
  select case when current_setting('app.user_id', true) ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
              then current_setting('app.user_id', true)::uuid end
$$;
comment on function app_user_id() is 'Whose rows this connection may see; NULL, and with it none, where nobody said';

-- p_mine is true of a row that belongs to the user; a sub-select, so that the user is asked for once a query.
create function guard_rows(p_table regclass, p_mine text default 'user_id = (select qs.app_user_id())') returns void
language plpgsql set search_path = qs, pg_catalog, pg_temp as $$
begin
  if role_profile() = 'REDUCED' then
    return;
  end if;
  execute format('alter table %s enable row level security, force row level security', p_table);
  execute format('create policy mine on %s to qs_app, qs_view using (%s) with check (%2$s)', p_table, p_mine);
  execute format('create policy everyones on %s to qs_engine, qs_owner using (true) with check (true)', p_table);
end $$;
comment on function guard_rows(regclass, text) is 'Puts row security on a table of users'' rows, in the full profile';

select guard_rows(format('qs.%I', name)::regclass) from unnest(array[
  'exchange_credentials', 'database_configs', 'strategies',
  'portfolios', 'bots', 'signals', 'positions', 'orders', 'fills', 'risk_decisions', 'funding_payments',
  'equity_snapshots', 'daily_performance', 'risk_limits', 'alerts', 'backtests']) name;

-- Through their parents.
select guard_rows('strategy_versions', 'exists (select from qs.strategies s
  where s.id = strategy_id and s.user_id = (select qs.app_user_id()))');
select guard_rows('backtest_trades', 'exists (select from qs.backtests b
  where b.id = backtest_id and b.user_id = (select qs.app_user_id()))');

-- A person is not shown who else there is, nor what others did. The audit log is verified by the engine, which
-- sees all of it: a chain with hidden links could not be.
select guard_rows('users', 'id = (select qs.app_user_id())');
select guard_rows('audit_logs');

-- Not guarded: `ledger` names the operator, and readers learn from it whose rows to ask for.

insert into capability (name, value, detail) values
  ('ROW_SECURITY', case role_profile() when 'FULL' then 'FORCED' else 'NONE' end,
   'NONE: one login does everything here, there are no readers to keep apart');

revoke all on function app_user_id(), guard_rows(regclass, text) from public;
do $$ begin
  if qs.role_profile() = 'REDUCED' then
    return;
  end if;
  grant execute on function qs.app_user_id() to qs_engine, qs_app, qs_view;
end $$;
