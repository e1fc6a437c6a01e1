package main

import (
	"cmp"
	"context"
	"flag"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"spinetrace/store"
)

// inquiry is what `audit find` was asked for.
type inquiry struct {
	listing
	sought
	given  inquired
	search store.Search                // without the numbers, which may be several
	paged  int                         // number of the page
	next   func(after store.ID) string // the command that shows the page behind an exchange
}

// inquired are the flags as they were written.
type inquired struct {
	periodFlags
	sender, outcome, seq, after string
}

// defaultPage is how many messages `audit find` lists unless it is told otherwise.
const defaultPage = 100

// auditFind lists the messages that fit.
func auditFind(ctx context.Context, c console, args []string) error {
	q := inquiry{listing: listing{most: defaultPage}}
	fs := newFlags("audit find", "audit find [flags]\n\nLists the messages of the journal that fit all that is asked for, the newest first, page by\npage. That somebody looked, for what, and how many were shown is recorded first, on the\nchain of the commands; audit show tells the whole story of one, and\naudit report looks who has looked.\n\n"+aboutTimes)
	q.flags(fs)
	if err := q.parse(fs, c, args, 0); err != nil {
		return err
	}
	if err := q.read(); err != nil {
		return err
	}
	q.next = func(after store.ID) string { return q.command(fs, after) }
	return reading(ctx, c, func(db store.Store) error { return q.run(ctx, c.Out, db) })
}

func (q *inquiry) flags(fs *flag.FlagSet) {
	fs.Var(digitsFlag(&q.number), "nhs-number", "this NHS `number` was sent, be its check digit right or wrong, or Spine was asked about it or named\nit; or one that Spine has tied to it because the one was superseded by the other")
	fs.StringVar(&q.localID, "local-id", "", "about the patient with this local `number`, or with one that was merged into it or it into")
	q.flag(fs)
	fs.StringVar(&q.search.ControlID, "control-id", "", "with this MSH-10, `ID`")
	fs.StringVar(&q.search.MessageID, "message-id", "", "in which the back end was asked or answered under this `ID`: wsa:MessageID, tracking id,\npayload id, X-Request-ID, X-Correlation-ID; or from which an A31 with this MSH-10 followed")
	fs.StringVar(&q.search.User, "user", "", "on behalf of this `name`: EVN-5, or who used the command line; system is nobody")
	fs.StringVar(&q.given.sender, "sender", "", "from `APPLICATION[^FACILITY]`, MSH-3 and MSH-4: as lists print them, or the first component of each")
	fs.StringVar(&q.given.outcome, "outcome", "", "that ended in these `words`, such as \"no match\"")
	q.given.flags(fs, time.Now(), "", "that came")
	fs.StringVar(&q.search.Chain, "chain", "", "whose first event is in the chain of this `name`")
	fs.StringVar(&q.given.seq, "seq", "", "and has this number there, or one of these, `N or N-M`")
	fs.StringVar(&q.given.after, "after", "", "the next page: only messages older than the one with this `EXCHANGE-ID`")
	fs.IntVar(&q.paged, "page", 1, "its `number`, for its last line; goes with --after")
}

// read makes the search of the flags.
func (q *inquiry) read() error {
	q.search.Sender = strings.TrimRight(q.given.sender, "^")
	if strings.HasPrefix(q.given.sender, "^") {
		return usageError("--sender begins with the application; write APPLICATION or APPLICATION^FACILITY")
	}
	return cmp.Or(q.check(), q.readOutcome(), q.readTimes(), q.readPlace(), q.readAfter())
}

func (q *inquiry) readOutcome() error {
	if q.given.outcome == "" {
		return nil
	}
	o, ok := store.ParseOutcome(q.given.outcome)
	if !ok {
		return usageError("--outcome is not one of " + outcomeWords())
	}
	q.search.Outcome = o
	return nil
}

// outcomeWords lists the outcomes.
func outcomeWords() string {
	var words []string
	for o := store.Outcome(1); ; o++ {
		if known, ok := store.ParseOutcome(o.String()); !ok || known != o {
			return strings.Join(words, ", ")
		}
		words = append(words, o.String())
	}
}

func (q *inquiry) readTimes() error {
	p, err := q.given.period()
	q.search.From, q.search.Until = p.from, p.until
	return err
}

func (q *inquiry) readPlace() error {
	if q.given.seq == "" {
		return nil
	}
	if q.search.Chain == "" {
		return usageError("--seq needs --chain: each chain counts for itself")
	}
	low, high, isRange := strings.Cut(q.given.seq, "-")
	if !isRange {
		high = low
	}
	first, err := strconv.ParseInt(low, 10, 64)
	last, err2 := strconv.ParseInt(high, 10, 64)
	if err != nil || err2 != nil || first < 1 || last < first {
		return usageError("--seq is neither N nor N-M")
	}
	q.search.FromSeq, q.search.UntilSeq = first, last
	return nil
}

func (q *inquiry) readAfter() error {
	if q.paged < 1 || q.paged > 1 && q.given.after == "" {
		return usageError("--page is the number of a page, and goes with --after; copy both from the end of the page before")
	}
	if q.given.after == "" {
		return nil
	}
	id, err := uuid.Parse(q.given.after)
	if err != nil {
		return usageError("--after is not the id of an exchange; copy it from the end of the page before")
	}
	q.search.After = id
	return nil
}

