-- +goose Up

-- Traces that are still to be made, one per patient at most; a message without a local number
-- has its own, under its exchange, written as text, in the place of the authority. told: as of
-- when the message speaks; the newest keeps the item. lease: until when somebody has it, 0:
-- nobody. parked: an operator must decide.
create table work (
  local_id  text    not null,
  authority text    not null,
  exchange  blob    not null check (length(exchange) = 16),
  told      integer not null,
  kind      integer not null check (kind between 1 and 40),
  due       integer not null,
  lease     integer not null check (lease = 0 or parked = 0),
  attempt   integer not null check (attempt >= 0),
  reason    text    not null check (octet_length(reason) <= 200),
  parked    integer not null check (parked in (0, 1)),
  primary key (local_id, authority)
) strict, without rowid;
create index work_ready on work (parked, max(due, lease), exchange);

-- Programs of versions 1 and 2 run on, but know of no queue: what is in it waits.
insert into schema_version (version, oldest_program) values (3, 1);
