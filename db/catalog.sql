-- The catalog in named parts, for `db.fingerprint`. Every query answers rows of (part, attributes): a name that a person
-- understands ("trigger append_only on fills") and a text[] of what makes it up; NULL attributes are left out. Partitions are
-- not here, but for those that are partitioned in turn: they come and go with the data, and `partitions` holds each against
-- its parent. Run with search_path = pg_catalog, so that every name comes out qualified, and no operator of somebody else's
-- answers instead of PostgreSQL's. `scope` stands in front of every other query but `settings` and `variant`.

-- name: settings
-- What the text of an expression depends on, for this transaction.
select pg_catalog.set_config('search_path', 'pg_catalog', true), pg_catalog.set_config('timezone', 'UTC', true),
  pg_catalog.set_config('datestyle', 'ISO', true), pg_catalog.set_config('quote_all_identifiers', 'off', true);

-- name: scope
with scope as (
  select n.oid, n.nspname, n.nspowner, n.nspacl, case n.nspname when 'qs' then '' else n.nspname || '.' end as prefix,
    (select q.nspowner from pg_namespace q where q.nspname = 'qs') as qs_owner
  from pg_namespace n
  where n.nspname in ('qs', 'quantsail_v7', 'paper_api', 'wallet_following', 'trading_platform', 'apextrade')
), relation as (
  select c.*, s.prefix || c.relname as called, s.qs_owner from pg_class c join scope s on s.oid = c.relnamespace
  where not (c.relispartition and c.relkind = 'r') and not exists (
    select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
), routine as (
  select p.*, s.qs_owner, s.prefix || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' as called
  from pg_proc p join scope s on s.oid = p.pronamespace
  where not exists (
    select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
), granted as (
  select c.called as object, c.relowner as owner, c.qs_owner, a.*
  from relation c, aclexplode(c.relacl) a where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
  union all
  select c.called || '.' || t.attname, c.relowner, c.qs_owner, a.*
  from relation c join pg_attribute t on t.attrelid = c.oid, aclexplode(t.attacl) a
  union all
  select 'function ' || p.called, p.proowner, p.qs_owner, a.*
  from routine p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
  union all
  select 'schema ' || s.nspname, s.nspowner, s.qs_owner, a.* from scope s, aclexplode(s.nspacl) a
)

-- name: schemas
select 'schema ' || s.nspname,
  array['owner ' || case s.nspowner when s.qs_owner then 'of qs' else pg_get_userbyid(s.nspowner) end]
from scope s;

-- name: relations
select case c.relkind when 'v' then 'view ' when 'm' then 'materialized view ' when 'S' then 'sequence '
    when 'f' then 'foreign table ' when 'c' then 'type ' else 'table ' end || c.called,
  array['owner ' || case c.relowner when c.qs_owner then 'of qs' else pg_get_userbyid(c.relowner) end,
    case c.relpersistence when 'p' then null else 'not logged' end,
    case when c.relkind in ('r', 'p') then
      case when c.relrowsecurity then 'row security on' else 'row security off' end end,
    case when c.relkind in ('r', 'p') then case when c.relforcerowsecurity then 'forced' else 'not forced' end end,
    'partitioned by ' || pg_get_partkeydef(c.oid),
    (select 'inherits ' || string_agg(i.inhparent::regclass::text, ', ' order by i.inhseqno)
       from pg_inherits i where i.inhrelid = c.oid),
    -- Of tables these are settings of storage, which an administrator may tune.
    case when c.relkind in ('v', 'm') then 'options ' || coalesce(array_to_string(c.reloptions, ', '), 'none') end]
from relation c where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c');

-- name: privileges
-- What the owner has goes without saying; what others have is named one by one.
select format('privileges of %s on %s', case g.grantee when 0 then 'PUBLIC' else pg_get_userbyid(g.grantee) end, g.object),
  array[string_agg(g.privilege_type || case when g.is_grantable then ' WITH GRANT OPTION' else '' end
    || case g.grantor when g.owner then '' else ' from ' || pg_get_userbyid(g.grantor) end, ', '
    order by g.privilege_type, g.is_grantable, g.grantor)]
from granted g where g.grantee <> g.owner group by g.grantee, g.object;

-- name: columns
select 'column ' || c.called || '.' || a.attname,
  array[format_type(a.atttypid, a.atttypmod),
    case when a.attcollation <> t.typcollation then 'collate ' || a.attcollation::regcollation::text end,
    case when a.attnotnull then 'not null' else 'null' end,
    case a.attgenerated when '' then case a.attidentity when 'a' then 'identity always' when 'd' then 'identity' end
      when 's' then 'generated' else 'generated virtual' end,
    coalesce('default ' || pg_get_expr(d.adbin, d.adrelid), 'no default')]
from relation c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relkind in ('r', 'p', 'f')
union all
select 'columns of ' || c.called,
  array[string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum)]
from relation c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind in ('v', 'm', 'c') group by c.called;

-- name: constraints
-- NOT NULL is a fact of the column; 18 keeps it as a constraint, too. Foreign keys are enforced by hidden triggers, which
-- a superuser can switch off.
select format('constraint %s on %s', k.conname, c.called),
  array[case when k.convalidated then 'valid' else 'not valid' end,
    case when k.contype = 'f' then case when exists (
        select from pg_trigger t where t.tgconstraint = k.oid and t.tgisinternal and t.tgenabled <> 'O')
      then 'enforcement disabled' else 'enforced' end end,
    pg_get_constraintdef(k.oid)]
from pg_constraint k join relation c on c.oid = k.conrelid where k.contype <> 'n' and k.conparentid = 0;

-- name: indexes
select format('index %s on %s', x.relname, c.called),
  array[case when i.indisvalid and i.indisready and i.indislive then 'valid' else 'invalid' end, pg_get_indexdef(x.oid)]
from pg_index i join relation c on c.oid = i.indrelid join pg_class x on x.oid = i.indexrelid;

-- name: triggers
select format('trigger %s on %s', t.tgname, c.called),
  array[case t.tgenabled when 'O' then 'enabled' when 'A' then 'enabled ALWAYS' when 'R' then 'enabled REPLICA'
    else 'disabled' end, pg_get_triggerdef(t.oid)]
from pg_trigger t join relation c on c.oid = t.tgrelid where not t.tgisinternal;

-- name: policies
select format('policy %s on %s', p.polname, c.called),
  array[case when p.polpermissive then 'permissive' else 'restrictive' end,
    'for ' || case p.polcmd when 'r' then 'SELECT' when 'a' then 'INSERT' when 'w' then 'UPDATE' when 'd' then 'DELETE'
      else 'ALL' end,
    'to ' || (select string_agg(case r when 0 then 'PUBLIC' else pg_get_userbyid(r) end, ', '
      order by case r when 0 then 'PUBLIC' else pg_get_userbyid(r) end) from unnest(p.polroles) r),
    'using ' || pg_get_expr(p.polqual, p.polrelid), 'check ' || pg_get_expr(p.polwithcheck, p.polrelid)]
from pg_policy p join relation c on c.oid = p.polrelid;

-- name: rules
select case when r.rulename = '_RETURN' then 'definition of ' || c.called else format('rule %s on %s', r.rulename, c.called) end,
  array[case r.ev_enabled when 'O' then 'enabled' when 'A' then 'enabled ALWAYS' when 'R' then 'enabled REPLICA'
      else 'disabled' end,
    case when r.rulename = '_RETURN' then pg_get_viewdef(c.oid) else pg_get_ruledef(r.oid) end]
from pg_rewrite r join relation c on c.oid = r.ev_class;

-- name: functions
select 'function ' || p.called,
  array['owner ' || case p.proowner when p.qs_owner then 'of qs' else pg_get_userbyid(p.proowner) end,
    case when p.prosecdef then 'security definer' else 'security invoker' end,
    concat_ws(' ', l.lanname, case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
      case p.proparallel when 's' then 'parallel safe' when 'r' then 'parallel restricted' end,
      case when p.proisstrict then 'strict' end, case when p.proleakproof then 'leakproof' end),
    'arguments ' || pg_get_function_arguments(p.oid), 'returns ' || pg_get_function_result(p.oid),
    'with ' || coalesce(array_to_string(p.proconfig, '; '), 'no settings'),
    'body ' || coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)]
