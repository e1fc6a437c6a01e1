-- +goose Up

-- What exchanges are found by lies in years instead of months: a search for a number looks into every
-- partition and every index of it, and the server needs longer to plan that than to do it. Events and
-- bodies stay in months. Writing the rows of years anew takes minutes.

-- +goose StatementBegin
create or replace function spinetrace_partition(parent text, month timestamptz) returns void
language plpgsql set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
  unit text := case when parent in ('event', 'body') then 'month' else 'year' end;
  leaf text := parent || to_char(month, case unit when 'month' then '_YYYY_MM' else '_YYYY' end);
  low  text := date_trunc(unit, month);
  high text := date_trunc(unit, month) + ('1 ' || unit)::interval;
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
comment on function spinetrace_partition is
  'Makes the partition of a moment if it is missing: of a month for event and body, of a year for all others.';

-- +goose StatementBegin
do $$
declare
  parent text;
  months text[];
  leaf   text;
  listed text;
begin
  foreach parent in array array['exchange', 'reply', 'ending', 'mention'] loop
    select array_agg(inhrelid::regclass::text order by inhrelid::regclass::text) into months
      from pg_inherits where inhparent = parent::regclass;
    select string_agg(quote_ident(attname), ', ' order by attnum) into listed
      from pg_attribute where attrelid = parent::regclass and attnum > 0 and not attisdropped;
    foreach leaf in array months loop
      execute format('alter table %I detach partition %s', parent, leaf);
    end loop;
    foreach leaf in array months loop
      perform spinetrace_partition(parent, to_timestamp(right(leaf, 7) || '+00', 'YYYY_MMTZH'));
      execute format('insert into %I (%s) select %s from %s', parent, listed, listed, leaf);
      execute format('drop table %s', leaf);
    end loop;
  end loop;
end
$$;
-- +goose StatementEnd

-- Programs that run on the schema before run on this.
insert into schema_version (version, oldest_program)
  select 8, oldest_program from schema_version order by version desc limit 1;
