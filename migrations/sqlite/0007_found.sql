-- +goose Up

-- The numbers that Spine named and nobody used, those that are no NHS numbers, and those that a merge
-- took away are what an exchange is found by as well. A mention is the id of a call, an answer or a
-- letter as it is (call: leads those that would begin like the others); nhs: and ten digits; id: and a
-- local number.
create index patient_into on patient (into_local_id, local_id, authority) where into_local_id <> '';

insert into mention (id, exchange)
  select distinct 'nhs:' || m.value, e.exchange
  from (select kind, exchange, case when json_valid(doc) then doc end as doc from event) e join exchange x on x.id = e.exchange left join reply r on r.exchange = e.exchange left join ending d on d.exchange = e.exchange, json_each(json_array(e.doc ->> 'nhs_number_sent', e.doc ->> 'nhs_number_found')) m
  where e.kind in (5, 6, 15) and length(m.value) = 10 and m.value not glob '*[^0-9]*'
    and m.value not in (x.nhs_sent, coalesce(r.nhs_found, ''), coalesce(d.nhs_found, ''))
  on conflict do nothing;

-- Of what a merge took away the index has the newest message. Numbers that are none stand in the
-- messages alone, and are found from now on.
insert into mention (id, exchange)
  select 'id:' || p.local_id, x.id from patient p join exchange x on x.id = p.moved_exchange
  where p.local_id <> x.local_id and octet_length('id:' || p.local_id) <= 200
  on conflict do nothing;

-- Programs that run on the schema before run on this, too: what they write is not found by these numbers.
insert into schema_version (version, oldest_program)
  select 7, oldest_program from schema_version order by version desc limit 1;
