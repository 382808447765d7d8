-- Roles and the schema itself. Run before every upgrade, because roles belong to the cluster and not to the
-- database: a dump that is restored elsewhere comes without them. Everything here may be repeated and may
-- race with another database of the same cluster.
--
--   qs_owner   owns every object, cannot log in: nobody works as the owner by accident
--   qs_engine  the trading engine: appends, writes the read tables, never rewrites history
--   qs_app     the operator's program: reads, asks for things (commands, config drafts)
--   qs_view    reads what is not secret
--
-- A login that may not create roles gets the REDUCED profile: it owns the schema itself and no grants are
-- made. Triggers, checks and the hash chain hold there too; what is lost is that the engine could not even
-- try. `qs.role_profile()` tells.

do $$
declare
  wanted text;
  newer boolean := current_setting('server_version_num')::int >= 160000;
  super boolean := (select rolsuper from pg_catalog.pg_roles where rolname = current_user);
  full_profile boolean := true;
begin
  foreach wanted in array array['qs_owner', 'qs_engine', 'qs_app', 'qs_view'] loop
    begin
      if to_regrole(wanted) is null then
        execute format('create role %I nologin', wanted);
      end if;
    exception
      when duplicate_object or unique_violation then null;  -- made by someone else at the same moment
      when insufficient_privilege then full_profile := false;
    end;
    exit when not full_profile;
    -- A superuser may take any role. Others need to be members; from 16 on, creating a role does not make
    -- one that.
    if not super and not pg_has_role(current_user, wanted, case when newer then 'SET' else 'MEMBER' end) then
      begin
        execute format('grant %I to %I', wanted, current_user)
          || case when newer then ' with inherit false' else '' end;
      exception
        when insufficient_privilege then full_profile := false;
        when internal_error then  -- "tuple concurrently updated": the same grant, made at the same moment
          full_profile := pg_has_role(current_user, wanted, 'MEMBER');
      end;
    end if;
    exit when not full_profile;
  end loop;

  -- Schemas beside qs, and a dump that is restored, are made by the owner of what is in them.
  if full_profile and not has_database_privilege('qs_owner', current_database(), 'CREATE') then
    begin
      execute format('grant create on database %I to qs_owner', current_database());
    exception when insufficient_privilege then null;  -- the schema may exist already, made by whoever may
    end;
  end if;

  if to_regnamespace('qs') is null then
    if full_profile then
      create schema qs authorization qs_owner;
    else
      create schema qs;
    end if;
  end if;
end $$;
