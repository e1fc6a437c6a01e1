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

insert into schema_version (version, oldest_program) values (6, 5);
