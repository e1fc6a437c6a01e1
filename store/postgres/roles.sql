-- The roles hold rights and cannot log in. Give the service a login of its own:
--
--   create role spinetrace_service login password '…' in role spinetrace_runtime;
--
-- spinetrace_runtime  the service: may add to the journal and read it, and keep the index of
--                     patients that is derived from it and the queue of work
-- spinetrace_reader   the auditor: may read, and record in a chain of commands that it looked
-- spinetrace_searcher the same without messages and envelopes, and without the names, birth dates and
--                     addresses that patients and items have from them
-- spinetrace_pruner   clears away: may delete old claims, have old bodies dropped by a function, and
--                     record in a chain of commands that it did

do $$
declare
  name text;
begin
  foreach name in array array['spinetrace_runtime', 'spinetrace_reader', 'spinetrace_searcher', 'spinetrace_pruner'] loop
    begin
      execute format('create role %I nologin', name);
    exception when duplicate_object or unique_violation then
      null; -- a role belongs to the whole server: another database made it
    end;
  end loop;
end
$$;

-- PostgreSQL before 15 lets everybody make tables there.
revoke create on schema public from public;
grant usage on schema public to spinetrace_runtime, spinetrace_reader, spinetrace_searcher, spinetrace_pruner;
grant select on schema_version, chain, event, exchange, reply, ending, mention, seen
  to spinetrace_runtime, spinetrace_reader, spinetrace_searcher;
grant select on body to spinetrace_runtime, spinetrace_reader;
grant select on body_key to spinetrace_runtime, spinetrace_reader, spinetrace_searcher, spinetrace_pruner;
-- To clear away nobody has to read a patient's messages, nor what the journal says of them.
revoke select on exchange, reply, body, ending, mention, event from spinetrace_pruner;
grant select on schema_version, chain, seen to spinetrace_pruner;
grant select (chain, seq, at, hash) on event to spinetrace_pruner;
grant execute on function spinetrace_partitions_until
  to spinetrace_runtime, spinetrace_reader, spinetrace_searcher, spinetrace_pruner;

grant insert on chain, event, exchange, reply, body, ending, mention, body_key to spinetrace_runtime;
grant insert, update, delete on seen to spinetrace_runtime;
grant select, insert, update, delete on patient, work, outbox, item to spinetrace_runtime;
grant usage on sequence outbox_position_seq to spinetrace_runtime;
grant execute on function spinetrace_partitions, spinetrace_work, spinetrace_outbox, spinetrace_next, spinetrace_items
  to spinetrace_runtime;

grant insert on chain, event to spinetrace_reader, spinetrace_searcher;
grant select on patient, work, outbox, item to spinetrace_reader;
grant select on work, outbox to spinetrace_searcher;
-- All columns but the documents.
grant select (local_id, authority, told_at, told_exchange, told_nhs, told_status, told_print,
  found_at, found_exchange, found_print, found_outcome, found_nhs, found_status,
  moved_at, moved_exchange, into_local_id, into_authority, touched) on patient to spinetrace_searcher;
grant select (number, kind, subject, local_id, authority, nhs_number, exchange,
  opened, latest, times, closed, closed_by, why) on item to spinetrace_searcher;

grant delete on seen to spinetrace_pruner;
grant insert on chain, event to spinetrace_pruner;
grant execute on function spinetrace_count_bodies, spinetrace_drop_bodies to spinetrace_pruner;

-- A grant cannot tell one chain from another: policies keep the auditor, and who clears away, out of
-- the service's, and from recording what they do as another login.
alter table event enable row level security;
drop policy if exists read on event;
drop policy if exists runtime on event;
drop policy if exists look on event;
create policy read on event for select using (true);
create policy runtime on event for insert to spinetrace_runtime with check (true);
create policy look on event for insert to spinetrace_reader, spinetrace_searcher, spinetrace_pruner
  with check (chain in (select id from chain where name like '%.cli') and doc::jsonb ->> 'database_login' = session_user);
