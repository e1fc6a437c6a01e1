-- +goose Up

-- The rest of what the audit is searched by. Making indexes holds commits up: on years of data for
-- minutes, during which a service that runs is not ready.
alter table exchange add column asker text collate "C" not null default '' check (octet_length(asker) <= 200);
comment on column exchange.asker is
  'On whose behalf it was: EVN-5, or who used the command line; empty: the sending system itself.';

create index exchange_local_id on exchange (local_id, id) where local_id <> '';
create index exchange_nhs_sent on exchange (nhs_sent, id) where nhs_sent <> '';
create index exchange_nhs_found on exchange (nhs_found, id) where nhs_found <> '';
create index exchange_asker on exchange (asker, id) where asker <> '';
create index exchange_place on exchange (chain, seq, id);
create index reply_nhs_found on reply (nhs_found, exchange) where nhs_found <> '';

create table ending (
  exchange  uuid        primary key,
  at        timestamptz not null,
  outcome   smallint    not null check (outcome between 1 and 40),
  nhs_found text        not null
) partition by range (exchange);
create index ending_nhs_found on ending (nhs_found, exchange) where nhs_found <> '';
comment on table ending is
  'How traces ended whose senders had been answered before: it counts instead of reply and exchange. The first one is kept.';

create table mention (
  id       text collate "C" not null check (octet_length(id) between 1 and 200),
  exchange uuid not null
) partition by range (exchange);
create index mention_id on mention (id, exchange);
comment on table mention is
  'The ids of calls and answers by which an exchange can be found: message, tracking and payload ids, X-Request-ID, X-Correlation-ID.';

select spinetrace_seal(t) from unnest(array['ending', 'mention']) t;

-- +goose StatementBegin
create or replace function spinetrace_partitions() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '1500ms' as $$
declare
  this_month timestamptz := date_trunc('month', now());
begin
  -- One at a time: two instances may top up at once.
  perform pg_advisory_xact_lock(1936746862, 0);
  perform public.spinetrace_partition(parent, this_month + make_interval(months => n))
    from unnest(array['event', 'exchange', 'reply', 'body', 'ending', 'mention']) parent, generate_series(-1, 24) n;
end
$$;
-- +goose StatementEnd
select spinetrace_partitions();

-- What is in the journal already is to be found as well: the months of the new tables are those of
-- the old ones.
-- +goose StatementBegin
do $$
declare
  month text;
begin
  for month in
    select right(c.relname, 7) from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'exchange'::regclass
  loop
    perform spinetrace_partition(parent, make_timestamptz(left(month, 4)::int, right(month, 2)::int, 1, 0, 0, 0, 'UTC'))
      from unnest(array['ending', 'mention']) parent;
  end loop;
end
$$;
-- +goose StatementEnd

-- A document that cannot be read, because it was damaged or holds a NUL, is for "audit verify" to tell of.
-- +goose StatementBegin
create function spinetrace_read(doc text) returns jsonb language plpgsql as $$
begin
  return doc::jsonb;
exception when others then
  return null;
end
$$;
-- +goose StatementEnd

insert into mention (id, exchange)
  select distinct m.id, e.exchange
  from (select exchange, spinetrace_read(doc) as doc
    from event where kind in (5, 6) and exchange <> '00000000-0000-0000-0000-000000000000') e
  cross join lateral (values (e.doc ->> 'message_id'), (e.doc ->> 'tracking_id'), (e.doc ->> 'payload_id'),
    (e.doc ->> 'answer_message_id')) m (id)
  where octet_length(m.id) between 1 and 200;

-- A trace that ended late is told by an event of kind 15 after the answer. Which of them decided is told
-- by the outcome, but for "not traced" and "stale", after which the trace may have been made again. Of
-- the command line that event is the end itself.
insert into ending (exchange, at, outcome, nhs_found)
  select e.exchange, e.at, o.outcome, left(coalesce(e.doc ->> 'nhs_number_found', ''), 10)
  from (select exchange, chain, seq, at, spinetrace_read(doc) as doc
    from event where kind = 15) e
  join (values ('verified', 2), ('traced', 3), ('superseded', 4), ('no match', 5), ('many matches', 6),
    ('invalidated', 7), ('not verified', 8), ('old style', 9), ('refused', 11), ('held by another record', 17))
    o (word, outcome) on o.word = e.doc ->> 'outcome'
  join exchange x on x.id = e.exchange and x.type <> 'trace'
  order by e.exchange, e.at, e.chain, e.seq
  on conflict do nothing;

drop function spinetrace_read;

