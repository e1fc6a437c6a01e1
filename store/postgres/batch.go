package postgres

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"spinetrace/store"
)

// shape says which tables a batch's statement writes to, beside event. A role needs only
// the rights on those, and an unused table costs nothing.
type shape uint16

const (
	toSeen shape = 1 << iota
	toExchange
	toReply
	toBody
	fromSeen
	toPatient
	toWork
	toOutbox
	toItems
	toEnding
	toMention

	// functions marks the targets that are no tables.
	functions = toWork | toOutbox | toItems
)

// column is one column of an insert, as an array of parameters.
type column struct {
	name, kind string
	oid        uint32
}

var (
	colExchange = column{"exchange", "uuid", oidUUID}
	colAt       = column{"at", "timestamptz", oidTimestamp}
	colControl  = column{"control_id", "text", oidText}
	colSeq      = column{"seq", "bigint", oidBigint}
	colOutcome  = column{"outcome", "smallint", oidSmallint}
	colFound    = column{"nhs_found", "text", oidText}
)

// target is one table of the statement, or a function that changes tables. chain says that its rows
// begin with our chain, or that this is the function's first argument.
type target struct {
	table   string
	bit     shape
	chain   bool
	columns []column
	after   string // what follows the insert
}

// The indexes of targets.
const (
	inForget = iota
	inSeen
	inExchange
	inReply
	inEnding
	inPatient
	inBody
	inMention
	inWork
	inOutbox
	inItems
	inEvent
)

// targets are in the order in which the statement takes its locks. Events are always
// written.
var targets = [...]target{
	{"seen", fromSeen, false, []column{colControl, colExchange}, ""},
	{"seen", toSeen, false, []column{colControl, {"sender", "uuid", oidUUID}, {"body", "uuid", oidUUID}, colExchange, colAt}, ""},
	{"exchange", toExchange, true, []column{
		{"id", "uuid", oidUUID}, colAt, {"application", "text", oidText}, {"facility", "text", oidText}, colControl,
		{"type", "text", oidText}, {"local_id", "text", oidText}, {"nhs_sent", "text", oidText}, {"asker", "text", oidText},
		colOutcome, colFound, colSeq}, ""},
	{"reply", toReply, false, []column{colExchange, colAt, colOutcome, colFound}, ""},
	{"ending", toEnding, false, []column{colExchange, colAt, colOutcome, colFound}, " on conflict do nothing"},
	patientTarget("false"),
	{"body", toBody, true, []column{
		colExchange, colSeq, {"codec", "smallint", oidSmallint}, {"key_id", "smallint", oidSmallint}, {"data", "bytea", oidBytea}}, ""},
	{"mention", toMention, false, []column{{"id", "text", oidText}, colExchange}, ""},
	workTarget,
	outboxTarget,
	itemsTarget,
	{"event", 0, true, []column{
		colSeq, colAt, {"kind", "smallint", oidSmallint}, colExchange, {"doc", "text", oidText}, {"hash", "bytea", oidBytea}}, ""},
}

// sql returns the statement of a shape. Its first parameter is the chain, the others are
// the columns of its targets, in order.
func (s shape) sql() string {
	var with []string
	n, after := 1, ""
	for i, t := range targets[:inEvent] {
		if t.bit&s != t.bit {
			continue
		}
		q := t.sql(&n)
		if t.bit&functions != 0 {
			// What only selects is not run for its own sake: each function reads the one that is to
			// run before it, and the insert into event the last.
			if after != "" {
				q += " from " + after
			}
			after = fmt.Sprint("t", i)
		}
		with = append(with, fmt.Sprintf("t%d as (%s)", i, q))
	}
	q := targets[inEvent].sql(&n)
	if after != "" {
		q += " cross join " + after
	}
	if len(with) == 0 {
		return q
	}
	return "with " + strings.Join(with, ", ") + " " + q
}

func (t target) sql(n *int) string {
	names, arrays := make([]string, len(t.columns)), make([]string, len(t.columns))
	for i, c := range t.columns {
		*n++
		names[i], arrays[i] = c.name, fmt.Sprintf("$%d::%s[]", *n, c.kind)
	}
	rows := fmt.Sprintf("unnest(%s) as r (%s)", strings.Join(arrays, ", "), strings.Join(names, ", "))
	switch {
	case t.bit&functions != 0:
		if t.chain {
			arrays = slices.Insert(arrays, 0, "$1::smallint")
		}
		return fmt.Sprintf("select %s(%s)", t.table, strings.Join(arrays, ", "))
	case t.bit == fromSeen:
		return "delete from seen using " + rows + " where seen.control_id = r.control_id and seen.exchange = r.exchange"
	case t.chain:
		return fmt.Sprintf("insert into %s (chain, %s) select $1::smallint, r.* from %s", t.table, strings.Join(names, ", "), rows)
	}
	return fmt.Sprintf("insert into %s (%s) select r.* from %s", t.table, strings.Join(names, ", "), rows) + t.after
}

