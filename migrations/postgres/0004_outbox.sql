-- +goose Up

-- Letters are taken and settled one by one, and those that have ended are purged: what is dead is
-- cleared away early, or the front of the outbox would have to be read past it.
create table outbox (
  position    bigint      generated always as identity primary key,
  destination text        collate "C" not null check (destination ~ '^[a-z]{1,20}$'),
  exchange    uuid        not null,
  control_id  text        collate "C" not null check (octet_length(control_id) between 1 and 200),
  kind        smallint    not null check (kind between 1 and 40),
  local_id    text        collate "C" not null check (octet_length(local_id) <= 200),
  authority   text        collate "C" not null check (octet_length(authority) <= 200),
  basis       uuid        not null,
  mark        uuid        not null,
  at          timestamptz not null,
  due         timestamptz not null,
  lease       timestamptz,
  holder      smallint,
  attempt     integer     not null check (attempt >= 0),
  refusals    integer     not null check (refusals >= 0),
  state       smallint    not null check (state between 1 and 4),
  reason      text        not null check (octet_length(reason) <= 200),
  ended       timestamptz,
  unique (exchange, destination, control_id),
  check (local_id <> '' or authority = ''),
  check ((lease is null) = (holder is null)),
  check (lease is null or state = 1),
  check ((ended is null) = (state in (1, 2)))
) with (autovacuum_vacuum_scale_factor = 0.02);
create index outbox_first on outbox (destination, position) where state = 1;
create index outbox_claimed on outbox (destination, lease) where lease is not null;
create index outbox_state on outbox (state, position);
create index outbox_told on outbox (destination, local_id, authority, position) where kind = 1;
create index outbox_ended on outbox (ended) where ended is not null;
comment on table outbox is
  'Messages to deliver, in the order of position. local_id, authority: of whom; empty: the message names no local number. basis, mark: 16 bytes of a digest. lease, holder: until when which chain has it, null: nobody. state: 1 waiting, 2 parked for an operator, 3 delivered, 4 dropped. ended: when it was delivered or dropped, null: it was not.';

create table item (
  number     bigint      generated always as identity primary key,
  kind       smallint    not null check (kind between 1 and 40),
  subject    text        collate "C" not null check (octet_length(subject) between 1 and 200),
  local_id   text        collate "C" not null check (octet_length(local_id) <= 200),
  authority  text        collate "C" not null check (octet_length(authority) <= 200),
  nhs_number text        collate "C" not null check (octet_length(nhs_number) in (0, 10)),
  exchange   uuid        not null,
  doc        text        not null check (octet_length(doc) <= 65536),
  opened     timestamptz not null,
  latest     timestamptz not null check (latest >= opened),
  times      integer     not null check (times > 0),
  closed     timestamptz,
  closed_by  text        check (octet_length(closed_by) between 1 and 200),
  why        text        check (octet_length(why) between 1 and 200),
  check (local_id <> '' or authority = ''),
  check ((closed is null) = (closed_by is null) and (closed is null) = (why is null))
);
create unique index item_open on item (kind, subject) where closed is null;
create index item_flag on item (local_id, authority) where closed is null;
create index item_backlog on item (number) where closed is null;
create index item_past on item (local_id, authority, number) where closed is not null;
comment on table item is
  'What a person has to look at; of one kind and subject one is open at most. local_id, authority: the record as first raised; empty: the message names no local number. exchange, doc, latest: of whoever raised it last. closed, closed_by, why: null while it is open.';

-- Settles letters, in the order of the rows, which is that of their positions; then adds letters:
-- rows without a position. Those get theirs in the order of the rows, but are inserted in the order
-- of their keys: so two instances never wait for each other. committer is the chain that says so:
-- counts of attempts begin anew at an operator's word, and would not tell its claim from another's.
-- +goose StatementBegin
create function spinetrace_outbox(
  committer smallint, positions bigint[], attempts bigint[], states smallint[], dues timestamptz[],
  refused smallint[], reasons text[], destinations text[], exchanges uuid[], control_ids text[], kinds smallint[],
  local_ids text[], authorities text[], bases uuid[], marks uuid[], ats timestamptz[]) returns integer
language plpgsql as $$
declare
  a record;
begin
  for a in
    select o.*, o.attempt = 0 and o.state = 1 as anew
      from unnest(positions, attempts, states, dues, refused, reasons, ats)
      as o (position, attempt, state, due, refusal, reason, at)
      where o.position is not null
  loop
    update public.outbox l set
        state = a.state, due = coalesce(a.due, l.due), lease = null, holder = null, reason = a.reason,
        attempt = case when a.anew then 0 else l.attempt end,
        refusals = case when a.anew then 0 else l.refusals + a.refusal end,
        ended = case when a.state in (3, 4) then a.at end
      where l.position = a.position and (
        a.attempt = 0 and l.state in (1, 2) or l.attempt = a.attempt and l.state = 1 and l.holder = committer);
  end loop;
  insert into public.outbox (position, destination, exchange, control_id, kind, local_id, authority, basis, mark,
      at, due, attempt, refusals, state, reason)
    overriding system value
    select n.place, n.destination, n.exchange, n.control_id, n.kind, n.local_id, n.authority, n.basis, n.mark,
      n.at, n.at, 0, 0, 1, ''
    from (
      select nextval('public.outbox_position_seq') as place, o.*
      from unnest(positions, destinations, exchanges, control_ids, kinds, local_ids, authorities, bases, marks, ats)
        as o (position, destination, exchange, control_id, kind, local_id, authority, basis, mark, at)
      where o.position is null) n
    order by n.exchange, n.destination, n.control_id, n.place
    on conflict (exchange, destination, control_id) do nothing;
  return cardinality(positions);
