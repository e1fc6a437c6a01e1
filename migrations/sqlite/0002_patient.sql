-- +goose Up

-- The local index of patients, derived from the journal: what the newest message told, what
-- the newest finished trace found, and where a merge took the entry (into nothing: deleted).
-- Of each of the three parts the newest is kept, by its time and exchange; a part at
-- -62135596800000000, the year 1, has never been. Prints are 16 bytes of a digest. touched:
-- when a commit last changed the row, or it was made anew. The key begins with the local
-- number, so that it also finds a number whoever gave it out.
create table patient (
  local_id       text    not null check (local_id <> ''),
  authority      text    not null,
  told_at        integer not null,
  told_exchange  blob    not null check (length(told_exchange) = 16),
  told_nhs       text    not null check (octet_length(told_nhs) in (0, 10)),
  told_status    text    not null check (told_status = '' or octet_length(told_status) = 2 and told_status between '01' and '08'),
  told_print     blob    not null check (length(told_print) = 16),
  told_doc       text    not null check (octet_length(told_doc) <= 65536),
  found_at       integer not null,
  found_exchange blob    not null check (length(found_exchange) = 16),
  found_print    blob    not null check (length(found_print) = 16),
  found_outcome  integer not null check (found_outcome between 0 and 40),
  found_nhs      text    not null check (octet_length(found_nhs) in (0, 10)),
  found_status   text    not null check (found_status = '' or octet_length(found_status) = 2 and found_status between '01' and '08'),
  moved_at       integer not null,
  moved_exchange blob    not null check (length(moved_exchange) = 16),
  into_local_id  text    not null,
  into_authority text    not null,
  touched        integer not null,
  primary key (local_id, authority)
) strict;
create index patient_told_nhs on patient (told_nhs) where told_nhs <> '';
create index patient_found_nhs on patient (found_nhs) where found_nhs <> '';

-- Programs of version 1 run on, but do not keep the index: it is made anew afterwards.
insert into schema_version (version, oldest_program) values (2, 1);