// batch turns commits into the parameters of one statement. Its memory is used again.
type batch struct {
	shape   shape
	columns [len(targets)][19]array // by target and column
	claims  []claimRow
	replies []replyRow
	endings []replyRow
	forgets []replyRow
	touched patientRows
	acts    []act
	outbox  outboxRows
	items   itemRows

	claimed map[store.ClaimKey]store.ID
	ended   map[store.ID]bool

	login string // whom the server takes a command for; "" for the service
}

// claimRow and replyRow wait to be sorted: two instances that insert the same keys in
// different orders would wait for each other.
type claimRow struct {
	key      store.ClaimKey
	exchange store.ID
	at       time.Time
}

type replyRow struct {
	exchange store.ID
	at       time.Time
	closing  store.Closing
	control  string
}

func (r replyRow) encode(c []array) {
	c[0].uuid(r.exchange)
	c[1].time(r.at)
	c[2].smallint(int16(r.closing.Outcome))
	c[3].text(store.Text(r.closing.NHSNumber))
}

func newBatch() *batch {
	return &batch{touched: make(patientRows), claimed: make(map[store.ClaimKey]store.ID), ended: make(map[store.ID]bool)}
}

func (b *batch) reset() {
	b.shape = 0
	for t := range targets {
		for c, col := range targets[t].columns {
			b.columns[t][c].reset(col.oid)
		}
	}
	b.claims, b.replies, b.endings, b.forgets = b.claims[:0], b.replies[:0], b.endings[:0], b.forgets[:0]
	clear(b.touched)
	b.acts = b.acts[:0]
	b.outbox.reset()
	b.items = b.items[:0]
	clear(b.claimed)
	clear(b.ended)
}

// encode seals the commits' events onto head, in the order they came, and sets each
// commit's receipt to what it will be if the statement succeeds. It returns the new head.
func (b *batch) encode(head store.Head, now time.Time, commits []*pending) store.Head {
	b.reset()
	for _, p := range commits {
		b.add(&head, now, p)
	}
	b.flushSorted(head.At)
	return head
}

func (b *batch) add(head *store.Head, now time.Time, p *pending) {
	c := p.commit
	if first, ok := b.earlier(p); ok {
		p.receipt = store.Receipt{Status: store.Duplicate, First: first}
		b.event(b.append(head, now, first, store.Entry{Kind: store.Resent, Facts: c.Entries[0].Facts}))
		return
	}
	entries, last := c.Entries, len(c.Entries)-1
	p.receipt = store.Receipt{}
	if c.Close != nil && (p.answered || b.ended[c.Exchange]) {
		p.receipt = store.Receipt{Status: store.AlreadyClosed, First: c.Exchange}
		entries = slices.Clone(entries)
		entries[last] = store.Entry{Kind: store.Resent, Facts: entries[last].Facts}
	}
	for _, patient := range p.patients {
		b.touched.add(patient)
	}
	for _, a := range p.acts {
		if a.act != addWork || p.receipt.Status == store.Kept {
			b.acts = append(b.acts, a)
		}
	}
	b.outbox.add(p.outbox, p.receipt.Status)
	b.items.add(p.items, p.receipt.Status)
	var opened, ended store.Event
	for i, e := range entries {
		ended = b.append(head, now, c.Exchange, e)
		if i == 0 {
			opened = ended
		}
		b.event(ended)
		if len(e.Parts) > 0 {
			b.body(c.Exchange, ended.Seq, p.bodies[i])
		}
	}
	if c.Open != nil {
		b.open(p, opened)
	}
	if c.Close != nil && p.receipt.Status == store.Kept {
		b.close(p, ended)
	}
	if c.Late != nil {
		b.endings = append(b.endings, replyRow{exchange: c.Exchange, at: ended.At, closing: *c.Late})
	}
	b.mention(c.Exchange, p.mentions)
}

// append seals an entry onto head, with the login that the server knows: a policy asks a role that may
// record its own looks only for that.
func (b *batch) append(head *store.Head, now time.Time, exchange store.ID, e store.Entry) store.Event {
	e.Facts.DBLogin = b.login
	return head.Append(now, exchange, e)
}

// earlier returns the exchange that claimed the commit's message before, on disk or in this
// batch.
func (b *batch) earlier(p *pending) (store.ID, bool) {
	if !p.claims() {
		return store.ID{}, false
	}
	if p.first != (store.ID{}) {
		return p.first, true
	}
	first, ok := b.claimed[p.key]
	return first, ok
}

func (p *pending) claims() bool { return p.commit.Open != nil && p.commit.Open.Claim != nil }

// forgets says whether the commit gives a claim up.
func (p *pending) forgets() bool { return p.commit.Close != nil && p.commit.Close.Forget }