end
$$;
-- +goose StatementEnd
comment on function spinetrace_outbox is
  'Changes the outbox: a row with a position settles that letter, one without adds a letter.';

-- Takes a destination's first waiting letter, or returns it as it is, with the later moment when
-- it can be taken as its due. Only one taker at a time looks at a destination, as which letter is
-- the first may change, by an operator's word or a commit of another instance, while the letter
-- that was the first has been taken. Without the settings a plan that was made for an empty outbox
-- would read all of a full one.
-- +goose StatementBegin
create function spinetrace_next(place text, taker smallint, moment timestamptz, until timestamptz)
  returns setof outbox
language plpgsql set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  letter public.outbox;
begin
  perform pg_advisory_xact_lock(1869968482, hashtext(place));
  select l.* into letter from public.outbox l where l.destination = place and l.state = 1
    order by l.position limit 1 for update;
  if not found then
    return;
  end if;
  letter.due = greatest(letter.due, (
    select max(l.lease) from public.outbox l where l.destination = place and l.lease is not null and l.holder <> taker));
  if letter.due <= moment then
    update public.outbox l set attempt = l.attempt + 1, lease = until, holder = taker
      where l.position = letter.position returning l.* into letter;
  end if;
  return next letter;
end
$$;
-- +goose StatementEnd
comment on function spinetrace_next is
  'Takes the first waiting letter of a destination for a chain, unless that or a claim is due later than a moment.';

-- Raises and closes items; a row with a number closes. What is done to one item is done in the
-- order of the rows, and items come by kind and subject: so two instances never wait for each
-- other. An item is looked for before it is inserted, as numbers would be used up otherwise.
-- +goose StatementBegin
create function spinetrace_items(
  numbers bigint[], kinds smallint[], subjects text[], local_ids text[], authorities text[], nhs_numbers text[],
  exchanges uuid[], docs text[], notify text[], people text[], reasons text[], ats timestamptz[]) returns integer
language plpgsql as $$
declare
  a record;
  added bigint;
begin
  for a in
    select o.* from unnest(numbers, kinds, subjects, local_ids, authorities, nhs_numbers, exchanges, docs, notify, people, reasons, ats)
      with ordinality as o (number, kind, subject, local_id, authority, nhs_number, exchange, doc, destinations, closed_by, why, at, n)
      left join public.item i on i.number = o.number
      order by coalesce(i.kind, o.kind), coalesce(i.subject, o.subject) collate "C", o.n
  loop
    if a.number is not null then
      update public.item i set closed = a.at, closed_by = a.closed_by, why = a.why
        where i.number = a.number and i.closed is null;
      continue;
    end if;
    loop
      update public.item i set nhs_number = a.nhs_number, exchange = a.exchange, doc = a.doc,
          latest = greatest(i.latest, a.at), times = i.times + 1
        where i.kind = a.kind and i.subject = a.subject and i.closed is null;
      exit when found;
      insert into public.item (kind, subject, local_id, authority, nhs_number, exchange, doc, opened, latest, times)
        values (a.kind, a.subject, a.local_id, a.authority, a.nhs_number, a.exchange, a.doc, a.at, a.at, 1)
        on conflict (kind, subject) where closed is null do nothing
        returning item.number into added;
      continue when not found; -- another instance was quicker
      insert into public.outbox (destination, exchange, control_id, kind, local_id, authority, basis, mark,
          at, due, attempt, refusals, state, reason)
        select d, a.exchange, 'item ' || added, 4, a.local_id, a.authority, none, none, a.at, a.at, 0, 0, 1, ''
        from unnest(string_to_array(a.destinations, ' ')) d, (select '00000000-0000-0000-0000-000000000000'::uuid as none) z
        on conflict (exchange, destination, control_id) do nothing;
      exit;
    end loop;
  end loop;
  return cardinality(numbers);
end
$$;
-- +goose StatementEnd
comment on function spinetrace_items is
  'Changes the items: a row with a number closes that item, one without raises an item, and tells destinations if that opens it.';
revoke execute on function spinetrace_outbox, spinetrace_next, spinetrace_items from public;

-- Who was given a role by the release before needs its rights on these tables as well, and has
-- them before the new program starts. "migrate roles" gives the same.
-- +goose StatementBegin
do $$
begin
  if to_regrole('spinetrace_runtime') is not null then
    grant select, insert, update, delete on outbox, item to spinetrace_runtime;
    grant usage on sequence outbox_position_seq to spinetrace_runtime;
    grant execute on function spinetrace_outbox, spinetrace_next, spinetrace_items to spinetrace_runtime;
  end if;
  if to_regrole('spinetrace_reader') is not null then
    grant select on outbox, item to spinetrace_reader;
  end if;
end
$$;
-- +goose StatementEnd

-- Programs of versions 1 to 3 run on, but know of no outbox: what is in it waits.
insert into schema_version (version, oldest_program) values (4, 1);
