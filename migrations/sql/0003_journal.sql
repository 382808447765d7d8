-- 0003 Journal: the events, the head of their chain, the runs of the engine, and the audit log. What is
-- here is the truth; everything else follows from it. Nobody inserts into events or audit_logs directly:
-- the two append functions run as the owner, and they alone move a head, so that seq has no gaps and
-- follows the order of the commits.
--
-- Error codes of these functions (SQLSTATE):
--   QS001  fenced: the epoch is over, another engine has taken this ledger
--   QS002  conflict: the head of the log is not where the caller believes it to be
--   QS003  malformed: the arrays do not belong together, or the hashes are no chain
--   QS004  repeated: the head stands exactly where this batch would leave it, so the batch is durable already

-- == heads

-- Locked once per batch. A sequence would do for numbering, but commits are not in the order of a sequence,
-- and a reader with a cursor would lose events.
create table log_heads (
  log text primary key check (log in ('events', 'audit_logs')),
  seq bigint not null check (seq >= 0),
  hash bytea not null check (seq = 0 or octet_length(hash) = 32)
);
insert into log_heads (log, seq, hash) values ('events', 0, ''), ('audit_logs', 0, '');

create function head_forward() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'UPDATE' then
    if new.log = old.log and new.seq > old.seq then
      return new;
    end if;
  end if;
  raise exception 'the head of a log only goes forward' using errcode = 'restrict_violation';
end $$;
comment on function head_forward() is 'Trigger: a head only goes forward, and none is removed or added';
create trigger head_forward before insert or update or delete on log_heads
  for each row execute function head_forward();
create trigger head_forward_truncate before truncate on log_heads for each statement execute function head_forward();
alter table log_heads enable always trigger head_forward;
alter table log_heads enable always trigger head_forward_truncate;
select describe('log_heads', 'Where each chained log ends; locked while a batch is appended', $$
  log  | events or audit_logs
  seq  | last seq of the log, 0 when empty
  hash | hash of that row, 32 bytes; empty before the first
$$);

-- Appending to a chain needs its end, and its end must stay until the append: lock it, then read it.
create function lock_head(p_log text, out seq bigint, out hash bytea)
language sql security definer set search_path = qs, pg_catalog, pg_temp as $$
  select h.seq, h.hash from log_heads h where h.log = p_log for update
$$;
comment on function lock_head(text) is 'Locks the head of a log until the transaction ends; returns its seq and hash';

-- == runs

create table engine_runs (
  epoch bigint primary key check (epoch > 0),
  ledger_id text,
  host text not null,
  pid int not null,
  version text not null,
  started_at timestamptz not null default clock_timestamp(),
  heartbeat_at timestamptz,
  ended_at timestamptz,
  why text,
  recovery jsonb,
  check (ended_at is null or why is not null)
);
create unique index engine_runs_one_open on engine_runs ((true)) where ended_at is null;
select describe('engine_runs', 'Runs of the engine: facts about the process, kept out of the journal', $$
  epoch        | counts the runs; the newest one that has not ended may write
  ledger_id    | ledger it worked on
  host         | machine
  pid          | process
  version      | program version
  started_at   | start
  heartbeat_at | last sign of life
  ended_at     | end; final
  why          | why it ended
  recovery     | what the start had to repair
$$);

-- Ending a run is final: an ended epoch that came to life again would be two writers.
create function run_guard() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op <> 'UPDATE' or old.ended_at is not null
     or row(new.epoch, new.host, new.pid, new.started_at)
        is distinct from row(old.epoch, old.host, old.pid, old.started_at) then
    raise exception 'a run of the engine is history: % is refused', tg_op using errcode = 'restrict_violation';
  end if;
  return new;
end $$;
comment on function run_guard() is 'Trigger: what a run was, and that it ended, does not change';
create trigger run_guard before update or delete on engine_runs for each row execute function run_guard();
create trigger run_guard_truncate before truncate on engine_runs for each statement execute function run_guard();
alter table engine_runs enable always trigger run_guard;
alter table engine_runs enable always trigger run_guard_truncate;

-- Takes the head's lock, so that no append of the run before can be under way when the new epoch begins.
create function start_run(p_ledger_id text, p_host text, p_pid int, p_version text) returns bigint
language plpgsql security definer set search_path = qs, pg_catalog, pg_temp as $$
declare
  next_epoch bigint;
begin
  perform 1 from log_heads where log = 'events' for update;
  select coalesce(max(epoch), 0) + 1 into next_epoch from engine_runs;
  update engine_runs set ended_at = clock_timestamp(), why = 'did not end by itself; followed by epoch ' || next_epoch
   where ended_at is null;
  insert into engine_runs (epoch, ledger_id, host, pid, version)
  values (next_epoch, p_ledger_id, p_host, p_pid, p_version);
  return next_epoch;
