-- 0014 What the operator's own screen reads: the audit trail of this ledger's programs, and what retention would let go.
--
-- Programs write into the audit log without a user (keys, configs, retention). Those entries are about the whole
-- ledger, so the user whose ledger it is may read them; those of other users stay theirs alone. Hashes stay unreadable
-- (0011_contracts.sql): the chain is verified by the engine's role, which sees all of it.

do $$ begin
  if qs.role_profile() = 'REDUCED' then
    return;
  end if;
  create policy of_the_ledger on qs.audit_logs for select to qs_app, qs_view
    using (user_id is null and (select qs.app_user_id()) = (select user_id from qs.ledger));
  -- These say what a policy would let go; none of them changes anything, and dropping stays the engine's.
  grant execute on function qs.series_of(text), qs.rows_of(text, timestamptz, timestamptz), qs.partitions_of(text),
    qs.retention_cut(text, timestamptz) to qs_view;
end $$;

comment on column orders.role is
  'ENTRY, STOP, TRAILING_STOP, TAKE_PROFIT, TARGET_<n>, SIGNAL_EXIT, TIME_STOP, ADD, REDUCE, BY_HAND, FLATTEN or LIQUIDATION';
comment on column positions.close_reason is 'role of the order that closed it; TRAILING_STOP for a stop that has trailed';
