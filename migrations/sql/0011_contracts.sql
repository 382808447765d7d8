-- 0011 Contracts: five schemas of read-only views, one for each of the systems that this database stands for.
-- Their tables, columns, types and words are those of the five documents; what is kept is kept in qs. The
-- files contracts/000 to 004 follow this one. Views ask with the rights of whoever reads (security_invoker),
-- so row security and grants of qs decide.
--
-- Rules, the same for every view:
--   a value that does not fit the contract's type is NULL, never cut short, and `quantsail db check` counts it;
--   numbers are rounded to the contract's scale;
--   secrets are NULL, and the views do not even refer to them: readers have no right to these columns;
--   words are translated as the column's comment says; a row that the document could not hold is left out, as
--   the view's comment says;
--   ids of series, which have none, are hashes of the natural key: the same row has the same id for ever.

-- Somebody else may have had these names.
do $$
declare
  name text;
begin
  foreach name in array array['quantsail_v7', 'paper_api', 'wallet_following', 'trading_platform', 'apextrade'] loop
    if to_regnamespace(name) is not null then
      raise exception 'this database has a schema % already', name
        using hint = 'rename it, or give quantsail a database of its own';
    end if;
    execute format('create schema %I', name);
  end loop;
end $$;
comment on schema quantsail_v7 is 'Contract 000: Quantsail v7';
comment on schema paper_api is 'Contract 001: paper trading API';
comment on schema wallet_following is 'Contract 002: wallet following';
comment on schema trading_platform is 'Contract 003: trading platform';
comment on schema apextrade is 'Contract 004: ApexTrade';

-- == what fits

create function fit_numeric(v numeric, p int, s int) returns numeric language sql immutable parallel safe
  return case when abs(round(v, s)) < power(10::numeric, p - s) then v end;
comment on function fit_numeric(numeric, int, int) is 'The value where numeric(p,s) can hold it, else NULL';

create function fit_numerics(v numeric[], p int, s int) returns numeric[] language sql immutable parallel safe
  return case when v is not null then
    array(select qs.fit_numeric(e, p, s) from unnest(v) with ordinality u (e, i) order by i) end;
comment on function fit_numerics(numeric[], int, int) is 'fit_numeric for every element';

create function fit_integer(v numeric) returns int language sql immutable parallel safe
  return case when round(v) between -2147483648 and 2147483647 then round(v)::int end;
comment on function fit_integer(numeric) is 'The rounded value where integer can hold it, else NULL';

create function fit_text(v text, n int) returns text language sql immutable parallel safe
  return case when char_length(v) <= n then v end;
comment on function fit_text(text, int) is 'The text where varchar(n) can hold it, else NULL';

create function fit_texts(v text[], n int) returns text[] language sql immutable parallel safe
  return case when v is not null then
    array(select qs.fit_text(e, n) from unnest(v) with ordinality u (e, i) order by i) end;
comment on function fit_texts(text[], int) is 'fit_text for every element';

create function stable_id(p_key text) returns bigint language sql immutable parallel safe
  return ('x' || encode(substring(sha256(convert_to(p_key, 'UTF8')) for 8), 'hex'))::bit(64)::bigint
         & 9223372036854775807;
comment on function stable_id(text) is 'A positive bigint out of a natural key, the same on every server';

create function stable_uuid(p_key text) returns uuid language sql immutable parallel safe
  return encode(substring(sha256(convert_to(p_key, 'UTF8')) for 16), 'hex')::uuid;
comment on function stable_uuid(text) is 'A uuid out of a natural key, the same on every server';

-- == how a view is made

create function contract_item(p_type text, p_expression text) returns text language sql immutable
  return case
    when p_expression = 'secret' then format('null::%s', p_type)
    when p_type = '=' then p_expression
    when p_type = 'timestamp' then format('((%s) at time zone ''UTC'')', p_expression)
    when p_type = 'integer!' then format('qs.fit_integer(%s)', p_expression)
    when p_type ~ '^(numeric|varchar)\(' then
      format('qs.fit_%s%s(%s, %s)::%s', case left(p_type, 7) when 'numeric' then 'numeric' else 'text' end,
             case when p_type like '%[]' then 's' end, p_expression, substring(p_type from '\((.*)\)'), p_type)
    else format('(%s)::%s', p_expression, p_type) end;
comment on function contract_item(text, text) is 'The expression of a view''s column, so that it has the type or is NULL';

