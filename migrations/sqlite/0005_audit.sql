-- +goose Up

-- The rest of what the audit is searched by. asker: on whose behalf it was, EVN-5, or who used the
-- command line; empty: the sending system itself.
alter table exchange add column asker text not null default '' check (octet_length(asker) <= 200);
create index exchange_local_id on exchange (local_id, id) where local_id <> '';
create index exchange_nhs_sent on exchange (nhs_sent, id) where nhs_sent <> '';
create index exchange_asker on exchange (asker, id) where asker <> '';
create index exchange_place on exchange (chain, seq);
create index reply_nhs_found on reply (nhs_found, exchange) where nhs_found <> '';

-- How traces ended whose senders had been answered before: it counts instead of reply. The first
-- one is kept.
create table ending (
  exchange  blob    primary key not null check (length(exchange) = 16),
  at        integer not null,
  outcome   integer not null check (outcome between 1 and 40),
  nhs_found text    not null
) strict, without rowid;
create index ending_nhs_found on ending (nhs_found, exchange) where nhs_found <> '';

-- The ids of calls and answers by which an exchange can be found: message, tracking and payload
-- ids, X-Request-ID, X-Correlation-ID.
create table mention (
  id       text not null check (octet_length(id) between 1 and 200),
  exchange blob not null check (length(exchange) = 16),
  primary key (id, exchange)
) strict, without rowid;

-- What is in the journal already is to be found as well.
insert into mention (id, exchange)
  select distinct m.value, e.exchange
  from (select kind, exchange, case when json_valid(doc) then doc end as doc from event) e, json_each(json_array(e.doc ->> 'message_id', e.doc ->> 'tracking_id', e.doc ->> 'payload_id', e.doc ->> 'answer_message_id')) m
  where e.kind in (5, 6) and e.exchange <> zeroblob(16) and octet_length(m.value) between 1 and 200;

-- A trace that ended late is told by an event of kind 15 after the answer. Which of them decided is
-- told by the outcome, but for "not traced" and "stale", after which the trace may have been made
-- again. Of the command line that event is the end itself.
with words (word, outcome) as (values ('verified', 2), ('traced', 3), ('superseded', 4), ('no match', 5),
    ('many matches', 6), ('invalidated', 7), ('not verified', 8), ('old style', 9), ('refused', 11),
    ('held by another record', 17))
insert into ending (exchange, at, outcome, nhs_found)
  select e.exchange, e.at, o.outcome, substr(coalesce(e.doc ->> 'nhs_number_found', ''), 1, 10)
  from (select kind, exchange, chain, seq, at, case when json_valid(doc) then doc end as doc from event) e join words o on o.word = e.doc ->> 'outcome' join exchange x on x.id = e.exchange and x.type <> 'trace'
  where e.kind = 15 order by e.exchange, e.at, e.chain, e.seq
  on conflict do nothing;

create trigger ending_update before update on ending begin select raise(abort, 'the journal is append-only'); end;
create trigger ending_delete before delete on ending begin select raise(abort, 'the journal is append-only'); end;
create trigger mention_update before update on mention begin select raise(abort, 'the journal is append-only'); end;
create trigger mention_delete before delete on mention begin select raise(abort, 'the journal is append-only'); end;

-- Bodies may go, while this table has a row: only the transaction that drops them sees one.
create table dropping (really integer not null check (really = 1)) strict;
drop trigger body_delete;
create trigger body_delete before delete on body when not exists (select 1 from dropping) begin select raise(abort, 'the journal is append-only'); end;

-- Programs of versions 1 to 4 do not run on this: they know neither the new kinds of events, which their
-- "audit verify" would take for damage, nor bodies that are encrypted.
insert into schema_version (version, oldest_program) values (5, 5);
