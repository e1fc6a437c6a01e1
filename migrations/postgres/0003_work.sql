-- +goose Up

-- Rows come and go: what is dead is cleared away early, or the front of the queue would have to
-- be read past it. Every claim moves the row in work_ready, so there is no room to be left on
-- the page.
create table work (
  exchange  uuid        primary key,
  local_id  text        not null,
  authority text        not null,
  kind      smallint    not null check (kind between 1 and 40),
  due       timestamptz not null,
  lease     timestamptz,
  attempt   integer     not null check (attempt >= 0),
  reason    text        not null check (octet_length(reason) <= 200),
  parked    boolean     not null,
  check (local_id <> '' or authority = ''),
  check (lease is null or not parked)
) with (autovacuum_vacuum_scale_factor = 0.02);
create index work_ready on work (parked, greatest(due, lease), exchange);
comment on table work is
  'Traces that are still to be made, one per exchange at most. local_id, authority: of whom, for lists; empty: the message names no local number. lease: until when somebody has it, null: nobody. parked: an operator must decide.';

-- A batch may say several things of one item, and what the second does depends on what the first
-- did: the acts are done one after the other. They come sorted by exchange, so that two instances
-- never wait for each other. A setting of the function's own, such as search_path, would cost about
-- as much as an act: what it names, it names in full.
-- +goose StatementBegin
create function spinetrace_work(
  exchanges uuid[], acts smallint[], local_ids text[], authorities text[], kinds smallint[],
  dues timestamptz[], reasons text[], attempts bigint[]) returns integer
language plpgsql as $$
declare
  a record;
begin
  for a in
    select * from unnest(exchanges, acts, local_ids, authorities, kinds, dues, reasons, attempts)
      as o (exchange, act, local_id, authority, kind, due, reason, attempt)
  loop
    if a.act = 1 then
      insert into public.work (exchange, local_id, authority, kind, due, attempt, reason, parked)
        values (a.exchange, a.local_id, a.authority, a.kind, a.due, 0, a.reason, false)
        on conflict (exchange) do update set
          kind = excluded.kind, due = excluded.due, reason = excluded.reason, parked = false;
    elsif a.act = 2 then
      delete from public.work w where w.exchange = a.exchange
        and (a.attempt = 0 or w.attempt = a.attempt and w.lease is not null);
    else
      update public.work w set due = coalesce(a.due, w.due), lease = null, reason = a.reason, parked = a.act = 4
        where w.exchange = a.exchange and (a.attempt = 0 or w.attempt = a.attempt and w.lease is not null);
    end if;
  end loop;
  return cardinality(acts);
end
$$;
-- +goose StatementEnd
comment on function spinetrace_work is
  'Changes the queue: 1 adds an item, 2 settles it as done, 3 to be tried again, 4 to be parked.';
revoke execute on function spinetrace_work from public;

-- Who was given a role by the release before needs its rights on this table as well, and has
-- them before the new program starts. "migrate roles" gives the same.
-- +goose StatementBegin
do $$
begin
  if to_regrole('spinetrace_runtime') is not null then
    grant select, insert, update, delete on work to spinetrace_runtime;
    grant execute on function spinetrace_work to spinetrace_runtime;
  end if;
  if to_regrole('spinetrace_reader') is not null then
    grant select on work to spinetrace_reader;
  end if;
end
$$;
-- +goose StatementEnd

-- Programs of versions 1 and 2 run on, but know of no queue: what is in it waits.
insert into schema_version (version, oldest_program) values (3, 1);
