-- +goose Up

-- Traces that are still to be made, one per exchange at most. local_id, authority: of whom, for
-- lists; empty: the message names no local number. lease: until when somebody has it, 0: nobody.
-- parked: an operator must decide.
create table work (
  exchange  blob    primary key not null check (length(exchange) = 16),
  local_id  text    not null,
  authority text    not null check (local_id <> '' or authority = ''),
  kind      integer not null check (kind between 1 and 40),
  due       integer not null,
  lease     integer not null check (lease = 0 or parked = 0),
  attempt   integer not null check (attempt >= 0),
  reason    text    not null check (octet_length(reason) <= 200),
  parked    integer not null check (parked in (0, 1))
) strict, without rowid;
create index work_ready on work (parked, max(due, lease), exchange);

-- Programs of versions 1 and 2 run on, but know of no queue: what is in it waits.
insert into schema_version (version, oldest_program) values (3, 1);
