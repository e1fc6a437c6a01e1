-- +goose Up

-- "insert or replace" deletes without asking the triggers of a deletion.
create trigger chain_insert before insert on chain when exists (select 1 from chain where name = new.name or id = new.id) begin select raise(ignore); end;
create trigger event_insert before insert on event when exists (select 1 from event where chain = new.chain and seq = new.seq) begin select raise(abort, 'the journal is append-only'); end;
create trigger exchange_insert before insert on exchange when exists (select 1 from exchange where id = new.id) begin select raise(abort, 'the journal is append-only'); end;
create trigger body_insert before insert on body when exists (select 1 from body where exchange = new.exchange and chain = new.chain and seq = new.seq) begin select raise(abort, 'the journal is append-only'); end;
create trigger reply_insert before insert on reply when exists (select 1 from reply where exchange = new.exchange) begin select raise(ignore); end;
create trigger ending_insert before insert on ending when exists (select 1 from ending where exchange = new.exchange) begin select raise(ignore); end;
create trigger mention_insert before insert on mention when exists (select 1 from mention where id = new.id and exchange = new.exchange) begin select raise(ignore); end;

-- The keys that bodies have been encrypted with: the first 16 bytes of HMAC-SHA-256 of "spinetrace body key" by
-- the key. A key of a number that is here must be the same one.
create table body_key (
  number integer primary key check (number > 0),
  proof  blob not null check (length(proof) = 16)
) strict;
create trigger body_key_update before update on body_key begin select raise(abort, 'the journal is append-only'); end;
create trigger body_key_delete before delete on body_key begin select raise(abort, 'the journal is append-only'); end;
create trigger body_key_insert before insert on body_key when exists (select 1 from body_key where number = new.number) begin select raise(ignore); end;

insert into schema_version (version, oldest_program) values (6, 5);
