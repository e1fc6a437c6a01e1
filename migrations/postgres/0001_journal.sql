-- +goose Up

create table schema_version (
  version        integer     primary key,
  oldest_program integer     not null check (oldest_program between 1 and version),
  applied        timestamptz not null default now()
);
comment on table schema_version is
  'One row per migration. oldest_program: the oldest schema version a program may have been built for and still run on this one.';

create table chain (
  id      smallint    generated always as identity primary key,
  name    text        not null unique check (octet_length(name) between 1 and 50),
  created timestamptz not null default now()
);
comment on table chain is 'The audit chains: one per instance of the service, and one for its commands.';

create table event (
  chain    smallint    not null,
  seq      bigint      not null check (seq > 0),
  at       timestamptz not null,
  kind     smallint    not null check (kind between 1 and 40),
  exchange uuid        not null,
  doc      text        not null,
  hash     bytea       not null check (octet_length(hash) = 32)
) partition by range (at);
create index event_exchange on event (exchange);
comment on table event is
  'The journal. hash = SHA-256 over the hash of the event before (32 zero bytes for the first) and the bytes of doc; the other columns repeat doc. exchange is zero for events of the service itself. Each partition has unique (chain, seq).';

create table exchange (
  id          uuid        primary key,
  at          timestamptz not null,
  application text        not null,
  facility    text        not null,
  control_id  text        collate "C" not null,
  type        text        not null,
  local_id    text        not null,
  nhs_sent    text        not null,
  outcome     smallint    check (outcome between 1 and 40),
  nhs_found   text,
  chain       smallint    not null,
  seq         bigint      not null,
  check ((outcome is null) = (nhs_found is null))
) partition by range (id);
create index exchange_control_id on exchange (control_id, id);
comment on table exchange is
  'What exchanges can be found by; id is a UUIDv7, chain and seq are those of its first event. outcome and nhs_found are null unless it was closed by the commit that opened it: then see reply.';

create table reply (
  exchange  uuid        primary key,
  at        timestamptz not null,
  outcome   smallint    not null check (outcome between 1 and 40),
  nhs_found text        not null
) partition by range (exchange);
comment on table reply is
  'How exchanges ended that were not closed by the commit that opened them. The primary key lets an exchange be answered once.';

create table body (
  exchange uuid     not null,
  chain    smallint not null,
  seq      bigint   not null,
  codec    smallint not null check (codec in (0, 1)),
  key_id   smallint not null default 0,
  data     bytea    not null,
  primary key (exchange, chain, seq)
) partition by range (exchange);
-- Compressed before it comes here.
alter table body alter column data set storage external;
comment on table body is
  'The bodies that belong to an event: for each its kind in one byte, its length as a varint, its bytes. codec 0: as they are, 1: zstd. key_id 0: not encrypted.';

create table seen (
  control_id text        collate "C" not null,
  sender     uuid        not null,
  body       uuid        not null,
  exchange   uuid        not null,
  at         timestamptz not null,
  primary key (control_id, sender, body)
) with (autovacuum_vacuum_scale_factor = 0.02);
create index seen_at on seen using brin (at);
comment on table seen is
  'Which messages count as received: sender and body are the first 16 bytes of SHA-256 digests. Not part of the journal: old rows are deleted.';

-- +goose StatementBegin
create function spinetrace_append_only() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'the journal is append-only' using errcode = 'insufficient_privilege';
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create function spinetrace_seal(relation text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  execute format(
    'create trigger append_only before update or delete or truncate on public.%I '
    'for each statement execute function public.spinetrace_append_only()', relation);
end
$$;
-- +goose StatementEnd
comment on function spinetrace_seal is
  'Makes a table refuse changes to its rows, whoever asks. Statement triggers: an insert does not notice.';

select spinetrace_seal(t) from unnest(array['event', 'exchange', 'reply', 'body']) t;

-- +goose StatementBegin
create function spinetrace_id_at(at timestamptz) returns uuid
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
-- +goose StatementEnd
comment on function spinetrace_id_at is 'The smallest UUIDv7 of a moment.';

-- The leaf is made and indexed before it is attached: "create table ... partition of"
-- would wait for every reader of the parent, and every insert behind it.
-- +goose StatementBegin
create function spinetrace_partition(parent text, month timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
  leaf text := parent || to_char(month, '_YYYY_MM');
  low  text := month;
  high text := month + interval '1 month';
begin
  if to_regclass(format('public.%I', leaf)) is not null then
    return;
  end if;
  execute format('create table public.%I (like public.%I including all)', leaf, parent);
  if parent = 'event' then
    execute format('alter table public.%I add constraint %I unique (chain, seq)', leaf, leaf || '_seq');
  else
    low  := public.spinetrace_id_at(low::timestamptz);
    high := public.spinetrace_id_at(high::timestamptz);
  end if;
  perform public.spinetrace_seal(leaf);
  execute format('alter table public.%I attach partition public.%I for values from (%L) to (%L)', parent, leaf, low, high);
end
$$;
-- +goose StatementEnd

-- +goose StatementBegin
create function spinetrace_partitions() returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '1500ms' as $$
declare
  this_month timestamptz := date_trunc('month', now());
begin
  -- One at a time: two instances may top up at once.
  perform pg_advisory_xact_lock(1936746862, 0);
  perform public.spinetrace_partition(parent, this_month + make_interval(months => n))
    from unnest(array['event', 'exchange', 'reply', 'body']) parent, generate_series(-1, 24) n;
end
$$;
-- +goose StatementEnd
comment on function spinetrace_partitions is
  'Makes the partitions of the previous month, this month and 24 months ahead that are missing.';

-- +goose StatementBegin
create function spinetrace_partitions_until() returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
  select min(month) from generate_series(0, 1200) n,
    lateral (select date_trunc('month', now()) + make_interval(months => n) as month) m
  where to_regclass(format('public.%I', 'event' || to_char(month, '_YYYY_MM'))) is null
$$;
-- +goose StatementEnd
comment on function spinetrace_partitions_until is 'The first moment, from this month on, that has no partition.';

revoke execute on function
  spinetrace_append_only, spinetrace_seal, spinetrace_id_at, spinetrace_partition,
  spinetrace_partitions, spinetrace_partitions_until from public;

select spinetrace_partitions();

insert into schema_version (version, oldest_program) values (1, 1);
