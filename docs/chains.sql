-- The chains of the journal, computed again by nothing but PostgreSQL: for each the head, as
-- `spinetrace audit head` prints it, and how many rows do not follow from the row before, which
-- must be 0. It needs a login that may read, such as one in role spinetrace_searcher:
--
--   psql -AtF ' ' -f chains.sql spinetrace
with link as (
  select chain, seq, hash,
    seq - row_number() over following as gap,
    max(seq) over (partition by chain) as newest,
    sha256(coalesce(lag(hash) over following, decode(repeat('00', 32), 'hex')) || convert_to(doc, 'UTF8')) as computed
  from event
  window following as (partition by chain order by seq)
)
select c.name || ':' || l.newest || ':' || max(encode(l.computed, 'hex')) filter (where l.seq = l.newest) as head,
  count(*) filter (where l.computed <> l.hash or l.gap <> 0) as wrong
from link l join chain c on c.id = l.chain
group by c.name, l.newest order by c.name;