end $$;
comment on function start_run(text, text, int, text) is 'Begins a run: ends the one before, returns the new epoch';

-- == events

-- No foreign key points out of it: history must not hinder, nor be changed by, what happens to other rows.
-- Partitioned by seq and not by time, so that seq alone stays the primary key.
create table events (
  seq bigint primary key check (seq > 0),
  id uuid not null,
  ts timestamptz not null,
  level text not null check (level in ('DEBUG', 'INFO', 'WARN', 'ERROR')),
  type text not null,
  symbol text,
  bot_id uuid,
  position_id uuid,
  actor text,
  payload jsonb not null,
  public_safe boolean not null,
  epoch bigint not null,
  causation_seq bigint not null check (causation_seq between 1 and seq),
  schema_version int not null check (schema_version > 0),
  recorded_at timestamptz not null,
  prev_hash bytea not null check (octet_length(prev_hash) = 32),
  hash bytea not null check (octet_length(hash) = 32)
) partition by range (seq);
create index events_ts on events (ts);
create index events_type on events (type, seq);
create index events_symbol on events (symbol, seq) where symbol is not null;
create index events_position on events (position_id, seq) where position_id is not null;
create index events_public on events (seq) where public_safe;
select guard_append_only('events');
select describe('events', 'The journal: facts in the order of their commits, chained by hash', $$
  seq            | 1, 2, 3 ... without gaps, in the order of the commits
  id             | UUIDv7 from ledger, cause and number within the cause
  ts             | time of the input that caused it
  level          | DEBUG, INFO, WARN or ERROR
  type           | kind of event
  symbol         | symbol it is about
  bot_id         | bot it is about
  position_id    | position it is about
  actor          | who caused it, where that is a person or a gate
  payload        | the event itself; canonical JSON when its keys are sorted
  public_safe    | may be shown to the public
  epoch          | run that wrote it; outside the hash
  causation_seq  | seq of the first event of the same cause
  schema_version | version of the payload's meaning
  recorded_at    | when it was written; outside the hash
  prev_hash      | hash of the event before, 32 bytes
  hash           | sha256 of prev_hash and the canonical row, 32 bytes
$$);

create function ensure_event_partition(p_seq bigint) returns text
language plpgsql security definer set search_path = qs, pg_catalog, pg_temp as $$
declare
  size constant bigint := 5000000;
  number bigint := p_seq / size;
  name text := 'events_p' || (p_seq / size);