-- Bodies may go, by spinetrace_drop_bodies alone: it says so in a setting that holds the number of
-- its transaction, and counts for the owner of the table, as whom it runs.
-- +goose StatementBegin
create or replace function spinetrace_append_only() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'DELETE' and tg_relid = 'public.body'::regclass
    and current_setting('spinetrace.dropping', true) = pg_current_xact_id_if_assigned()::text
    and current_user = (select pg_get_userbyid(relowner) from pg_class where oid = tg_relid)
  then
    return null;
  end if;
  raise exception 'the journal is append-only' using errcode = 'insufficient_privilege';
end
$$;
-- +goose StatementEnd

-- The bodies of exchanges that began before a moment and that nobody needs any more, from a place
-- on, in the order of their key. The moment is cut to what an id tells.
-- +goose StatementBegin
create function spinetrace_old_bodies(
  before timestamptz, after_exchange uuid, after_chain smallint, after_seq bigint, most integer)
  returns table (exchange uuid, chain smallint, seq bigint)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select b.exchange, b.chain, b.seq from public.body b
  where b.exchange < public.spinetrace_id_at(date_trunc('milliseconds', before)) and b.exchange >= after_exchange
    and (b.exchange, b.chain, b.seq) > (after_exchange, after_chain, after_seq)
    and not exists (select from public.work w where w.exchange = b.exchange)
    and not exists (select from public.outbox o where o.exchange = b.exchange and o.state in (1, 2))
  order by b.exchange, b.chain, b.seq limit most
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create function spinetrace_count_bodies(
  before timestamptz, after_exchange uuid, after_chain smallint, after_seq bigint, most integer)
  returns table (found bigint, exchange uuid, chain smallint, seq bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
  with page as materialized (
    select o.*, row_number() over () as n
    from public.spinetrace_old_bodies(before, after_exchange, after_chain, after_seq, most) o)
  select p.n, p.exchange, p.chain, p.seq from page p order by p.n desc limit 1
$$;
-- +goose StatementEnd
comment on function spinetrace_count_bodies is
  'Counts a page of the bodies that spinetrace_drop_bodies would delete, and says where it ends: after that the next page begins. Behind the last there is none.';

-- +goose StatementBegin
create function spinetrace_drop_bodies(
  before timestamptz, after_exchange uuid, after_chain smallint, after_seq bigint, most integer)
  returns table (dropped bigint, exchange uuid, chain smallint, seq bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set lock_timeout = '1500ms' as $$
begin
  -- Stored answers are sent again for a week.
  if before is null or before > now() - interval '8 days' then
    raise exception 'bodies can be dropped when they are 8 days old' using errcode = 'invalid_parameter_value';
  end if;
  perform set_config('spinetrace.dropping', pg_current_xact_id()::text, true);
  return query with page as materialized (
    select o.*, row_number() over () as n
    from public.spinetrace_old_bodies(before, after_exchange, after_chain, after_seq, least(most, 10000)) o),
  gone as (
    delete from public.body b using page p
    where b.exchange = p.exchange and b.chain = p.chain and b.seq = p.seq returning 1)
  select (select count(*) from gone), p.exchange, p.chain, p.seq from page p order by p.n desc limit 1;
  perform set_config('spinetrace.dropping', '', true);
end
$$;
-- +goose StatementEnd
comment on function spinetrace_drop_bodies is
  'Deletes a page of the bodies of exchanges that began before a moment at least 8 days ago, but for those that are still needed, and says where it ends: after that the next page begins. Behind the last there is none.';
revoke execute on function spinetrace_old_bodies, spinetrace_count_bodies, spinetrace_drop_bodies from public;

-- Who was given a role by the release before needs its rights on these tables as well, and has
-- them before the new program starts. "migrate roles" gives the same, and the pruner the right to
-- record what it does.
-- +goose StatementBegin
do $$
declare
  name text;
begin
  foreach name in array array['spinetrace_runtime', 'spinetrace_reader'] loop
    if to_regrole(name) is not null then
      execute format('grant select on ending, mention to %I', name);
    end if;
  end loop;
  if to_regrole('spinetrace_runtime') is not null then
    grant insert on ending, mention to spinetrace_runtime;
  end if;
  if to_regrole('spinetrace_pruner') is not null then
    grant execute on function spinetrace_count_bodies, spinetrace_drop_bodies to spinetrace_pruner;
  end if;
end
$$;
-- +goose StatementEnd

-- Programs of versions 1 to 4 do not run on this: they know neither the new kinds of events, which their
-- "audit verify" would take for damage, nor bodies that are encrypted.
insert into schema_version (version, oldest_program) values (5, 5);