func (b *batch) event(e store.Event) {
	c := &b.columns[inEvent]
	c[0].bigint(e.Seq)
	c[1].time(e.At)
	c[2].smallint(int16(e.Kind))
	c[3].uuid(e.Exchange)
	c[4].text(e.Doc)
	c[5].bytea(e.Hash[:])
}

func (b *batch) body(exchange store.ID, seq int64, v body) {
	b.shape |= toBody
	c := &b.columns[inBody]
	c[0].uuid(exchange)
	c[1].bigint(seq)
	c[2].smallint(int16(v.codec))
	c[3].smallint(int16(v.key))
	c[4].bytea(v.data)
}

func (b *batch) mention(exchange store.ID, ids []string) {
	c := &b.columns[inMention]
	for _, id := range ids {
		b.shape |= toMention
		c[0].text(id)
		c[1].uuid(exchange)
	}
}

func (b *batch) open(p *pending, e store.Event) {
	b.shape |= toExchange
	o, id := p.commit.Open, p.commit.Exchange
	c := &b.columns[inExchange]
	c[0].uuid(id)
	c[1].time(e.At)
	c[2].text(store.Text(o.Application))
	c[3].text(store.Text(o.Facility))
	c[4].text(store.Text(o.ControlID))
	c[5].text(store.Text(o.Type))
	c[6].text(store.Text(o.LocalID))
	c[7].text(store.Text(o.NHSNumber))
	c[8].text(store.Text(o.User))
	if end := p.commit.Close; end != nil {
		c[9].smallint(int16(end.Outcome))
		c[10].text(store.Text(end.NHSNumber))
	} else {
		c[9].null()
		c[10].null()
	}
	c[11].bigint(e.Seq)
	// A claim that is given up in the same act was looked up, and is never written.
	if p.claims() && !p.forgets() {
		b.claimed[p.key] = id
		b.claims = append(b.claims, claimRow{p.key, id, e.At})
	}
}

func (b *batch) close(p *pending, e store.Event) {
	b.ended[p.commit.Exchange] = true
	if p.commit.Open != nil {
		return // the outcome is in the exchange's own row
	}
	row := replyRow{p.commit.Exchange, e.At, *p.commit.Close, p.control}
	b.replies = append(b.replies, row)
	if row.closing.Forget {
		b.forgets = append(b.forgets, row)
	}
}

// flushSorted writes the rows that other instances may write too, in the order of their keys.
func (b *batch) flushSorted(at time.Time) {
	slices.SortFunc(b.claims, func(x, y claimRow) int { return compareKeys(x.key, y.key) })
	for _, r := range b.claims {
		b.shape |= toSeen
		c := &b.columns[inSeen]
		c[0].text(r.key.ControlID)
		c[1].uuid(r.key.Sender)
		c[2].uuid(r.key.Body)
		c[3].uuid(r.exchange)
		c[4].time(r.at)
	}
	byExchange := func(x, y replyRow) int { return bytes.Compare(x.exchange[:], y.exchange[:]) }
	slices.SortFunc(b.replies, byExchange)
	for _, r := range b.replies {
		b.shape |= toReply
		r.encode(b.columns[inReply][:])
	}
	slices.SortStableFunc(b.endings, byExchange) // of one exchange the first counts
	for _, r := range b.endings {
		b.shape |= toEnding
		r.encode(b.columns[inEnding][:])
	}
	slices.SortFunc(b.forgets, byExchange)
	for _, r := range b.forgets {
		b.shape |= fromSeen
		c := &b.columns[inForget]
		c[0].text(r.control)
		c[1].uuid(r.exchange)
	}
	if len(b.touched) > 0 {
		b.shape |= toPatient
		b.touched.encode(b.columns[inPatient][:], at)
	}
	if len(b.acts) > 0 {
		b.shape |= toWork
		encodeActs(b.columns[inWork][:], b.acts)
	}
	if len(b.outbox.dispatched)+len(b.outbox.letters) > 0 {
		b.shape |= toOutbox
		b.outbox.encode(b.columns[inOutbox][:], at)
	}
	if len(b.items) > 0 {
		b.shape |= toItems
		b.items.encode(b.columns[inItems][:], at)
	}
}

func compareKeys(a, b store.ClaimKey) int {
	return cmp.Or(
		strings.Compare(a.ControlID, b.ControlID),
		bytes.Compare(a.Sender[:], b.Sender[:]),
		bytes.Compare(a.Body[:], b.Body[:]),
	)
}

// args returns the statement's parameters.
func (b *batch) args(chain int16) []any {
	args := []any{int64(chain)}
	for t := range targets {
		if bit := targets[t].bit; bit&b.shape != bit {
			continue
		}
		for c := range targets[t].columns {
			args = append(args, b.columns[t][c].bytes())
		}
	}
	return args
}
