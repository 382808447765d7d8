-- What docs/schema.md is made of (db/schema_page.py). Runs with search_path = pg_catalog, like catalog.sql.

-- name: tables
select c.relname::text as name, obj_description(c.oid) as said, t.class, t.origin, pg_get_partkeydef(c.oid) as partitioned,
  c.relrowsecurity as row_security,
  array(select g.tgname::text from pg_trigger g where g.tgrelid = c.oid and not g.tgisinternal order by 1) as guards
from pg_class c left join qs.table_classes t on t.table_name = c.relname
where c.relnamespace = 'qs'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1;

-- name: columns
select c.relname::text as table_name, a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as required,
  case a.attidentity when '' then pg_get_expr(d.adbin, d.adrelid) else 'identity' end as preset,
  col_description(c.oid, a.attnum) as said
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relnamespace = 'qs'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1, a.attnum;

-- name: constraints
select c.relname::text as table_name, k.contype::text as kind, pg_get_constraintdef(k.oid) as definition
from pg_constraint k join pg_class c on c.oid = k.conrelid
where c.relnamespace = 'qs'::regnamespace and not c.relispartition and k.contype <> 'n' and k.conparentid = 0
order by 1, strpos('pufcxt', k.contype::text), k.conname;

-- name: indexes
select c.relname::text as table_name, x.relname::text as name, pg_get_indexdef(x.oid) as definition
from pg_index i join pg_class x on x.oid = i.indexrelid join pg_class c on c.oid = i.indrelid
where c.relnamespace = 'qs'::regnamespace and not c.relispartition and c.relkind in ('r', 'p')
  and not exists (select from pg_constraint k where k.conindid = x.oid and k.conrelid = c.oid)
order by 1, 2;

-- name: keys
-- Foreign keys, for the diagrams. `required`: the child always has a parent; `one`: at most one child.
select c.relname::text as child, p.relname::text as parent, a.names as columns, a.required,
  exists (select from pg_index i where i.indrelid = c.oid and i.indisunique and i.indpred is null
    and i.indkey::int2[] @> k.conkey and i.indkey::int2[] <@ k.conkey) as one
from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_class p on p.oid = k.confrelid,
  lateral (select string_agg(t.attname, ', ' order by t.attnum) as names, bool_and(t.attnotnull) as required
    from pg_attribute t where t.attrelid = c.oid and t.attnum = any (k.conkey)) a
where k.contype = 'f' and c.relnamespace = 'qs'::regnamespace and not c.relispartition and k.conparentid = 0 order by 1, 2, 3;

-- name: views
select n.nspname::text as schema, c.relname::text as name, obj_description(c.oid) as said,
  (select string_agg(a.attname, ', ' order by a.attnum) from pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('v', 'm') and n.nspname in
  ('qs', 'quantsail_v7', 'paper_api', 'wallet_following', 'trading_platform', 'apextrade') order by 1, 2;

-- name: retention_table
select to_regclass('qs.retention_policies') is not null;

-- name: retention
select table_name, subject, filter_value, keep::text as keep, archive, basis from qs.retention_policies order by table_name, keep, subject;
