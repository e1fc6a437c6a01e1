-- +goose Up

-- One row per migration. oldest_program: the oldest schema version a program may have been
-- built for and still run on this one.
create table schema_version (
  version        integer primary key,
  oldest_program integer not null check (oldest_program between 1 and version)
) strict;

-- Times are microseconds since 1970, UTC. Digests and UUIDs are blobs.

-- The audit chains: one per instance of the service, and one for its commands.
create table chain (
  id      integer primary key,
  name    text    not null unique check (octet_length(name) between 1 and 50),
  created integer not null
) strict;

-- The journal. hash = SHA-256 over the hash of the event before (32 zero bytes for the
-- first) and the bytes of doc; the other columns repeat doc. exchange is zero for events of
-- the service itself.
create table event (
  chain    integer not null,
  seq      integer not null check (seq > 0),
  at       integer not null,
  kind     integer not null check (kind between 1 and 40),
  exchange blob    not null check (length(exchange) = 16),
  doc      text    not null,
  hash     blob    not null check (length(hash) = 32),
  primary key (chain, seq)
) strict, without rowid;
create index event_exchange on event (exchange);

-- What exchanges can be found by; id is a UUIDv7, chain and seq are those of its first
-- event.
create table exchange (
  id          blob    primary key not null check (length(id) = 16),
  at          integer not null,
  application text    not null,
  facility    text    not null,
  control_id  text    not null,
  type        text    not null,
  local_id    text    not null,
  nhs_sent    text    not null,
  chain       integer not null,
  seq         integer not null
) strict, without rowid;
create index exchange_control_id on exchange (control_id, id);

-- How exchanges ended; chain and seq are those of the event that holds the reply. The
-- primary key lets an exchange be answered once.
create table reply (
  exchange  blob    primary key not null check (length(exchange) = 16),
  at        integer not null,
  outcome   integer not null check (outcome between 1 and 40),
  nhs_found text    not null,
  chain     integer not null,
  seq       integer not null
) strict, without rowid;

-- The bodies that belong to an event: for each its kind in one byte, its length as a
-- varint, its bytes. codec 0: as they are, 1: zstd. key_id 0: not encrypted.
create table body (
  exchange blob    not null check (length(exchange) = 16),
  chain    integer not null,
  seq      integer not null,
  codec    integer not null check (codec in (0, 1)),
  key_id   integer not null default 0,
  data     blob    not null,
  primary key (exchange, chain, seq)
) strict;

-- Which messages count as received: sender and body are the first 16 bytes of SHA-256
-- digests. Not part of the journal: old rows are deleted, found by the time in exchange.
create table seen (
  control_id text    not null,
  sender     blob    not null check (length(sender) = 16),
  body       blob    not null check (length(body) = 16),
  exchange   blob    not null check (length(exchange) = 16),
  at         integer not null,
  primary key (control_id, sender, body)
) strict, without rowid;
create index seen_exchange on seen (exchange);

create trigger event_update before update on event begin select raise(abort, 'the journal is append-only'); end;
create trigger event_delete before delete on event begin select raise(abort, 'the journal is append-only'); end;
create trigger exchange_update before update on exchange begin select raise(abort, 'the journal is append-only'); end;
create trigger exchange_delete before delete on exchange begin select raise(abort, 'the journal is append-only'); end;
create trigger reply_update before update on reply begin select raise(abort, 'the journal is append-only'); end;
create trigger reply_delete before delete on reply begin select raise(abort, 'the journal is append-only'); end;
create trigger body_update before update on body begin select raise(abort, 'the journal is append-only'); end;
create trigger body_delete before delete on body begin select raise(abort, 'the journal is append-only'); end;
create trigger chain_update before update on chain begin select raise(abort, 'the journal is append-only'); end;
create trigger chain_delete before delete on chain begin select raise(abort, 'the journal is append-only'); end;

insert into schema_version (version, oldest_program) values (1, 1);