from routine p join pg_language l on l.oid = p.prolang;

-- name: strangers
-- Kinds of objects that the schema has none of. In a schema that is searched first, an operator would take the place of
-- PostgreSQL's own.
select format('operator %s%s(%s, %s)', s.prefix, o.oprname, format_type(o.oprleft, null), format_type(o.oprright, null)),
  array['calls ' || o.oprcode::text]
from pg_operator o join scope s on s.oid = o.oprnamespace
where not exists (
  select from pg_depend d where d.classid = 'pg_operator'::regclass and d.objid = o.oid and d.deptype = 'e')
union all
select 'type ' || s.prefix || t.typname, array[t.typtype::text]
from pg_type t join scope s on s.oid = t.typnamespace
where t.typtype <> 'c' and t.typcategory <> 'A' and not exists (
  select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e')
union all
select format('default privileges of %s in %s, %s', pg_get_userbyid(d.defaclrole), coalesce(s.nspname, 'every schema'),
    d.defaclobjtype), array[d.defaclacl::text]
from pg_default_acl d left join scope s on s.oid = d.defaclnamespace
where s.oid is not null or (d.defaclnamespace = 0 and pg_get_userbyid(d.defaclrole) = 'qs_owner');

-- name: roles
-- Who may log in is the installation's affair; what the roles of the schema are is ours.
select 'role ' || r.rolname,
  array[case when r.rolsuper then 'superuser' else 'no superuser' end,
    case when r.rolbypassrls then 'bypasses row security' else 'under row security' end,
    case when r.rolcanlogin then 'may log in' else 'no login' end,
    case when r.rolcreaterole or r.rolcreatedb or r.rolreplication then 'creates roles or databases' end,
    'member of ' || coalesce((select string_agg(distinct pg_get_userbyid(m.roleid)::text, ', ')
      from pg_auth_members m where m.member = r.oid), 'none')]
from pg_roles r
where r.rolname in ('qs_owner', 'qs_engine', 'qs_app', 'qs_view')
  and exists (select from scope s where pg_get_userbyid(s.qs_owner) = 'qs_owner');

-- name: partitions
-- What a partition has that its parent has not, or the other way round; each answer is one complete line.
, part as (
  select c.oid, c.relname, c.relowner, c.relacl, c.relpersistence, i.inhparent, c.relispartition,
    c.relnamespace = p.relnamespace as at_home, n.nspname, coalesce((to_jsonb(i) ->> 'inhdetachpending')::boolean, false) as leaving,
    p.called as parent, p.relowner as parent_owner, p.relpersistence as parent_persistence
  from pg_inherits i join relation p on p.oid = i.inhparent and p.relkind in ('r', 'p')
    join pg_class c on c.oid = i.inhrelid join pg_namespace n on n.oid = c.relnamespace
  where n.nspname <> '_timescaledb_internal'
), guard as (
  select t.tgrelid, t.tgname, t.tgfoid, t.tgtype, t.tgenabled,
    case t.tgenabled when 'O' then 'enabled' when 'A' then 'enabled ALWAYS' when 'R' then 'enabled REPLICA'
      else 'disabled' end as state
  -- One that sees the rows of a statement fires on the table that the statement names: partitions have none.
  from pg_trigger t where not t.tgisinternal and t.tgnewtable is null and t.tgoldtable is null
)
select format('partition %s of %s: %s', p.relname, p.parent, said.what) from part p, lateral (
  select format('trigger %s is gone', g.tgname) as what from guard g where g.tgrelid = p.inhparent and not exists (
    select from guard h where h.tgrelid = p.oid and h.tgname = g.tgname)
  union all
  select format('trigger %s is not part of the schema', h.tgname) from guard h where h.tgrelid = p.oid and not exists (
    select from guard g where g.tgrelid = p.inhparent and g.tgname = h.tgname)
  union all
  select case when g.tgfoid = h.tgfoid and g.tgtype = h.tgtype
      then format('trigger %s: %s -> %s', g.tgname, g.state, h.state)
      else format('trigger %s is another one', g.tgname) end
  from guard g join guard h on h.tgname = g.tgname and h.tgrelid = p.oid
  where g.tgrelid = p.inhparent
    and (g.tgfoid, g.tgtype, g.tgenabled) is distinct from (h.tgfoid, h.tgtype, h.tgenabled)
  union all
  select format('constraint %s is gone', k.conname) from pg_constraint k
  where k.conrelid = p.inhparent and k.contype <> 'n' and not exists (
    select from pg_constraint u where u.oid = k.conparentid and u.conrelid = k.conrelid) and not exists (
    select from pg_constraint h where h.conrelid = p.oid and h.convalidated and h.contype = k.contype
      and (h.conparentid = k.oid or (k.contype = 'c' and h.conname = k.conname
        and pg_get_constraintdef(h.oid) = pg_get_constraintdef(k.oid))))
  union all
  select format('enforcement of constraint %s is disabled', k.conname) from pg_constraint k
  where k.conrelid = p.oid and exists (
    select from pg_trigger t where t.tgconstraint = k.oid and t.tgisinternal and t.tgenabled <> 'O')
  union all
  select format('index %s has no valid counterpart', x.relname)
  from pg_index i join pg_class x on x.oid = i.indexrelid
  where i.indrelid = p.inhparent and not exists (
    select from pg_inherits a join pg_index j on j.indexrelid = a.inhrelid
    where a.inhparent = i.indexrelid and j.indrelid = p.oid and j.indisvalid and j.indisready and j.indislive)
  union all
  select format('rule %s is not part of the schema', r.rulename) from pg_rewrite r where r.ev_class = p.oid
  union all
  -- Nobody needs a way around the parent: its privileges and its row security would not hold there.
  select format('%s has %s on it directly', case a.grantee when 0 then 'PUBLIC' else pg_get_userbyid(a.grantee) end,
    string_agg(a.privilege_type, ', ' order by a.privilege_type))
  from (
    select e.* from aclexplode(p.relacl) e
    union all
    select e.* from pg_attribute t, aclexplode(t.attacl) e where t.attrelid = p.oid
  ) a where a.grantee <> p.relowner group by a.grantee
  union all
  select 'belongs to ' || pg_get_userbyid(p.relowner) where p.relowner <> p.parent_owner
  union all
  select 'is not logged' where p.relpersistence <> p.parent_persistence
  union all
  select 'is being detached' where p.leaving
  union all
  select format('is a table of schema %s', p.nspname) where not p.at_home
  union all
  select 'inherits without being a partition' where not p.relispartition
) said order by 1;

-- name: unclassed
, named as (
  select c.relname::text as table_name from relation c
  where c.relnamespace = 'qs'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
)
select case when t.table_name is null then format('table %s has no class', n.table_name)
  else format('class of %s, which is no table', t.table_name) end
from named n full join qs.table_classes t using (table_name) where n.table_name is null or t.table_name is null order by 1;

-- name: ahead
-- Series of a live ledger that soon have nowhere to put the next row; replays and simulations make partitions as they go.
select format('%s has %s of %s partitions ready ahead: run `quantsail db maintain`', s.table_name, ready.n, s.ahead)
from qs.series s cross join lateral (
  select count(*) as n
  from pg_inherits i join pg_class h on h.oid = i.inhrelid
  where i.inhparent = to_regclass(format('qs.%I', s.table_name))
    and substring(pg_get_expr(h.relpartbound, h.oid) from $$FROM \('([^']+)'\)$$)::timestamptz > now()
) ready
where s.profile <> 'TIMESCALE' and ready.n < s.ahead and exists (select from qs.ledger where feed like 'live:%') order by 1;

-- name: variant
select (current_setting('server_version_num')::int / 10000)::text as major, qs.role_profile() as profile,
  (select string_agg(name || '=' || value, ' ' order by name) from qs.capability where name <> 'ROLES' and value <> 'NATIVE')
    as capabilities,
  (select value from qs.capability where name = 'ROLES') as profile_then;
