package exchange_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"spinetrace/exchange"
	"spinetrace/pds"
	"spinetrace/store"
	"spinetrace/store/sqlite"
)

// TestIndexIsWhatMessagesSaid sends what feeds send, in any order and with every oddity: new
// patients and updates, partial and null fields, several numbers of several authorities, merges,
// renames, deletions, resends, and messages that come late. The index must be what a plain model
// says, the back end must be asked what it says, and the index made anew from the journal must be
// the same.
func TestIndexIsWhatMessagesSaid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) { testIndex(t, dir) })
}

func testIndex(t *rapid.T, dir string) {
	f := newFeed(t, dir)
	defer f.close()
	for range rapid.IntRange(1, 25).Draw(t, "messages") {
		f.step()
	}
	f.compare()
	f.compareAnew()
	f.comparePIX()
}

// feed is a handler with a journal, and the model of its index.
type feed struct {
	*rapid.T
	path    string
	db      *sqlite.Store
	handler *exchange.Handler
	model   *model
	last    string        // the last message
	clock   *atomic.Int64 // the model's now in Unix seconds, for those who read it at any time
	asked   []question
	down    bool // the back end is
}

var feedKeys = []store.PatientKey{{Authority: "RXX", LocalID: "1"}, {Authority: "RXX", LocalID: "2"}, {Authority: "RXX", LocalID: "3"}, {Authority: "RYY", LocalID: "1"}, {Authority: "RYY", LocalID: "4"}}

