package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"spinetrace/store"
)

var searchings = map[string]func(*testing.T, Database){
	"finds what a plain search finds, by every filter": testSearchModel,
	"pages on while new exchanges come":                testSearchPaging,
	"finds exchanges by the ids of their calls":        testSearchMentions,
	"goes by when an exchange began":                   testSearchTime,
	"finds exchanges by every number they are about":   testSearchNumbers,
	"finds how a late trace ended, the first one":      testLate,
	"refuses a late end of nothing":                    testLateRejected,
}

// idAt returns an id of a moment.
func idAt(at time.Time) store.ID {
	id, first := store.NewID(), store.FirstID(at)
	copy(id[:6], first[:6])
	return id
}

// library is what should be found: exchanges, and the ids of their calls.
type library struct {
	all      []store.Exchange
	mentions map[store.ID][]string
	found    map[store.ID][]string // every number that was named, also by ends that do not count any more
	locals   map[store.ID][]string // local numbers beside its own
}

// callings are what a sender may be called.
func callings(x store.Exchange) []string {
	application, facility := strings.Split(x.Application, "^"), strings.Split(x.Facility, "^")
	all := []string{application[0] + "^" + facility[0]}
	whole := slices.Concat(application, facility)
	for n := range whole {
		all = append(all, strings.Join(whole[:n+1], "^"))
	}
	return all
}

// search looks through all of them.
func (l *library) search(s store.Search) []store.Exchange {
	from, end := s.Range()
	match := func(want, got string) bool { return want == "" || want == got }
	var found []store.Exchange
	for _, x := range l.all {
		switch {
		case bytes.Compare(x.ID[:], from[:]) < 0, bytes.Compare(x.ID[:], end[:]) >= 0:
		case s.NHSNumber != "" && x.NHSNumber != s.NHSNumber && !slices.Contains(l.found[x.ID], s.NHSNumber):
		case s.LocalID != "" && x.LocalID != s.LocalID && !slices.Contains(l.locals[x.ID], s.LocalID):
		case s.MessageID != "" && !slices.Contains(l.mentions[x.ID], s.MessageID):
		case !match(s.ControlID, x.ControlID), !match(s.User, asker(x)), !match(s.Chain, x.Chain):
		case s.Sender != "" && !slices.Contains(callings(x), s.Sender):
		case s.Outcome != 0 && s.Outcome != x.Outcome:
		case s.Chain != "" && (s.FromSeq > x.Seq || s.UntilSeq != 0 && s.UntilSeq < x.Seq):
		default:
			found = append(found, x)
		}
	}
	slices.SortFunc(found, func(a, b store.Exchange) int { return bytes.Compare(b.ID[:], a.ID[:]) })
	return found[:min(len(found), s.Limit)]
}

// asker is on whose behalf an exchange was.
func asker(x store.Exchange) string {
	if x.User == "" {
		return store.System
	}
	return x.User
}

// add draws an exchange, keeps it in one of the stores, and notes it.
func (l *library) add(t *testing.T, rt *rapid.T, stores map[string]store.Store, now time.Time) {
	draw := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(rt, name) }
	o := &store.Opening{
		Application: draw("application", "PAS", "PAS^1.2^ISO", "RIS"), Facility: draw("facility", "RXX01", "RXX01^2.3", "RXX02"), Type: "ADT^A28",
		ControlID: draw("control id", "A", "B", "C"), LocalID: draw("local id", "", "100001", "100002"),
		NHSNumber: draw("number", "", "9990000018", "9990000026"), User: draw("user", "", "ANNE", "BERT"),
		NHSNumbers: []string{draw("wrong number", "", "9990000018", "9990000019")}, LocalIDs: []string{draw("old local id", "", "100002", "100003")},
	}
	chain := draw("chain", "one", "two")
	numbers := []string{"", "9990000018", "9990000026", "9990000034"}
	outcomes := []store.Outcome{store.Pending, store.Traced, store.NoMatch}
	closing := func(name string) *store.Closing {
		return &store.Closing{Outcome: rapid.SampledFrom(outcomes).Draw(rt, name), NHSNumber: draw(name+" number", numbers...)}
	}
	c := store.Commit{
		Exchange: idAt(now.Add(-time.Duration(rapid.IntRange(0, 100).Draw(rt, "hours")) * time.Hour)), Open: o,
		Entries: []store.Entry{{Kind: store.Received}, {Kind: store.Asked, Facts: store.Facts{MessageID: draw("message id", "", "M1", "M2")}}},
	}
	x := store.Exchange{
		ID: c.Exchange, Application: o.Application, Facility: o.Facility, ControlID: o.ControlID, Type: o.Type, LocalID: o.LocalID,
		NHSNumber: o.NHSNumber, User: o.User, Chain: chain, Seq: headOf(t, stores[chain], chain) + 1,
	}
	ended := func(end *store.Closing) {
		x.Outcome, x.NHSFound = end.Outcome, end.NHSNumber
		l.found[x.ID] = append(l.found[x.ID], end.NHSNumber)
	}
	l.mentions[x.ID] = append(l.mentions[x.ID], c.Entries[1].Facts.MessageID)
	l.found[x.ID], l.locals[x.ID] = slices.Clone(o.NHSNumbers), o.LocalIDs
	steps := []store.Commit{c}
	later := func(end store.Commit) {
		facts := store.Facts{AnswerID: draw("answer id", "M1", "M3"), NHSFound: draw("number named", numbers...)}
		end.Exchange, end.Sent, end.Entries = c.Exchange, o.NHSNumber, []store.Entry{{Kind: store.Answered, Facts: facts}}
		l.mentions[x.ID], l.found[x.ID] = append(l.mentions[x.ID], facts.AnswerID), append(l.found[x.ID], facts.NHSFound)
		steps = append(steps, end)
	}
	switch draw("closed", "at once", "later", "not") {
	case "at once":
		steps[0].Close = closing("end")
		ended(steps[0].Close)
	case "later":
		later(store.Commit{Close: closing("end")})
		ended(steps[1].Close)
	}
	if draw("late", "yes", "no") == "yes" {
		later(store.Commit{Late: closing("late end")})
		ended(steps[len(steps)-1].Late)
	}
	for _, step := range steps {
		commit(t, stores[chain], step)
	}
	l.all = append(l.all, x)
}