-- One line per column, in the document's order: name | type | expression | phrase. The phrase is the comment;
-- without one, the expression is. Lines that begin with ... go on. Types: those of SQL; "integer!" is rounded
-- and may not fit; "timestamp" is the moment in UTC. The expression "secret" is NULL. "* | view" stands for
-- all columns of another view of the contract. db/contracts.py reads the same lines.
create function contract(p_view text, p_phrase text, p_columns text, p_from text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  line text;
  part text[];
  item record;
  items text[] := '{}';
  comments text[] := '{}';
begin
  foreach line in array string_to_array(regexp_replace(p_columns, '\n\s*\.\.\.\s*', ' ', 'g'), E'\n') loop
    continue when btrim(line) = '';
    part := regexp_split_to_array(btrim(line), '\s+\|\s+');
    if part[1] = '*' then
      for item in select attname, col_description(attrelid, attnum) as phrase, split_part(part[2], '.', 2) as origin
                    from pg_attribute where attrelid = part[2]::regclass and attnum > 0 order by attnum loop
        items := items || format('%I.%I', item.origin, item.attname);
        comments := comments || format('comment on column %s.%I is %L', p_view, item.attname, item.phrase);
      end loop;
      continue;
    end if;
    if cardinality(part) not in (3, 4) then
      raise exception 'contract %: cannot read %', p_view, quote_literal(line);
    end if;
    items := items || format('%s as %I', qs.contract_item(part[2], part[3]), part[1]);
    comments := comments || format('comment on column %s.%I is %L', p_view, part[1], coalesce(part[4], part[3]));
  end loop;
  execute format('drop view if exists %s cascade', p_view);
  execute format('create view %s with (security_invoker = true) as select %s %s', p_view,
                 array_to_string(items, ', '), p_from);
  execute format('comment on view %s is %L', p_view, p_phrase);
  foreach line in array comments loop
    execute line;
  end loop;
  -- Read-only for its owner, too.
  execute format('revoke all on %s from current_user', p_view);
  execute format('grant select on %s to current_user', p_view);
  if qs.role_profile() = 'FULL' then
    execute format('grant select on %s to qs_engine, qs_app, qs_view', p_view);
  end if;
end $$;
comment on function contract(text, text, text, text) is 'Makes a view of a contract out of its columns and its source';
revoke all on function contract(text, text, text, text), contract_item(text, text), fit_numeric(numeric, int, int),
  fit_numerics(numeric[], int, int), fit_integer(numeric), fit_text(text, int), fit_texts(text[], int), stable_id(text),
  stable_uuid(text) from public;

-- == what readers of the views need

-- The newest first, whatever the account; and what is open among all that is not.
create index equity_snapshots_ts on equity_snapshots (ts desc);
create index positions_open on positions (symbol) where status = 'OPEN';
-- Contract 002's times are computed; by these it finds its newest rows.
create index orders_created_utc on orders ((created_at at time zone 'UTC') desc);
create index positions_opened_utc on positions ((opened_at at time zone 'UTC') desc);

do $$
begin
  if qs.role_profile() = 'REDUCED' then
    return;
  end if;
  -- The views run them with the rights of whoever reads.
  grant execute on function fit_numeric(numeric, int, int), fit_numerics(numeric[], int, int), fit_integer(numeric),
    fit_text(text, int), fit_texts(text[], int), stable_id(text), stable_uuid(text) to qs_engine, qs_app, qs_view;
  grant usage on schema quantsail_v7, paper_api, wallet_following, trading_platform, apextrade
    to qs_engine, qs_app, qs_view;
  -- Column by column: a new secret is not readable until somebody says so.
  grant select (id, email, role, full_name, first_name, last_name, timezone, preferred_currency, trading_mode, is_active,
    is_verified, verified_at, mfa_enabled, preferences, notification_preferences, created_at, updated_at, last_login_at,
    deleted_at) on users to qs_app, qs_view;
  grant select (id, user_id, exchange_id, label, environment, key_version, permissions, status, last_tested_at,
    last_test_result, last_used_at, request_count, created_by, created_at, updated_at, revoked_at, deleted_at)
    on exchange_credentials to qs_app, qs_view;
  grant select (id, user_id, name, db_type, host, port, database, username, ssl_config, status, last_tested_at,
    last_test_result, created_at, updated_at, deleted_at) on database_configs to qs_engine, qs_app, qs_view;
  grant select (seq, id, ts, user_id, action, resource_type, resource_id, old_values, new_values, ip_address, user_agent,
    trace_id, metadata) on audit_logs to qs_app, qs_view;
end $$;
