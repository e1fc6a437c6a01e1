-- +goose Up

-- A chain without its name would be walked by nobody.
select spinetrace_seal('chain');
alter table chain add check (name ~ '^[a-z0-9][a-z0-9_-]{0,39}(\.cli)?$');

-- A table of that name that is no partition was put there to keep the partition from being made.
-- +goose StatementBegin
create or replace function spinetrace_partition(parent text, month timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
  leaf text := parent || to_char(month, '_YYYY_MM');
  low  text := month;
  high text := month + interval '1 month';
begin
  if exists (select from pg_inherits
    where inhrelid = to_regclass(format('public.%I', leaf)) and inhparent = format('public.%I', parent)::regclass)
  then
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
create or replace function spinetrace_partitions_until() returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
  select min(month) from generate_series(0, 1200) n,
    lateral (select date_trunc('month', now()) + make_interval(months => n) as month) m
  where not exists (select from pg_inherits where inhparent = 'public.event'::regclass
    and inhrelid = to_regclass(format('public.%I', 'event' || to_char(month, '_YYYY_MM'))))
$$;
-- +goose StatementEnd

create table body_key (
  number smallint primary key check (number > 0),
  proof  bytea    not null check (octet_length(proof) = 16)
);
comment on table body_key is
  'The keys that bodies have been encrypted with: the first 16 bytes of HMAC-SHA-256 of "spinetrace body key" by the key. A key of a number that is here must be the same one.';
select spinetrace_seal('body_key');

-- Who has a role already needs its rights here before the new program starts.
-- +goose StatementBegin
do $$
declare
  name text;
begin
  foreach name in array array['spinetrace_runtime', 'spinetrace_reader', 'spinetrace_pruner'] loop
    if to_regrole(name) is not null then
      execute format('grant select on body_key to %I', name);
    end if;
  end loop;
  if to_regrole('spinetrace_runtime') is not null then
    grant insert on body_key to spinetrace_runtime;
  end if;
end
$$;
-- +goose StatementEnd

insert into schema_version (version, oldest_program) values (6, 5);