begin
  if to_regclass('qs.' || name) is null then
    -- One creator at a time; whoever waited looks again, by a query: to_regclass may answer from a stale
    -- cache.
    perform pg_advisory_xact_lock(hashtextextended('qs.events partition', 0));
    if not exists (select from pg_class where relnamespace = 'qs'::regnamespace and relname = name) then
      execute format('create table %I partition of events for values from (%s) to (%s)',
                     name, number * size, (number + 1) * size);
      -- Row triggers come with the partition, statement triggers do not.
      execute format('create trigger append_only_truncate before truncate on %I
                      for each statement execute function append_only()', name);
      execute format('alter table %I enable always trigger append_only_truncate', name);
    end if;
  end if;
  return name;
end $$;
comment on function ensure_event_partition(bigint) is 'Makes the partition of a seq where there is none; its name';
select ensure_event_partition(1);

-- The hot path: one round trip per batch. p_prev_hash is the hash before the first event, p_hash that of
-- the last.
create function append_events(
  p_epoch bigint, p_expected_seq bigint, p_prev_hash bytea, p_hash bytea,
  p_ids uuid[], p_ts timestamptz[], p_levels text[], p_types text[], p_symbols text[], p_bot_ids uuid[],
  p_position_ids uuid[], p_actors text[], p_payloads jsonb[], p_public_safe boolean[], p_causation_seqs bigint[],
  p_schema_versions int[], p_prev_hashes bytea[], p_hashes bytea[]
) returns bigint
language plpgsql security definer set search_path = qs, pg_catalog, pg_temp as $$
declare
  n int := cardinality(p_ids);
  last_seq bigint := p_expected_seq + cardinality(p_ids);
  margin constant bigint := 500000;  -- partitions are made this many events ahead
  size constant bigint := 5000000;
  head record;
  run record;
begin
  if n = 0 or n is null or p_prev_hashes[1] is distinct from p_prev_hash or p_hashes[n] is distinct from p_hash
     or p_prev_hashes[2:] is distinct from p_hashes[:n - 1]
     or array[cardinality(p_ts), cardinality(p_levels), cardinality(p_types), cardinality(p_symbols),
              cardinality(p_bot_ids), cardinality(p_position_ids), cardinality(p_actors), cardinality(p_payloads),
              cardinality(p_public_safe), cardinality(p_causation_seqs), cardinality(p_schema_versions),
              cardinality(p_prev_hashes), cardinality(p_hashes)]
        is distinct from array_fill(n, array[13]) then
    raise exception 'the batch after seq % is malformed: arrays of one length and an unbroken chain are needed',
      p_expected_seq using errcode = 'QS003';
  end if;

  select h.seq, h.hash into head from log_heads h where h.log = 'events' for update;
  -- After the lock, so that a run that began meanwhile is seen.
  select r.epoch, r.ended_at into run from engine_runs r order by r.epoch desc limit 1;
  if run.epoch is distinct from p_epoch or run.ended_at is not null then
    raise exception 'epoch % may not write: the ledger is at epoch % (%)', p_epoch, coalesce(run.epoch, 0),
      case when run.epoch is null then 'none began' when run.ended_at is null then 'running' else 'ended' end
      using errcode = 'QS001';
  end if;
  if head.seq = last_seq and head.hash = p_hash then
    raise exception 'the batch % to % is in the journal already', p_expected_seq + 1, last_seq
      using errcode = 'QS004';
  end if;
  if head.seq <> p_expected_seq or (head.seq > 0 and head.hash <> p_prev_hash) then
    raise exception 'the journal is at seq %, the writer believes % (hash %)', head.seq, p_expected_seq,
      case when head.seq = 0 or head.hash = p_prev_hash then 'equal' else 'differs' end using errcode = 'QS002';
  end if;

  for number in (p_expected_seq + margin) / size + 1 .. (last_seq + margin) / size loop
    perform ensure_event_partition(number * size);
  end loop;
  insert into events (seq, id, ts, level, type, symbol, bot_id, position_id, actor, payload, public_safe, epoch,
                      causation_seq, schema_version, recorded_at, prev_hash, hash)
  select p_expected_seq + e.n, e.id, e.ts, e.level, e.type, e.symbol, e.bot_id, e.position_id, e.actor, e.payload,
         e.public_safe, p_epoch, e.causation_seq, e.schema_version, clock_timestamp(), e.prev_hash, e.hash
    from unnest(p_ids, p_ts, p_levels, p_types, p_symbols, p_bot_ids, p_position_ids, p_actors, p_payloads,
                p_public_safe, p_causation_seqs, p_schema_versions, p_prev_hashes, p_hashes) with ordinality
      as e (id, ts, level, type, symbol, bot_id, position_id, actor, payload, public_safe,
            causation_seq, schema_version, prev_hash, hash, n);
  update log_heads set seq = last_seq, hash = p_hash where log = 'events';
  perform pg_notify('qs_events', last_seq::text);
  return last_seq;
end $$;
comment on function append_events(bigint, bigint, bytea, bytea, uuid[], timestamptz[], text[], text[], text[], uuid[],
  uuid[], text[], jsonb[], boolean[], bigint[], int[], bytea[], bytea[])
  is 'Appends a batch and moves the head; QS001 fenced, QS002 conflict, QS003 malformed, QS004 repeated';

-- == audit

create table audit_logs (
  seq bigint primary key check (seq > 0),
  id uuid not null,
  ts timestamptz not null,
  user_id uuid,
  action text not null,
  resource_type text not null,
  resource_id uuid,
  old_values jsonb,
  new_values jsonb,
  ip_address inet,
  user_agent text,
  trace_id text,
  metadata jsonb,
  prev_hash bytea not null check (octet_length(prev_hash) = 32),
  hash bytea not null check (octet_length(hash) = 32)
);
create index audit_logs_resource on audit_logs (resource_type, resource_id);
create index audit_logs_action on audit_logs (action, seq);
create index audit_logs_ts on audit_logs (ts);
create index audit_logs_user on audit_logs (user_id, seq) where user_id is not null;
create index audit_logs_trace on audit_logs (trace_id) where trace_id is not null;
select guard_append_only('audit_logs');
select describe('audit_logs', 'What people and programs did, chained like the journal', $$
  seq           | 1, 2, 3 ... without gaps
  id            | UUIDv7
  ts            | when it was done
  user_id       | who did it; no foreign key, it outlives the user
  action        | what was done
  resource_type | kind of thing it was done to
  resource_id   | which one
  old_values    | values before
  new_values    | values after; never a secret
  ip_address    | from where
  user_agent    | with which program
  trace_id      | what ties the entries of one request together
  metadata      | whatever else belongs to it
  prev_hash     | hash of the entry before, 32 bytes
  hash          | sha256 of prev_hash and the canonical row, 32 bytes
$$);

-- Call lock_head('audit_logs') first in the same transaction: hash over what it returns, then append.
create function append_audit(
  p_expected_seq bigint, p_prev_hash bytea, p_hash bytea, p_id uuid, p_ts timestamptz, p_user_id uuid, p_action text,
  p_resource_type text, p_resource_id uuid, p_old_values jsonb, p_new_values jsonb, p_ip_address inet,
  p_user_agent text, p_trace_id text, p_metadata jsonb
) returns bigint
language plpgsql security definer set search_path = qs, pg_catalog, pg_temp as $$
declare
  head record;
begin
  select h.seq, h.hash into head from log_heads h where h.log = 'audit_logs' for update;
  if head.seq is distinct from p_expected_seq or (head.seq > 0 and head.hash is distinct from p_prev_hash) then
    raise exception 'the audit log is at seq %, the writer believes %', head.seq, p_expected_seq
      using errcode = 'QS002', hint = 'call lock_head first, in the same transaction';
  end if;
  insert into audit_logs (seq, id, ts, user_id, action, resource_type, resource_id, old_values, new_values, ip_address,
                          user_agent, trace_id, metadata, prev_hash, hash)
  values (head.seq + 1, p_id, p_ts, p_user_id, p_action, p_resource_type, p_resource_id, p_old_values, p_new_values,
          p_ip_address, p_user_agent, p_trace_id, p_metadata, p_prev_hash, p_hash);
  update log_heads set seq = head.seq + 1, hash = p_hash where log = 'audit_logs';
  return head.seq + 1;
end $$;
comment on function append_audit(bigint, bytea, bytea, uuid, timestamptz, uuid, text, text, uuid, jsonb, jsonb, inet,
  text, text, jsonb) is 'Appends one entry to the audit log and moves its head; QS002 when the head is elsewhere';

-- == snapshots and commands

create table snapshots (
  seq bigint primary key check (seq > 0),
  state_hash text not null check (state_hash ~ '^[0-9a-f]{64}$'),
  ledger jsonb not null,
  created_at timestamptz not null default clock_timestamp()
);
select describe('snapshots', 'Folded ledgers: a start reads the newest and only the events after it', $$
  seq        | last event folded in
  state_hash | sha256 of the canonical ledger, hex
  ledger     | the ledger
  created_at | when it was taken
$$);

create table commands (
  id uuid primary key,
  verb text not null check (verb in ('HOLD', 'RELEASE', 'PAUSE', 'CANCEL', 'FLATTEN', 'HALT', 'RESUME',
                                     'ACTIVATE_CONFIG', 'START_BOT', 'STOP_BOT', 'CLOSE_POSITION', 'CANCEL_ORDER')),
  args jsonb not null default '{}',
  actor text not null,
  reason text,
  created_at timestamptz not null default clock_timestamp(),
  taken_at timestamptz,
  done_at timestamptz,
  status text not null default 'PENDING' check (status in ('PENDING', 'TAKEN', 'DONE', 'REFUSED')),
  result jsonb,
  check (status not in ('TAKEN', 'DONE') or taken_at is not null),
  check ((status in ('DONE', 'REFUSED')) = (done_at is not null))
);
create index commands_waiting on commands (created_at, id) where status in ('PENDING', 'TAKEN');
select describe('commands', 'What an operator asks of the engine from another process', $$
  id         | UUIDv7, made by who asks: asking twice is asking once
  verb       | the kill key's, a stop, RESUME, ACTIVATE_CONFIG, or what one bot, position or order is to do
  args       | arguments of the verb: version, policy, and target, the bot, position or order that it speaks to
  actor      | who asks
  reason     | why
  created_at | when it was asked
  taken_at   | when the engine took it up
  done_at    | when the engine was done with it
  status     | PENDING, TAKEN, DONE or REFUSED
  result     | what came of it
$$);

-- What was asked does not change, and an answer is final. NOTIFY wakes the engine; it polls all the same.
create function command_guard() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'INSERT' then
    if new.status <> 'PENDING' then
      raise exception 'a command begins as PENDING' using errcode = 'restrict_violation';
    end if;
    perform pg_notify('qs_commands', new.id::text);
    return new;
  end if;
  if old.status in ('DONE', 'REFUSED') or (old.status = 'TAKEN' and new.status = 'PENDING')
     or row(new.id, new.verb, new.args, new.actor, new.reason, new.created_at)
        is distinct from row(old.id, old.verb, old.args, old.actor, old.reason, old.created_at) then
    raise exception 'command % (%) is %: it cannot be changed to %', old.id, old.verb, old.status, new.status
      using errcode = 'restrict_violation';
  end if;
  if new.status in ('DONE', 'REFUSED') then
    perform pg_notify('qs_commands_done', new.id::text);
  end if;
  return new;
end $$;
comment on function command_guard() is 'Trigger: commands go forward only; NOTIFY qs_commands, qs_commands_done';
create trigger command_guard before insert or update on commands for each row execute function command_guard();
alter table commands enable always trigger command_guard;
