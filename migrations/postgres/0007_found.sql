-- +goose Up

-- The numbers that Spine named and nobody used, those that are no NHS numbers, and those that a merge
-- took away are what an exchange is found by as well. Making this of years of data takes minutes.
comment on table mention is
  'What an exchange can be found by beside its columns: the ids of its calls, answers and letters as they are (call: leads those that would begin like the others); nhs: and ten digits; id: and a local number.';

create index patient_into on patient (into_local_id, local_id, authority) where into_local_id <> '';

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
  select distinct 'nhs:' || m.number, e.exchange
  from (select exchange, spinetrace_read(doc) as doc
    from event where kind in (5, 6, 15) and exchange <> '00000000-0000-0000-0000-000000000000') e
  join exchange x on x.id = e.exchange
  left join reply r on r.exchange = e.exchange
  left join ending d on d.exchange = e.exchange
  cross join lateral (values (e.doc ->> 'nhs_number_sent'), (e.doc ->> 'nhs_number_found')) m (number)
  where m.number ~ '^[0-9]{10}$'
    and m.number not in (x.nhs_sent, coalesce(x.nhs_found, ''), coalesce(r.nhs_found, ''), coalesce(d.nhs_found, ''));

drop function spinetrace_read;

-- Of what a merge took away the index has the newest message. Numbers that are none stand in the
-- messages alone, and are found from now on.
insert into mention (id, exchange)
  select distinct left('id:' || p.local_id, 200), x.id
  from patient p join exchange x on x.id = p.moved_exchange
  where p.local_id <> x.local_id and octet_length(left('id:' || p.local_id, 200)) <= 200;

-- Programs that run on the schema before run on this, too: what they write is not found by these numbers.
insert into schema_version (version, oldest_program)
  select 7, oldest_program from schema_version order by version desc limit 1;
