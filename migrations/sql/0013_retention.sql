-- 0013 Retention: the only functions that drop data, and what the archive is checked with.
--
-- The job (db/maintenance.py) runs as qs_engine. Dropping needs the owner, so it is done by functions that run
-- as the owner and judge for themselves what may go: whoever calls them can ask for less than the policy
-- allows, never for more.
--
-- Error code: QS005  kept: a rule, a hold or a need stands against dropping it; the message says which

-- What was dropped must never be made anew from what came later, or from the part that is left.
create table dropped_partitions (
  partition_name text not null,
  table_name text not null,
  since timestamptz not null,
  until timestamptz not null,
  rows_count bigint not null check (rows_count >= 0),
  size_bytes bigint not null check (size_bytes >= 0),
  subject text not null,
  dropped_at timestamptz not null default clock_timestamp(),
  primary key (partition_name, dropped_at),
  check (until > since)
);
create index dropped_partitions_range on dropped_partitions (table_name, since);
select describe('dropped_partitions', 'Partitions that retention dropped; bars over them are only made of all their minutes', $$
  partition_name | its name
  table_name     | series it was part of
  since          | first moment it was for
  until          | first moment after it
  rows_count     | rows that went
  size_bytes     | room that it took, with its indexes
  subject        | policy that said so
  dropped_at     | when
$$);

-- == what may go

-- The series that a policy is about: one-minute bars are a series of their own below candles.
create function series_of(p_subject text) returns text
language sql stable set search_path = qs, pg_catalog, pg_temp as $$
  select s.table_name from retention_policies p join series s
      on s.table_name = case when p.filter_value is null then p.table_name else p.table_name || '_' || p.filter_value end
   where p.subject = p_subject
$$;
comment on function series_of(text) is 'The partitioned table of a policy; none: its rows are in an ordinary one';

-- Which rows a policy is about, from one time to another, as a condition. Ends that are null stay open.
create function rows_of(p_subject text, p_since timestamptz, p_until timestamptz) returns text
language sql stable set search_path = qs, pg_catalog, pg_temp as $$
  select concat_ws(' and ', 'true',
                   case when filter_column is not null then format('%I = %L', filter_column, filter_value) end,
                   case when p_since is not null then format('%I >= %L', time_column, p_since) end,
                   case when p_until is not null then format('%I < %L', time_column, p_until) end)
    from retention_policies where subject = p_subject
$$;
comment on function rows_of(text, timestamptz, timestamptz) is 'Condition for the rows of a policy in a range of time';

-- Partitions of a series, whatever cuts it: the one place that a profile other than NATIVE must answer for, besides
-- drop_one below. PARTMAN makes ordinary partitions.
create function partitions_of(p_table text, out partition_name text, out since timestamptz, out until timestamptz,
                              out size_bytes bigint) returns setof record
language plpgsql stable set search_path = qs, pg_catalog, pg_temp as $$
begin
  if exists (select from series where table_name = p_table and profile = 'TIMESCALE') then
    return query execute 'select chunk_name::text, range_start, range_end,
        pg_total_relation_size(format(''%I.%I'', chunk_schema, chunk_name)::regclass)
      from timescaledb_information.chunks where hypertable_schema = ''qs'' and hypertable_name = $1 order by 2'
      using p_table;
    return;
  end if;
  return query
  select c.relname::text, b.bounds[1]::timestamptz, b.bounds[2]::timestamptz, pg_total_relation_size(c.oid)
    from pg_inherits i join pg_class c on c.oid = i.inhrelid,
         regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)') as b(bounds)
   where i.inhparent = to_regclass('qs.' || quote_ident(p_table)) and b.bounds is not null
   order by 2;
end $$;
comment on function partitions_of(text) is 'Partitions of a series with their bounds and size, the oldest first';

create function drop_one(p_table text, p_partition text) returns void
language plpgsql set search_path = qs, pg_catalog, pg_temp as $$
declare
  chunk record;
begin
  if (select profile from series where table_name = p_table) <> 'TIMESCALE' then
    execute format('drop table %I', p_partition);
    return;
  end if;
  -- A chunk is dropped by its time: what was compressed lives elsewhere, and the extension knows where.
  select * into strict chunk from partitions_of(p_table) where partition_name = p_partition;
  execute format('select %I.drop_chunks(%L::regclass, older_than => %L::timestamptz, newer_than => %L::timestamptz)',
    extension_schema('timescaledb'), 'qs.' || p_table, chunk.until, chunk.since);
end $$;
comment on function drop_one(text, text) is 'Drops a partition, as the profile of its series does; no questions asked';

