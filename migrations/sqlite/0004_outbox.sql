-- +goose Up

-- Messages to deliver, in the order of position, which is never used again. local_id, authority:
-- of whom; empty: the message names no local number. basis, mark: 16 bytes of a digest. lease,
-- holder: until when which chain has it, 0: nobody. state: 1 waiting, 2 parked for an operator,
-- 3 delivered, 4 dropped. ended: when it was delivered or dropped, 0: it was not.
create table outbox (
  position    integer primary key autoincrement,
  destination text    not null check (octet_length(destination) between 1 and 20 and destination not glob '*[^a-z]*'),
  exchange    blob    not null check (length(exchange) = 16),
  control_id  text    not null check (octet_length(control_id) between 1 and 200),
  kind        integer not null check (kind between 1 and 40),
  local_id    text    not null check (octet_length(local_id) <= 200),
  authority   text    not null check (octet_length(authority) <= 200 and (local_id <> '' or authority = '')),
  basis       blob    not null check (length(basis) = 16),
  mark        blob    not null check (length(mark) = 16),
  at          integer not null,
  due         integer not null,
  lease       integer not null check (lease = 0 or state = 1),
  holder      integer not null check ((lease = 0) = (holder = 0)),
  attempt     integer not null check (attempt >= 0),
  refusals    integer not null check (refusals >= 0),
  state       integer not null check (state between 1 and 4),
  reason      text    not null check (octet_length(reason) <= 200),
  ended       integer not null check ((ended = 0) = (state in (1, 2))),
  unique (exchange, destination, control_id)
) strict;
create index outbox_first on outbox (destination, position) where state = 1;
create index outbox_claimed on outbox (destination, lease) where lease <> 0;
create index outbox_state on outbox (state, position);
create index outbox_told on outbox (destination, local_id, authority, position) where kind = 1;
create index outbox_ended on outbox (ended) where ended <> 0;

-- What a person has to look at; of one kind and subject one is open at most. local_id, authority:
-- the record as first raised; empty: the message names no local number. exchange, doc, latest: of
-- whoever raised it last. closed, closed_by, why: null while it is open.
create table item (
  number     integer primary key autoincrement,
  kind       integer not null check (kind between 1 and 40),
  subject    text    not null check (octet_length(subject) between 1 and 200),
  local_id   text    not null check (octet_length(local_id) <= 200),
  authority  text    not null check (octet_length(authority) <= 200 and (local_id <> '' or authority = '')),
  nhs_number text    not null check (octet_length(nhs_number) in (0, 10)),
  exchange   blob    not null check (length(exchange) = 16),
  doc        text    not null check (octet_length(doc) <= 65536),
  opened     integer not null,
  latest     integer not null check (latest >= opened),
  times      integer not null check (times > 0),
  closed     integer,
  closed_by  text    check (octet_length(closed_by) between 1 and 200),
  why        text    check (octet_length(why) between 1 and 200),
  check ((closed is null) = (closed_by is null) and (closed is null) = (why is null))
) strict;
create unique index item_open on item (kind, subject) where closed is null;
create index item_flag on item (local_id, authority) where closed is null;
create index item_backlog on item (number) where closed is null;
create index item_past on item (local_id, authority, number) where closed is not null;

-- Programs of versions 1 to 3 run on, but know of no outbox: what is in it waits.
insert into schema_version (version, oldest_program) values (4, 1);