func headOf(t *testing.T, s store.Store, chain string) int64 {
	t.Helper()
	heads, err := s.Heads(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range heads {
		if h.Chain == chain {
			return h.Seq
		}
	}
	return 0
}

// combination draws filters, few of them more often than many.
func combination(rt *rapid.T, l *library, now time.Time) store.Search {
	text := func(name string, of ...string) string {
		if rapid.IntRange(0, 2).Draw(rt, "with "+name) > 0 {
			return ""
		}
		return rapid.SampledFrom(of).Draw(rt, name)
	}
	s := store.Search{
		NHSNumber: text("number", "9990000018", "9990000019", "9990000026", "9990000034"), LocalID: text("local id", "100001", "100002", "100003", "none"),
		ControlID: text("control id", "A", "B"), MessageID: text("message id", "M1", "M2", "M3", "nhs:9990000019"), User: text("user", "ANNE", "BERT", store.System),
		Sender: text("sender", "PAS", "PAS^RXX01", "PAS^1.2", "PAS^1.2^ISO^RXX01", "PA", "RIS^RXX02", "RXX01"), Chain: text("chain", "one", "two", "three"),
		Limit: rapid.IntRange(0, 5).Draw(rt, "limit"),
	}
	s.Outcome = map[string]store.Outcome{"": 0, "traced": store.Traced, "pending": store.Pending}[text("outcome", "traced", "pending")]
	if s.Chain != "" {
		s.FromSeq, s.UntilSeq = rapid.Int64Range(0, 40).Draw(rt, "from"), rapid.Int64Range(0, 60).Draw(rt, "until")
	}
	hours := func(name string) time.Time {
		if rapid.IntRange(0, 2).Draw(rt, "with "+name) > 0 {
			return time.Time{}
		}
		return now.Add(-time.Duration(rapid.IntRange(-1, 101).Draw(rt, name)) * time.Hour)
	}
	s.From, s.Until = hours("since"), hours("before")
	if len(l.all) > 0 && rapid.IntRange(0, 2).Draw(rt, "on") == 0 {
		s.After = rapid.SampledFrom(l.all).Draw(rt, "after").ID
	}
	return s
}

// withoutTime compares all but when the first event happened, which is for the chain to say.
var withoutTime = cmp.Options{cmpopts.IgnoreFields(store.Exchange{}, "At"), cmpopts.EquateEmpty()}

func testSearchModel(t *testing.T, db Database) {
	now := time.Now()
	stores := map[string]store.Store{"one": start(t, db, store.Options{Chain: "one"}), "two": start(t, db, store.Options{Chain: "two"})}
	l := &library{mentions: map[store.ID][]string{}, found: map[store.ID][]string{}, locals: map[store.ID][]string{}}
	rapid.Check(t, func(rt *rapid.T) {
		if len(l.all) < 60 {
			l.add(t, rt, stores, now)
		}
		for range 5 {
			s := combination(rt, l, now)
			got, err := stores["one"].Search(deadline(t), s)
			if err != nil {
				rt.Fatalf("Search(%+v) error = %v", s, err)
			}
			if diff := cmp.Diff(l.search(s), got, withoutTime); diff != "" {
				rt.Fatalf("Search(%+v) (-want +got):\n%s", s, diff)
			}
		}
	})
}

func ids(found []store.Exchange) (all []store.ID) {
	for _, x := range found {
		all = append(all, x.ID)
	}
	return all
}

func testSearchPaging(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	now := time.Now()
	var want []store.ID
	send := func(n int, at time.Time) store.ID {
		c := exchanged(fmt.Sprint("PAS", n))
		c.Exchange = idAt(at)
		commit(t, s, c)
		return c.Exchange
	}
	for n := range 7 {
		want = append(want, send(n, now.Add(-time.Duration(n)*time.Minute)))
	}
	for name, filter := range map[string]store.Search{
		"all": {}, "of a patient": {LocalID: "100001"}, "of a number": {NHSNumber: "9990000018"}, "of a sender": {Sender: "PAS"},
		"of a chain": {Chain: "main", UntilSeq: 1000},
	} {
		var got []store.ID
		for page, n := filter, 0; ; n++ {
			page.Limit = 3
			found, err := s.Search(deadline(t), page)
			if err != nil {
				t.Fatalf("%s: Search() error = %v", name, err)
			}
			if n == 0 {
				want = append(ids(found[:slices.IndexFunc(found, func(x store.Exchange) bool { return x.ID == want[0] })]), want...)
			}
			got = append(got, ids(found)...)
			if len(found) < page.Limit {
				break
			}
			page.After = found[len(found)-1].ID
			if n == 0 {
				send(1000+len(want), now.Add(time.Minute+time.Duration(len(want))*time.Second))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s, by pages (-want +got):\n%s", name, diff)
		}
	}
}

func testSearchMentions(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	other := start(t, db, store.Options{Chain: "other"})
	c := received("PAS1")
	asked := store.Entry{Kind: store.Asked, Facts: store.Facts{MessageID: "message", TrackingID: "tracking", PayloadID: "payload"}}
	c.Entries = append(c.Entries, asked, asked)
	commit(t, s, c)
	end := replied(c.Exchange, "reply")
	end.Entries[0].Facts.AnswerID = "answer"
	end.Entries[1].Facts.MessageID = "of no call"
	end.Entries = slices.Insert(end.Entries, 0, asked)
	commit(t, other, end)
	commit(t, s, exchanged("PAS2"))
	again := exchanged("PAS1")
	again.Open.Claim.Digest = c.Open.Claim.Digest
	again.Entries[0] = store.Entry{Kind: store.Asked, Facts: store.Facts{MessageID: "of a duplicate"}}
	if r := receipt(t, s, again); r.Status != store.Duplicate {
		t.Fatalf("Commit() status = %d, want Duplicate", r.Status)
	}
	for id, want := range map[string]int{
		"message": 1, "tracking": 1, "payload": 1, "answer": 1, "of no call": 0, "of a duplicate": 0, "none": 0,
	} {
		found, err := s.Search(deadline(t), store.Search{MessageID: id, Limit: 9})
		if err != nil || len(found) != want || want == 1 && found[0].ID != c.Exchange {
			t.Errorf("%s: Search() = %d exchanges, error %v; want %d", id, len(found), err, want)
		}
	}
}

// testSearchNumbers: numbers that no column has are found as such, and as nothing else; what a column has
// costs no row more.
func testSearchNumbers(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	c := received("PAS1")
	c.Open.NHSNumber, c.Open.LocalID = "9990000018", "100001"
	c.Open.NHSNumbers, c.Open.LocalIDs = []string{"9990000019", "9990000018"}, []string{"100009", "100001", ""}
	commit(t, s, c)
	end := replied(c.Exchange, "reply")
	end.Sent, end.Close.NHSNumber = "9990000018", "9990000034"
	end.Entries[0].Facts.NHSFound, end.Entries[0].Facts.AnswerID = "9990000026", "nhs:9990000042"
	commit(t, s, end)
	other := exchanged("PAS2")
	other.Open.NHSNumber, other.Open.LocalID, other.Close.NHSNumber = "", "id:100009", ""
	commit(t, s, other)
	first, second := []store.ID{c.Exchange}, []store.ID{other.Exchange}
	for name, tt := range map[string]struct {
		s    store.Search
		want []store.ID
	}{
		"sent":                           {store.Search{NHSNumber: "9990000018"}, first},
		"wrong check digit":              {store.Search{NHSNumber: "9990000019"}, first},
		"named by Spine":                 {store.Search{NHSNumber: "9990000026"}, first},
		"found":                          {store.Search{NHSNumber: "9990000034"}, first},
		"an answer's id":                 {store.Search{NHSNumber: "9990000042"}, nil},
		"by that id":                     {store.Search{MessageID: "nhs:9990000042"}, first},
		"a number as an id":              {store.Search{MessageID: "nhs:9990000026"}, nil},
		"its id as it is kept":           {store.Search{MessageID: "call:nhs:9990000042"}, nil},
		"a local number as an id":        {store.Search{MessageID: "id:100009"}, nil},
		"merged away":                    {store.Search{LocalID: "100009"}, first},
		"one that looks like it":         {store.Search{LocalID: "id:100009"}, second},
		"both":                           {store.Search{NHSNumber: "9990000019", LocalID: "100009"}, first},
		"with a call":                    {store.Search{NHSNumber: "9990000026", LocalID: "100009", MessageID: "nhs:9990000042"}, first},
		"of another":                     {store.Search{NHSNumber: "9990000026", LocalID: "id:100009"}, nil},
		"a call, and a number of no one": {store.Search{NHSNumber: "9990000050", MessageID: "nhs:9990000042"}, nil},
	} {
		tt.s.Limit = 9
		found, err := s.Search(deadline(t), tt.s)
		if diff := cmp.Diff(tt.want, ids(found)); diff != "" || err != nil {
			t.Errorf("%s: Search() error %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func testSearchTime(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	at := time.Now().Truncate(time.Millisecond)
	c := exchanged("PAS1")
	c.Exchange = idAt(at)
	commit(t, s, c)
	for name, tt := range map[string]struct {
		from, until time.Time
		want        int
	}{
		"no bound":                 {want: 1},
		"from then on":             {from: at, want: 1},
		"from just after":          {from: at.Add(time.Nanosecond)},
		"until then":               {until: at},
		"until just after":         {until: at.Add(time.Nanosecond), want: 1},
		"a moment":                 {from: at, until: at.Add(time.Millisecond), want: 1},
		"from after until":         {from: at, until: at.Add(-time.Hour)},
		"from before all time":     {from: time.Time{}.Add(time.Hour), want: 1},
		"until after all time":     {until: time.Unix(1<<40, 0), want: 1},
		"until before all of them": {until: time.Unix(-1, 0)},
	} {
		found, err := s.Search(deadline(t), store.Search{From: tt.from, Until: tt.until, Limit: 9})
		if err != nil || len(found) != tt.want {
			t.Errorf("%s: Search() = %d exchanges, error %v; want %d", name, len(found), err, tt.want)
		}
	}
}

func testLate(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	other := start(t, db, store.Options{Chain: "other"})
	pending, atOnce := received("PAS1"), exchanged("PAS2")
	commit(t, s, pending)
	end := replied(pending.Exchange, "trace pending")
	end.Close = &store.Closing{Outcome: store.Pending}
	commit(t, s, end)
	atOnce.Close.Outcome = store.Deferred
	commit(t, s, atOnce)
	late := func(by store.Store, exchange store.ID, o store.Outcome, number string) {
		t.Helper()
		commit(t, by, store.Commit{
			Exchange: exchange, Entries: []store.Entry{{Kind: store.Finished}}, Late: &store.Closing{Outcome: o, NHSNumber: number},
		})
	}
	late(s, pending.Exchange, store.Traced, "9990000026")
	late(other, pending.Exchange, store.NoMatch, "9990000034")
	late(other, atOnce.Exchange, store.Refused, "")

	for name, tt := range map[string]struct {
		s    store.Search
		want []store.ID
	}{
		"as they were answered":    {store.Search{Outcome: store.Pending}, nil},
		"put off":                  {store.Search{Outcome: store.Deferred}, nil},
		"as the first trace ended": {store.Search{Outcome: store.Traced}, []store.ID{pending.Exchange}},
		"as the second ended":      {store.Search{Outcome: store.NoMatch}, nil},
		"refused":                  {store.Search{Outcome: store.Refused}, []store.ID{atOnce.Exchange}},
		"by the number found":      {store.Search{NHSNumber: "9990000026"}, []store.ID{pending.Exchange}},
		"by that of the second":    {store.Search{NHSNumber: "9990000034"}, nil},
		"by both":                  {store.Search{NHSNumber: "9990000026", Outcome: store.Traced}, []store.ID{pending.Exchange}},
	} {
		tt.s.Limit = 9
		found, err := s.Search(deadline(t), tt.s)
		if diff := cmp.Diff(tt.want, ids(found)); diff != "" || err != nil {
			t.Errorf("%s: Search() error %v (-want +got):\n%s", name, err, diff)
		}
	}
	wantAnswer(t, s, pending.Exchange, "trace pending")
	verify(t, s, "main")
	verify(t, s, "other")
}

func testLateRejected(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	for name, c := range map[string]store.Commit{
		"no exchange":     {Late: &store.Closing{Outcome: store.Traced}},
		"unknown outcome": {Exchange: store.NewID(), Late: &store.Closing{}},
	} {
		c.Entries = []store.Entry{{Kind: store.Finished}}
		if _, err := s.Commit(deadline(t), c); !errors.Is(err, store.ErrRejected) {
			t.Errorf("%s: Commit() error = %v, want ErrRejected", name, err)
		}
	}
}