-- A bar of history is needed as long as a position that was open then is open, and before that what warms the
-- indicators up: 5,000 bars are what the program keeps itself (engine.app.TAIL_BARS). By position and not by
-- symbol: one-minute bars of all symbols share their partitions.
create function retention_cut(p_subject text, p_now timestamptz, out cut timestamptz, out why text)
language plpgsql stable security definer set search_path = qs, pg_catalog, pg_temp as $$
declare
  warmup_bars constant int := 5000;
  policy record;
  bar interval;
  needed timestamptz;
begin
  select p.*, c.class into policy from retention_policies p join table_classes c using (table_name)
   where p.subject = p_subject;
  if not found then
    raise exception 'there is no policy %; known: %', p_subject,
      (select string_agg(subject, ', ' order by subject) from retention_policies) using errcode = '22023';
  end if;
  cut := '-infinity';
  if policy.hold then
    why := format('on hold since %s by %s: %s', policy.hold_since::date, policy.hold_by, policy.hold_reason);
  elsif not exists (select from ledger where mode in ('LIVE', 'PAPER') and feed like 'live:%') then
    why := 'SIM and replay ledgers are kept as they are';
  elsif policy.class not in ('SERIES', 'QUEUE') then
    why := 'archive only: the journal and what follows from it is never dropped';
  elsif policy.keep is null then
    why := 'for ever: ' || policy.basis;
  else
    cut := least(p_now, clock_timestamp()) - policy.keep;
    why := '';
    if policy.table_name = 'candles' then
      select length into bar from timeframes where name = policy.filter_value;
      select min(opened_at) - warmup_bars * bar into needed from positions where status = 'OPEN';
      if needed < cut then
        cut := needed;
        why := 'an open position needs bars since ' || to_char(needed, 'YYYY-MM-DD');
      end if;
      needed := least(p_now, clock_timestamp()) - warmup_bars * bar;
      if needed < cut and exists (select from bots where status <> 'STOPPED' and deleted_at is null) then
        cut := needed;
        why := format('running bots may warm up with %s bars', warmup_bars);
      end if;
    end if;
  end if;
end $$;
comment on function retention_cut(text, timestamptz)
  is 'Before which time a policy lets rows go, and what keeps more than its period';

-- Order of the rows does not matter, and both PostgreSQL and the archive can compute it: per column the number of
-- values, and the sum of the first 60 bits of the MD5 of each as text (times in microseconds, bytes in hex).
create function column_checksums(p_table text, p_where text) returns jsonb
language plpgsql stable set search_path = qs, pg_catalog, pg_temp as $$
declare
  parts text;
  found_sums jsonb;
begin
  select string_agg(
           -- An object for each: a function takes a hundred arguments at most, and tables have more than fifty columns.
           format($f$jsonb_build_object(%1$L, count(%2$I) || ':'
                    || coalesce(sum(('x' || left(md5(%3$s), 15))::bit(60)::bigint), 0))$f$,
                  attname, attname,
                  format(case atttypid when 'timestamptz'::regtype then '(extract(epoch from %I) * 1000000)::bigint::text'
                                       when 'bytea'::regtype then 'encode(%I, ''hex'')'
                                       else case when typelem <> 0 and typlen = -1 then 'to_jsonb(%I)::text'
                                                 else '%I::text' end
                         end, attname)), ' || ' order by attnum)
    into parts from pg_attribute join pg_type t on t.oid = atttypid
   where attrelid = format('qs.%I', p_table)::regclass and attnum > 0 and not attisdropped;
  execute format('select jsonb_build_object(''rows'', count(*)) || %s from %I where %s',
                 parts, p_table, p_where) into found_sums;
  return found_sums;
end $$;
comment on function column_checksums(text, text) is 'Rows, and per column values and sum of hashes, of the rows of a condition';

-- == dropping

create function drop_partition(p_subject text, p_partition text, p_now timestamptz) returns bigint
language plpgsql security definer set search_path = qs, pg_catalog, pg_temp as $$
declare
  allowed record;
  policy record;
  part record;
  top text := series_of(p_subject);
  inside text;
  rows_gone bigint;