func newFeed(t *rapid.T, dir string) *feed {
	folder, err := os.MkdirTemp(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	f := &feed{T: t, path: folder, clock: new(atomic.Int64), model: &model{entries: make(map[store.PatientKey]*modelEntry), now: noon()}}
	f.model.retrace = rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "RetraceAfter")
	f.clock.Store(f.model.now.Unix())
	now := func() time.Time { return time.Unix(f.clock.Load(), 0).UTC() }
	if f.db, err = sqlite.Open(filepath.Join(folder, "journal.db"), store.Options{Now: now}); err == nil {
		err = f.db.Start(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	f.handler = &exchange.Handler{
		Tracer: &provider{say: f.say}, Journal: f.db, Index: f.db, ODS: "RXX", Now: now, RetraceAfter: f.model.retrace,
		Budget: patience, CommitTimeout: patience,
	}
	return f
}

func (f *feed) close() {
	checkFound(f, f.db)
	if err := f.db.Close(); err != nil {
		f.Error(err)
	}
	_ = os.RemoveAll(f.path) // the test's own folder goes in the end anyway
}

// say notes the question and answers it.
func (f *feed) say(_ context.Context, req pds.Request) (pds.Result, error) {
	if f.down {
		return pds.Result{}, &pds.Error{Class: pds.ProviderError}
	}
	who := req.Who
	q := question{req.Want == pds.Verify, identity{req.NHSNumber.Digits(), who.Family, who.Given, who.BirthDate.Digits(), who.Sex.Code(), who.Postcode}}
	f.asked = append(f.asked, q)
	outcome, number := answerTo(q)
	res := pds.Result{}
	res.NHSNumber, _ = pds.ParseNHSNumber(number)
	switch outcome {
	case store.Pending:
		return res, &pds.Error{Class: pds.ProviderError}
	case store.Verified, store.Traced:
		res.Outcome = pds.Matched
	case store.Superseded:
		res.Outcome = pds.Superseded
	case store.ManyMatches:
		res.Outcome = pds.ManyMatches
	case store.NotVerified:
		res.Outcome = pds.NotVerified
	default:
		res.Outcome = pds.NoMatch
	}
	return res, nil
}

// step sends one message, new or again.
func (f *feed) step() {
	f.model.now = f.model.now.Add(time.Duration(rapid.IntRange(1, 40).Draw(f.T, "minutes")) * time.Minute)
	f.clock.Store(f.model.now.Unix())
	if f.last != "" && rapid.IntRange(0, 9).Draw(f.T, "again") == 0 {
		f.send(f.last, question{})
		return
	}
	m, text := f.draw()
	f.last = text
	f.send(text, f.model.takes(m))
}

func (f *feed) send(text string, want question) {
	f.asked = nil
	reply, err := f.handler.HandleMLLP(context.Background(), peerAddr, nil, []byte(text))
	if err != nil || !strings.Contains(string(reply), "\rMSA|AA|") {
		f.Fatalf("%q is answered %q, %v", text, reply, err)
	}
	var wanted []question
	if want != (question{}) {
		wanted = []question{want}
	}
	if diff := cmp.Diff(wanted, f.asked, cmp.AllowUnexported(question{}, identity{})); diff != "" {
		f.Fatalf("asked for %q (-want +got):\n%s", text, diff)
	}
}

var peerAddr = netip.MustParseAddrPort("127.0.0.1:40000")

// choice is one way to write a field, and what that says; nil: nothing.
type choice[T any] struct {
	text string
	says *T
}

func spell[T any](text string, value T) choice[T] { return choice[T]{text, &value} }

func pick[T any](f *feed, what string, choices []T) T {
	return rapid.SampledFrom(choices).Draw(f.T, what)
}

// draw makes a message, and what it says.
func (f *feed) draw() (said, string) {
	var m said
	m.event = pick(f, "event", []string{"A28", "A31", "A08", "A28", "A31", "A08", "A03", "A40", "A34", "A36", "A18", "A46", "A47", "A29", "A24", "A17", "A37"})
	m.recorded = f.model.now.Add(-time.Duration(pick(f, "recorded", []int{0, 0, 0, 1, 30, 90})) * time.Minute)
	var ids []string
	m.keys, ids = f.drawKeys("PID-3")
	numbers := f.drawNumbers(&m)
	name := pick(f, "name", []choice[[2]string]{{}, {"^", nil}, spell(`""`, [2]string{}), spell("ALDERSEN^PRIMROSE^^^^^L", [2]string{"ALDERSEN", "PRIMROSE"}),
		spell("BIRKSEN^Anna", [2]string{"BIRKSEN", "Anna"}), spell("CEDARSEN^", [2]string{"CEDARSEN", ""}), spell("EIDERSEN^BABY", [2]string{"EIDERSEN", ""}),
		spell("SMI*^ANN", [2]string{"SMI*", "ANN"}), spell("UNKNOWN^UNKNOWN", [2]string{}), spell("CEDARSEN^ANN^^^^^A", [2]string{})})
	m.unknown, m.wildName = strings.HasPrefix(name.text, "UNKNOWN"), strings.HasPrefix(name.text, "SMI")
	m.name = name.says
	born := pick(f, "birth date", []choice[string]{spell("19620417", "19620417"), spell("19700101", "19700101"), spell(`""`, ""), spell("20240230", ""), {}})
	sex := pick(f, "sex", []choice[string]{spell("F", "2"), spell("1", "1"), spell(`""`, ""), spell("Q", ""), {}})
	home := pick(f, "address", []choice[string]{spell("1 MADEUP TERRACE^^LEEDS^^ls991aa^^H", "LS99 1AA"), spell("^^^^LS99 1AB", "LS99 1AB"), spell("^^^^LS99 1AC^^TMP", ""), spell(`""`, ""), {}, {}})
	m.born, m.sex, m.postcode = born.says, sex.says, home.says
	m.status = pick(f, "status", []string{"", "", "", "02", "03", "01", "04", "04", "05", "07"})
	reliability := ""
	if m.status != "" {
		reliability = "ED~NSTS" + m.status
	}
	pid := fmt.Sprintf("PID|1||%s||%s||%s|%s|||%s%s%s\r", strings.Join(append(ids, numbers...), "~"), name.text, born.text, sex.text, home.text, strings.Repeat("|", 21), reliability)
	if len(ids)+len(numbers) == 0 && strings.Trim(name.text, `^"`) == "" {
		pid = strings.Replace(pid, "PID|1||", "PID|1||^^^RXX^VN&1", 1)
	}
	text := fmt.Sprintf("MSH|^~\\&|PAS|RXX|NHSTRACE|RXX|20261122||ADT^%s|M%d|P|2.4\rEVN||%s\r%s", m.event, f.model.serial, m.recorded.Format("20060102150405"), pid)
	return m, text + f.drawSecond(&m)
}

// drawKeys makes local numbers, as keys and as CX.
func (f *feed) drawKeys(what string) (keys []store.PatientKey, ids []string) {
	for range pick(f, what+", how many", []int{1, 1, 1, 2, 0}) {
		key := pick(f, what, feedKeys)
		ids = append(ids, cx(key))
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys, ids
}

func cx(key store.PatientKey) string { return key.LocalID + "^^^" + key.Authority + "^MR" }

// drawNumbers makes the NHS numbers of PID-3.
func (f *feed) drawNumbers(m *said) []string {
	numbers := pick(f, "NHS numbers", [][]string{nil, nil, {`""`}, {"9990000018"}, {"9990000026"}, {"9990000034"}, {"999 000 0026", "9990000026"}, {"9990000026", "9990000034"}, {"9990000019"}})
	var all []string
	for _, n := range numbers {
		all = append(all, n+"^^^NHS^NH")
		m.anyNumber = true
		n = strings.ReplaceAll(n, " ", "")
		if len(n) == 10 && n != "9990000019" && !slices.Contains(m.numbers, n) {
			m.numbers = append(m.numbers, n)
		}
	}
	return all
}

// drawSecond makes what follows the first PID: what a merge takes away, or a second patient.
func (f *feed) drawSecond(m *said) string {
	text := ""
	stays := m.keys
	switch m.event {
	case "A29":
		for _, key := range m.keys {
			m.merges = append(m.merges, move{from: key})
		}
	case "A17", "A24", "A37":
		_, ids := f.drawKeys("second PID-3")
		text = "PID|2||" + strings.Join(ids, "~") + "||CEDARSEN^OTTO||19700101|M\r"
	case "A46", "A47":
		text = f.drawMRG(m, stays)
	case "A40", "A34", "A36", "A18":
		text = f.drawMRG(m, stays)
		if rapid.Bool().Draw(f.T, "another group") {
			keys, ids := f.drawKeys("PID-3 of the second group")
			text += "PID|2||" + strings.Join(ids, "~") + "||CEDARSEN^OTTO||19700101|M\r" + f.drawMRG(m, keys)
		}
	}
	if len(m.keys) == 0 {
		m.merges = nil // the first PID names nobody
	}
	return text
}

func (f *feed) drawMRG(m *said, stays []store.PatientKey) string {
	var ids []string
	for range pick(f, "MRG-1, how many", []int{1, 1, 2, 0}) {
		from := pick(f, "MRG-1", feedKeys)
		form := pick(f, "form of MRG-1", []string{"whole", "whole", "bare", "visit", "NHS"})
		switch {
		case form == "visit":
			ids = append(ids, from.LocalID+"^^^RXX^VN")
			continue
		case form == "NHS":
			ids = append(ids, "9990000034^^^NHS^NH")
			continue
		case form == "bare":
			ids = append(ids, from.LocalID)
			if len(stays) > 0 {
				from.Authority = stays[0].Authority
			}
		default:
			ids = append(ids, cx(from))
		}
		if len(stays) == 0 || slices.Contains(stays, from) {
			continue
		}
		into := stays[0]
		for _, key := range slices.Backward(stays) {
			if key.Authority == from.Authority {
				into = key
			}
		}
		m.merges = append(m.merges, move{from, into})
	}
	return "MRG|" + strings.Join(ids, "~") + "\r"
}

// stored is an entry as it is compared: which message it is from is known by its time.
type stored struct {
	Told, Found, Moved    time.Time
	Who                   identity
	Status                string
	FoundNumber           string
	FoundStatus           string
	FoundOutcome          store.Outcome
	Into                  store.PatientKey
	Unchanged             bool
	Gone                  bool
	Number, CurrentStatus string
}

func (f *feed) compare() {
	got := f.onDisk()
	want, have := make(map[store.PatientKey]stored), make(map[store.PatientKey]stored)
	for key, e := range f.model.entries {
		s := stored{
			e.told.at, e.found.at, e.moved.at, e.who, e.status, e.foundNumber, e.foundStatus, e.foundOutcome, e.into,
			!e.found.at.IsZero() && upper(e.foundFor) == upper(e.who), e.gone(), "", "",
		}
		s.Number, s.CurrentStatus = e.current()
		if s != (stored{}) { // told of, found or moved
			want[key] = s
		}
	}
	for key, p := range got {
		var doc struct{ Family, Given, Born, Sex, Postcode string }
		if err := json.Unmarshal([]byte(p.Told.Doc), &doc); p.Told.Doc != "" && err != nil {
			f.Fatal(err)
		}
		s := stored{
			p.Told.At, p.Found.At, p.Moved.At, identity{p.Told.NHSNumber, doc.Family, doc.Given, doc.Born, doc.Sex, doc.Postcode}, p.Told.Status,
			p.Found.NHSNumber, p.Found.Status, p.Found.Outcome, p.Moved.Into,
			!p.Found.At.IsZero() && p.Found.Print == p.Told.Print, p.Gone(), "", "",
		}
		s.Number, s.CurrentStatus = p.Current()
		have[key] = s
	}
	if diff := cmp.Diff(want, have, cmp.AllowUnexported(identity{})); diff != "" {
		f.Fatalf("index (-want +got):\n%s", diff)
	}
}

func (f *feed) onDisk() map[store.PatientKey]store.Patient {
	all := make(map[store.PatientKey]store.Patient)
	for _, key := range feedKeys {
		entries, err := f.db.Named(context.Background(), key.LocalID, 100)
		if err != nil {
			f.Fatal(err)
		}
		for _, p := range entries {
			all[p.Key] = p
		}
	}
	return all
}

// compareAnew derives the index from the journal.
func (f *feed) compareAnew() {
	entries, _, err := f.handler.Reindex(context.Background(), f.db, nil)
	if err != nil {
		f.Fatal(err)
	}
	anew := make(map[store.PatientKey]store.Patient)
	for p := range entries {
		anew[p.Key] = p
	}
	if diff := cmp.Diff(f.onDisk(), anew); diff != "" {
		f.Fatalf("made anew (-stored +anew):\n%s", diff)
	}
}

// comparePIX asks for every number's other identifiers, while nobody can be asked about them: a
// number that is not known is told so, and no NHS number is told but the verified one of the
// entry that the number leads to.
func (f *feed) comparePIX() {
	f.down = true
	keys := append(slices.Collect(maps.Keys(f.model.entries)), feedKeys...)
	for i, key := range keys {
		reply, err := f.handler.HandleMLLP(context.Background(), peerAddr, nil, []byte(fmt.Sprintf(
			"MSH|^~\\&|P|RXX|N|RXX|20261122||QBP^Q23|Q%d|P|2.5\rQPD|IHE PIX Query|T|%s|^^^NHS\rRCP|I\r", i, cx(key))))
		if err != nil {
			f.Fatal(err)
		}
		e := f.model.leadsTo(key)
		known := strings.Contains(string(reply), "|204^") == (e == nil)
		number := ""
		if e != nil {
			if n, status := e.current(); status == "01" {
				number = n
			}
		}
		told := strings.Contains(string(reply), "\rPID|")
		if !known || told && (number == "" || !strings.Contains(string(reply), "\rPID|||"+number+"^^^NHS^NH||")) {
			f.Fatalf("%v, whose verified number is %q, is answered %q", key, number, reply)
		}
		if f.model.retrace == 0 && number != "" && !told {
			f.Fatalf("%v has a verified number, and is answered %q", key, reply)
		}
	}
}