// run finds, records the look, and only then shows.
func (q *inquiry) run(ctx context.Context, w io.Writer, db store.Store) error {
	if err := q.widen(ctx, db); err != nil {
		return err
	}
	found, more, err := q.page(ctx, db)
	if err == nil && len(found) == 0 && q.search.Chain != "" {
		_, err = headsOf(ctx, db, q.search.Chain) // looking for the heads takes longer than most searches
	}
	if err != nil {
		return err
	}
	p := page[foundRow]{list: list[foundRow]{columns: foundColumns, none: "The journal holds no such message."}, number: q.paged, notes: q.notes()}
	for _, x := range found {
		p.rows = append(p.rows, rowOfExchange(x))
	}
	if more {
		p.more = "there are more: " + q.next(found[len(found)-1].ID)
	}
	return p.show(ctx, w, db, q.listing, q.filters(found))
}

// idsOf writes the ids of exchanges for the record of a look.
func idsOf(found []store.Exchange) string {
	ids := make([]string, len(found))
	for i, x := range found {
		ids[i] = x.ID.String()
	}
	return strings.Join(ids, " ")
}

func sortedKeys(set map[string]bool) []string {
	var keys []string
	for key := range set {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// eachFound reads all exchanges that fit, page by page.
func eachFound(ctx context.Context, db store.Audit, s store.Search, do func(store.Exchange)) error {
	s.Limit = pageSize
	for {
		found, err := db.Search(ctx, s)
		if err != nil {
			return err
		}
		for _, x := range found {
			do(x)
			s.After = x.ID
		}
		if len(found) < pageSize {
			return nil
		}
	}
}

// page returns the exchanges of one page, and whether there are more behind them. Each number is
// asked for by itself: all answers have the order of the ids, so the page of their union does.
func (q *inquiry) page(ctx context.Context, db store.Audit) (found []store.Exchange, more bool, err error) {
	s := q.search
	s.Limit = q.most + 1
	err = q.each(s, func(s store.Search) error {
		some, err := db.Search(ctx, s)
		found = append(found, some...)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	slices.SortFunc(found, func(a, b store.Exchange) int { return compareIDs(b.ID, a.ID) })
	found = slices.CompactFunc(found, func(a, b store.Exchange) bool { return a.ID == b.ID })
	if more = len(found) > q.most; more {
		found = found[:q.most]
	}
	return found, more, nil
}

// filters are what the record says was looked for, and which messages are shown.
func (q *inquiry) filters(found []store.Exchange) map[string]string {
	return q.sought.filters(map[string]string{
		"command": "audit find", "control_id": q.search.ControlID, "message_id": q.search.MessageID,
		"user": q.search.User, "sender": q.given.sender, "outcome": q.given.outcome,
		"from": stamp(q.search.From.UTC()), "until": stamp(q.search.Until.UTC()),
		"chain": q.search.Chain, "seq": q.given.seq, "after": q.given.after, "shown": idsOf(found),
	})
}

// command writes the command that shows the next page. Times are those of this page, however
// they were written: "24h" would be another one by then.
func (q *inquiry) command(fs *flag.FlagSet, after store.ID) string {
	words := []string{"spinetrace", "audit", "find"}
	fs.Visit(func(f *flag.Flag) {
		value := f.Value.String()
		switch f.Name {
		case "after", "page":
			return
		case "from":
			value = q.search.From.Format(time.RFC3339Nano)
		case "until":
			value = q.search.Until.Format(time.RFC3339Nano)
		}
		if _, ok := f.Value.(interface{ IsBoolFlag() bool }); ok {
			words = append(words, "--"+f.Name+"="+value)
			return
		}
		words = append(words, "--"+f.Name, quoted(value))
	})
	return strings.Join(append(words, "--page", strconv.Itoa(q.paged+1), "--after", after.String()), " ")
}

// plainWord is what a shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.:+@%/-]+$`)

// quoted writes a word so that a shell reads it as one.
func quoted(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// foundRow is a message for a list.
type foundRow struct {
	Seq         string    `json:"seq"`
	Exchange    string    `json:"exchange"`
	At          time.Time `json:"at"`
	Application string    `json:"application"`
	Facility    string    `json:"facility"`
	ControlID   string    `json:"control_id"`
	Type        string    `json:"type"`
	User        string    `json:"user,omitempty"`
	LocalID     string    `json:"local_id"`
	Sent        string    `json:"nhs_number_sent"`
	Found       string    `json:"nhs_number_found"`
	Outcome     string    `json:"outcome"`
}

func rowOfExchange(x store.Exchange) foundRow {
	return foundRow{
		Seq: place{x.Chain, x.Seq}.String(), Exchange: x.ID.String(), At: x.At.UTC(),
		Application: x.Application, Facility: x.Facility, ControlID: x.ControlID, Type: x.Type, User: cmp.Or(x.User, store.System),
		LocalID: x.LocalID, Sent: x.NHSNumber, Found: x.NHSFound, Outcome: x.Outcome.String(),
	}
}

var foundColumns = []string{
	"at", "type", "control_id", "application", "facility", "user", "local_id", "nhs_number_sent", "nhs_number_found",
	"outcome", "seq", "exchange",
}

// values leaves the exchange's id out on screen: audit show takes the place as well, and it is
// shorter.
func (r foundRow) values(screen bool) []string {
	id := r.Exchange
	if screen {
		id = ""
	}
	return []string{
		stamp(r.At), r.Type, r.ControlID, r.Application, r.Facility, r.User, r.LocalID,
		onScreen(r.Sent, screen), onScreen(r.Found, screen), r.Outcome, r.Seq, id,
	}
}
