"""What somebody with enough rights may do to the schema, and how `db check` begins the line that names it."""

from __future__ import annotations

#: What it is -> the statement, the beginning of the line.
FORGERIES = {
    "a disabled trigger": (
        "alter table qs.fills disable trigger append_only",
        "trigger append_only on fills: enabled ALWAYS -> disabled",
    ),
    "a guard that replicas pass": (
        "alter table qs.audit_logs enable trigger append_only",
        "trigger append_only on audit_logs: enabled ALWAYS -> enabled",
    ),
    "a dropped trigger": ("drop trigger append_only on qs.fills", "trigger append_only on fills: gone"),
    "an extra trigger": (
        "create trigger mine before insert on qs.fills for each row execute function qs.touch()",
        "trigger mine on fills: not part of the schema",
    ),
    "a dropped check": (
        "alter table qs.portfolios drop constraint portfolios_initial_balance_check",
        "constraint portfolios_initial_balance_check on portfolios: gone",
    ),
    "a check that old rows pass": (
        "alter table qs.signals drop constraint signals_side_check;"
        " alter table qs.signals add constraint signals_side_check check (side in ('BUY', 'SELL')) not valid",
        "constraint signals_side_check on signals: valid -> not valid",
    ),
    "a foreign key that is not enforced": (
        "alter table qs.fills disable trigger all; alter table qs.fills enable always trigger append_only;"
        " alter table qs.fills enable always trigger append_only_truncate",
        "constraint fills_order_id_fkey on fills: enforced -> enforcement disabled",
    ),
    "another predicate of a partial index": (
        "drop index qs.bot_config_one_active;"
        " create unique index bot_config_one_active on qs.bot_config_versions (is_active) where not is_active",
        "index bot_config_one_active on bot_config_versions: CREATE UNIQUE INDEX",
    ),
    "an invalid index": (
        "update pg_index set indisvalid = false where indexrelid = 'qs.fills_symbol'::regclass",
        "index fills_symbol on fills: valid -> invalid",
    ),
    "a granted privilege": (
        "grant update on qs.fills to qs_engine",
        "privileges of qs_engine on fills: INSERT, SELECT -> INSERT, SELECT, UPDATE",
    ),
    "a privilege of everyone": (
        "grant select on qs.exchange_credentials to public",
        "privileges of PUBLIC on exchange_credentials: not part of the schema (SELECT)",
    ),
    "a privilege on one column": (
        "grant update (price) on qs.fills to qs_engine",
        "privileges of qs_engine on fills.price: not part of the schema (UPDATE)",
    ),
    "a revoked privilege": ("revoke select on qs.orders from qs_view", "privileges of qs_view on orders: gone"),
    "a replaced function": (
        "create or replace function qs.append_only() returns trigger language plpgsql"
        " set search_path = pg_catalog, pg_temp as $$ begin return new; end $$",
        "function append_only(): body ",
    ),
    "a function with a search path of its own": (
        "alter function qs.append_only() reset search_path",
        "function append_only(): with search_path=pg_catalog, pg_temp -> with no settings",
    ),
    "a privilege on a function": (
        "grant execute on function qs.empty_projections() to qs_engine",
        "privileges of qs_engine on function empty_projections(): not part of the schema (EXECUTE)",
    ),
    "a rule that swallows rows": (
        "create rule lost as on insert to qs.orders do instead nothing",
        "rule lost on orders: not part of the schema",
    ),
    "an operator that is found first": (
        "create operator qs.= (leftarg = text, rightarg = text, function = pg_catalog.textne)",
        "operator =(text, text): not part of the schema",
    ),
    "another default": (
        "alter table qs.exchange_credentials alter permissions set default '{READ,WITHDRAW}'",
        "column exchange_credentials.permissions: default '{READ}'::text[] -> default '{READ,WITHDRAW}'::text[]",
    ),
    "a column that may be null": (
        "alter table qs.fills alter price drop not null",
        "column fills.price: not null -> null",
    ),
    "another type": (
        "alter table qs.capability alter detail type varchar(200)",
        "column capability.detail: text -> character varying(200)",
    ),
    "an extra column": (
        "alter table qs.orders add hidden text",
        "column orders.hidden: not part of the schema",
    ),
    "an extra table": ("create table qs.mine (a int)", "table mine: not part of the schema"),
    "another owner": (
        "create role mallory; alter table qs.fills owner to mallory",
        "table fills: owner of qs -> owner mallory",
    ),
    "a table that loses rows in a crash": (
        "alter table qs.snapshots set unlogged",
        "table snapshots: ",
    ),
    "a table without a class": (
        "delete from qs.table_classes where table_name = 'fills'",
        "table fills has no class",
    ),
    "a class without a table": (
        "insert into qs.table_classes values ('ghosts', 'QUEUE', 'nobody')",
        "class of ghosts, which is no table",
    ),
    "a role above row security": (
        "alter role qs_engine bypassrls",
        "role qs_engine: under row security -> bypasses row security",
    ),
    "an engine that is the owner": (
        "grant qs_owner to qs_engine",
        "role qs_engine: member of none -> member of qs_owner",
    ),
    "privileges of tables to come": (
        "alter default privileges for role qs_owner in schema qs grant all on tables to public",
        "default privileges of qs_owner in qs, r: not part of the schema",
    ),
    "a schema that changes hands": (
        "create role mallory; grant create on database {database} to mallory; alter schema qs owner to mallory",
        "role profile: FULL -> REDUCED",
    ),
    "a dropped policy": ("drop policy mine on qs.fills", "policy mine on fills: gone"),
    "a policy that lets everyone see": (
        "alter policy mine on qs.fills using (true)",
        "policy mine on fills: using (user_id = ",
    ),
    "a policy for others": (
        "alter policy everyones on qs.fills to public",
        "policy everyones on fills: to qs_engine, qs_owner -> to PUBLIC",
    ),
    "row security that the owner passes": (
        "alter table qs.orders no force row level security",
        "table orders: forced -> not forced",
    ),
    "no row security": (
        "alter table qs.orders disable row level security",
        "table orders: row security on -> row security off",
    ),
    "a partition with a disabled trigger": (
        "alter table qs.events_p0 disable trigger append_only",
        "partition events_p0 of events: trigger append_only: enabled ALWAYS -> disabled",
    ),
    "a partition without its truncate guard": (
        "drop trigger append_only_truncate on qs.events_p0",
        "partition events_p0 of events: trigger append_only_truncate is gone",
    ),
    "a partition with a trigger of its own": (
        "create trigger mine before insert on qs.events_p0 for each row execute function qs.touch()",
        "partition events_p0 of events: trigger mine is not part of the schema",
    ),
    "a way around the parent": (
        "grant update on qs.events_p0 to qs_engine",
        "partition events_p0 of events: qs_engine has UPDATE on it directly",
    ),
    "a partition of somebody else": (
        "create role mallory; alter table qs.events_p0 owner to mallory",
        "partition events_p0 of events: belongs to mallory",
    ),
    "a partition with a rule": (
        "create rule lost as on insert to qs.events_p0 do instead nothing",
        "partition events_p0 of events: rule lost is not part of the schema",
    ),
    "a partition without its check": (
        "delete from pg_constraint where conrelid = 'qs.events_p0'::regclass and conname = 'events_level_check'",
        "partition events_p0 of events: constraint events_level_check is gone",
    ),
    "a partition without a valid index": (
        "update pg_index set indisvalid = false where indexrelid = 'qs.events_p0_pkey'::regclass",
        "partition events_p0 of events: index events_pkey has no valid counterpart",
    ),
    "a table that hangs below another": (
        "create table public.extra () inherits (qs.orders)",
        "partition extra of orders: is a table of schema public",
    ),
    "a table that was taken out": (
        "alter table qs.events detach partition qs.events_p0",
        "table events_p0: not part of the schema",
    ),
}
