-- +goose Up

-- The key begins with the local number, so that its index also finds a number whoever gave it
-- out. The other two indexes are of columns that seldom change: an update that leaves them alone
-- touches no index, and the room that fillfactor leaves on the page lets it stay there.
create table patient (
  local_id       text        collate "C" not null check (local_id <> ''),
  authority      text        collate "C" not null,
  told_at        timestamptz not null,
  told_exchange  uuid        not null,
  told_nhs       text        collate "C" not null check (octet_length(told_nhs) in (0, 10)),
  told_status    text        collate "C" not null check (told_status = '' or octet_length(told_status) = 2 and told_status between '01' and '08'),
  told_print     uuid        not null,
  told_doc       text        not null check (octet_length(told_doc) <= 65536),
  found_at       timestamptz not null,
  found_exchange uuid        not null,
  found_print    uuid        not null,
  found_outcome  smallint    not null check (found_outcome between 0 and 40),
  found_nhs      text        collate "C" not null check (octet_length(found_nhs) in (0, 10)),
  found_status   text        collate "C" not null check (found_status = '' or octet_length(found_status) = 2 and found_status between '01' and '08'),
  moved_at       timestamptz not null,
  moved_exchange uuid        not null,
  into_local_id  text        collate "C" not null,
  into_authority text        collate "C" not null,
  touched        timestamptz not null,
  primary key (local_id, authority)
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create index patient_told_nhs on patient (told_nhs) where told_nhs <> '';
create index patient_found_nhs on patient (found_nhs) where found_nhs <> '';
comment on table patient is
  'The local index of patients, derived from the journal: what the newest message told, what the newest finished trace found, and where a merge took the entry (into nothing: deleted). Of each of the three parts the newest is kept, by its time and exchange; a part at 0001-01-01 has never been. Prints are 16 bytes of a digest. touched: when a commit last changed the row, or it was made anew.';

-- Who was given a role by the release before needs its rights on this table as well, and has
-- them before the new program starts. "migrate roles" gives the same.
-- +goose StatementBegin
do $$
begin
  if to_regrole('spinetrace_runtime') is not null then
    grant select, insert, update, delete on patient to spinetrace_runtime;
  end if;
  if to_regrole('spinetrace_reader') is not null then
    grant select on patient to spinetrace_reader;
  end if;
end
$$;
-- +goose StatementEnd

-- Programs of version 1 run on, but do not keep the index: it is made anew afterwards.
insert into schema_version (version, oldest_program) values (2, 1);