begin
  select * into allowed from retention_cut(p_subject, p_now);
  select * into policy from retention_policies where subject = p_subject for share;
  select * into part from partitions_of(top) where partition_name = p_partition;
  if not found then
    raise exception '% is no partition of %', p_partition, p_subject using errcode = 'invalid_parameter_value';
  end if;
  if part.until > allowed.cut then
    raise exception '% is kept: %', p_partition, coalesce(nullif(allowed.why, ''), 'younger than ' || policy.keep)
      using errcode = 'QS005';
  end if;
  -- From here on nobody writes into it: what is checked is what is dropped.
  execute format('lock table only %I, %I in access exclusive mode', top, p_partition);
  inside := rows_of(p_subject, part.since, part.until);
  if top = 'candles_1m' then
    perform must_be_rolled_up(p_partition, part.since, part.until);
  end if;
  if policy.archive and not exists (
       select from archive_segments s where s.table_name = policy.table_name and s.partition_name = p_partition
          and s.verified_at is not null and s.checksums = column_checksums(policy.table_name, inside)) then
    raise exception '% is kept: not in the archive as it is now', p_partition using errcode = 'QS005';
  end if;
  execute format('select count(*) from %I', p_partition) into rows_gone;
  perform drop_one(top, p_partition);
  insert into dropped_partitions (partition_name, table_name, since, until, rows_count, size_bytes, subject)
  values (p_partition, top, part.since, part.until, rows_gone, part.size_bytes, p_subject);
  update archive_segments set dropped_at = clock_timestamp()
   where partition_name = p_partition and verified_at is not null and dropped_at is null;
  return rows_gone;
end $$;
comment on function drop_partition(text, text, timestamptz)
  is 'Drops a partition that its policy lets go, and returns its rows; QS005 when anything stands against it';

create function must_be_rolled_up(p_partition text, p_since timestamptz, p_until timestamptz) returns void
language plpgsql set search_path = qs, pg_catalog, pg_temp as $$
declare
  waiting bigint;
begin
  execute format('select count(*) from (select distinct exchange_id, symbol from %I) b left join rollup_watermarks w
      on w.exchange_id = b.exchange_id and w.symbol = b.symbol and w.timeframe = ''1w''
    where w.ts is null or w.ts < $1', p_partition) using p_until into waiting;
  waiting := waiting + (select count(*) from rollup_queue where since < p_until and until >= p_since);
  if waiting > 0 then
    raise exception '% is kept: longer bars are not made of it yet', p_partition using errcode = 'QS005';
  end if;
end $$;
comment on function must_be_rolled_up(text, timestamptz, timestamptz) is 'Raises QS005 while minutes wait for the roll-up';

-- Where rows of several policies share a table: some at a time, so that nobody waits long.
create function delete_expired(p_subject text, p_now timestamptz, p_limit int) returns bigint
language plpgsql security definer set search_path = qs, pg_catalog, pg_temp as $$
declare
  allowed record;
  policy record;
  gone bigint;
begin
  select * into allowed from retention_cut(p_subject, p_now);
  select * into policy from retention_policies where subject = p_subject for share;
  if policy.table_name not in ('candles', 'outbox') or series_of(p_subject) is not null or policy.archive then
    raise exception 'rows of % are kept: only whole partitions of it are dropped', p_subject using errcode = 'QS005';
  end if;
  if not isfinite(allowed.cut) then
    raise exception '% is kept: %', p_subject, allowed.why using errcode = 'QS005';
  end if;
  execute format('delete from %I where ctid = any (array(select ctid from %1$I where %s limit $1))',
                 case policy.table_name when 'candles' then 'candles_rest' else policy.table_name end,
                 rows_of(p_subject, null, allowed.cut)) using p_limit;
  get diagnostics gone = row_count;
  return gone;
end $$;
comment on function delete_expired(text, timestamptz, int)
  is 'Deletes at most so many rows that their policy lets go, and returns how many; QS005 when anything stands against it';

-- == classes and grants

insert into table_classes (table_name, class, origin) values
  ('dropped_partitions', 'REFERENCE', 'the retention job');
revoke all on function series_of(text), rows_of(text, timestamptz, timestamptz), partitions_of(text), drop_one(text, text),
  retention_cut(text, timestamptz), column_checksums(text, text), drop_partition(text, text, timestamptz),
  must_be_rolled_up(text, timestamptz, timestamptz), delete_expired(text, timestamptz, int) from public;

do $$ begin
  if qs.role_profile() = 'REDUCED' then
    return;
  end if;
  grant select on dropped_partitions to qs_engine, qs_app, qs_view;
  grant insert, update (verified_at) on archive_segments to qs_engine;
  grant update (hold, hold_reason, hold_by, hold_since) on retention_policies to qs_app;
  grant execute on function qs.series_of(text), qs.rows_of(text, timestamptz, timestamptz), qs.partitions_of(text),
    qs.retention_cut(text, timestamptz), qs.column_checksums(text, text) to qs_engine, qs_app;
  grant execute on function qs.drop_partition(text, text, timestamptz), qs.delete_expired(text, timestamptz, int)
    to qs_engine;
end $$;
