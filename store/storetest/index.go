package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"spinetrace/store"
)

var indexings = map[string]func(*testing.T, Database){
	"holds what a commit tells when it returns":                   testPatient,
	"keeps the newest of each part, whatever the order":           testNewestPart,
	"names all holders of a local or an NHS number":               testHolders,
	"is not changed by a message that came before":                testResentPatients,
	"is changed by a commit that came too late to close":          testLatePatients,
	"takes an entry twice from one commit":                        testPatientTwice,
	"takes the same entries from two instances in opposite order": testPatientsAtOnce,
	"keeps hostile keys apart":                                    testHostileKeys,
	"keeps documents whole":                                       testDocuments,
	"refuses what no store can keep":                              testPatientRejected,
	"is made anew":                                                testReindex,
	"is made anew in pages":                                       testReindexPages,
	"is made anew while commits go on":                            testReindexBesideCommits,
	"is not made anew from what cannot be kept":                   testReindexRejected,
}

// began is when the parts in these tests begin.
var began = time.Date(2026, 11, 22, 10, 15, 0, 123_456_000, time.UTC)

func key(localID string) store.PatientKey {
	return store.PatientKey{Authority: "RXX01", LocalID: localID}
}

// exchangeID names an exchange by a number, which orders it.
func exchangeID(n int) store.ID {
	return store.ID{0x01, 0x93, 6: 0x70, 8: 0x80, 14: byte(n >> 8), 15: byte(n)}
}

// told, found and moved are entries with one part, as of so many seconds after began, by the
// exchange of the same number.
func told(k store.PatientKey, n int) store.Patient {
	return store.Patient{Key: k, Told: store.Told{
		At: began.Add(time.Duration(n) * time.Second), Exchange: exchangeID(n + 1), NHSNumber: numbers[n%len(numbers)],
		Status: fmt.Sprintf("%02d", n%8+1), Print: store.Print{byte(n), 15: 1}, Doc: fmt.Sprintf(`{"n":%d}`, n),
	}}
}

func found(k store.PatientKey, n int) store.Patient {
	return store.Patient{Key: k, Found: store.Found{
		At: began.Add(time.Duration(n) * time.Second), Exchange: exchangeID(n + 1), NHSNumber: numbers[n%len(numbers)],
		Status: "01", Print: store.Print{byte(n), 15: 2}, Outcome: store.Traced,
	}}
}

func moved(k store.PatientKey, n int, into store.PatientKey) store.Patient {
	return store.Patient{Key: k, Moved: store.Moved{
		At: began.Add(time.Duration(n) * time.Second), Exchange: exchangeID(n + 1), Into: into,
	}}
}

var numbers = []string{"9990000018", "9990000026", "9990000034", "9990000042", ""}

// telling is a commit that changes the index and nothing else of note.
func telling(patients ...store.Patient) store.Commit {
	return store.Commit{
		Exchange: store.NewID(), Entries: []store.Entry{{Kind: store.Finished}}, Patients: patients,
	}
}

func wantPatient(tb testing.TB, s store.Store, want store.Patient) {
	tb.Helper()
	got, ok, err := s.Patient(deadline(tb), want.Key)
	if err != nil || !ok {
		tb.Errorf("Patient() ok = %t, error %v; want an entry", ok, err)
	} else if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("Patient() (-want +got):\n%s", diff)
	}
}

func wantNoPatient(tb testing.TB, s store.Store, k store.PatientKey) {
	tb.Helper()
	if p, ok, err := s.Patient(deadline(tb), k); ok || err != nil || p != (store.Patient{}) {
		tb.Errorf("Patient() ok = %t, error %v; want no entry", ok, err)
	}
}

func testPatient(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	wantNoPatient(t, s, key("100001"))
	all := told(key("100001"), 1).Merge(found(key("100001"), 2)).Merge(moved(key("100001"), 3, key("100002")))
	c := exchanged("PAS1")
	c.Patients = []store.Patient{all, told(key("100002"), 1)}
	commit(t, s, c)
	wantPatient(t, s, all)
	wantPatient(t, s, told(key("100002"), 1))
	wantNoPatient(t, s, store.PatientKey{LocalID: "100001"})

	other := start(t, db, store.Options{Chain: "other"})
	wantPatient(t, other, all)
	if got, _, _ := s.Patient(deadline(t), all.Key); got.Told.At.Location() != time.UTC {
		t.Errorf("Patient() time zone = %v, want UTC", got.Told.At.Location())
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := s.Patient(gone, all.Key); err == nil {
		t.Error("Patient() with a context that has ended: want an error")
	}
	verify(t, s, "main")
}

// testNewestPart compares with a plain fold what two instances make of random parts.
func testNewestPart(t *testing.T, db Database) {
	stores := pair(t, db, store.Options{})
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		parts := rapid.SliceOfN(part(fmt.Sprint("run", run)), 1, 12).Draw(rt, "parts")
		want := fold(parts)
		for rest := rapid.Permutation(parts).Draw(rt, "order"); len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "in one commit")
			by := rapid.IntRange(0, 1).Draw(rt, "instance")
			commit(t, stores[by], telling(rest[:n]...))
			rest = rest[n:]
		}
		for _, p := range want {
			got, ok, err := stores[0].Patient(deadline(t), p.Key)
			if diff := cmp.Diff(p, got); !ok || err != nil || diff != "" {
				rt.Fatalf("Patient() ok = %t, error %v (-want +got):\n%s", ok, err, diff)
			}
		}
	})
}

// part makes entries with some parts. Those of the same moment and exchange are the same.
func part(name string) *rapid.Generator[store.Patient] {
	return rapid.Custom(func(rt *rapid.T) store.Patient {
		k := key(fmt.Sprint(name, "-", rapid.IntRange(1, 3).Draw(rt, "patient")))
		stamp := rapid.IntRange(0, 9)
		p := told(k, stamp.Draw(rt, "told"))
		if rapid.Bool().Draw(rt, "has found") {
			p = p.Merge(found(k, stamp.Draw(rt, "found")))
		}
		if rapid.Bool().Draw(rt, "has moved") {
			n := stamp.Draw(rt, "moved")
			p = p.Merge(moved(k, n, []store.PatientKey{{}, key("survivor")}[n%2]))
			// Of two as of the same moment, the exchange decides.
			p.Moved.At = began
		}
		return p
	})
}

// fold is what an index should hold, in plain memory.
func fold(entries []store.Patient) map[store.PatientKey]store.Patient {
	index := make(map[store.PatientKey]store.Patient)
	for _, p := range entries {
		if known, ok := index[p.Key]; ok {
			p = known.Merge(p)
		}
		index[p.Key] = p
	}
	return index
}

func testHolders(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	elsewhere := store.PatientKey{Authority: "RYY01", LocalID: "100001"}
	one := told(key("100001"), 0).Merge(found(key("100001"), 1))
	two := told(elsewhere, 4).Merge(found(elsewhere, 0))
	three := told(key("100003"), 0).Merge(found(key("100003"), 0))
	commit(t, s, telling(three, two, one, told(key("100004"), 4)))

	want := func(what string, got []store.Patient, err error, want ...store.Patient) {
		t.Helper()
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: error %v (-want +got):\n%s", what, err, diff)
		}
	}
	ctx := deadline(t)
	got, err := s.Holders(ctx, numbers[0], 10)
	want("told and found", got, err, one, two, three)
	got, err = s.Holders(ctx, numbers[0], 2)
	want("two holders", got, err, one, two)
	got, err = s.Holders(ctx, numbers[1], 10)
	want("found", got, err, one)
	for _, none := range []string{"", numbers[3], "x\x00\xff"} {
		got, err = s.Holders(ctx, none, 10)
		want("nobody's number", got, err)
	}
	got, err = s.Holders(ctx, numbers[0], 0)
	want("no holders", got, err)
	got, err = s.Named(ctx, "100001", 10)
	want("named", got, err, one, two)
	got, err = s.Named(ctx, "100001", 1)
	want("one named", got, err, one)
	got, err = s.Named(ctx, "", 10)
	want("nameless", got, err)

	gone, away := moved(key("100007"), 1, key("100001")), moved(key("100008"), 2, store.PatientKey{Authority: "OTHER", LocalID: "100001"})
	commit(t, s, telling(away, gone))
	got, err = s.MergedInto(ctx, "100001", 10)
	want("merged into one", got, err, gone, away)
	got, err = s.MergedInto(ctx, "100001", 1)
	want("one merged into it", got, err, gone)
	got, err = s.MergedInto(ctx, "", 10)
	want("merged into nobody", got, err)
	commit(t, s, telling(moved(key("100007"), 3, key("100002"))))
	got, err = s.MergedInto(ctx, "100001", 10)
	want("but for one that went elsewhere", got, err, away)
}

func testResentPatients(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	first, second := exchanged("PAS1"), exchanged("PAS1")
	first.Patients = []store.Patient{told(key("100001"), 1)}
	second.Patients = []store.Patient{told(key("100001"), 2), told(key("100002"), 2)}
	commit(t, s, first)
	wantDuplicate(t, s, second, first.Exchange)
	wantPatient(t, s, first.Patients[0])
	wantNoPatient(t, s, key("100002"))
}

func testLatePatients(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	c := exchanged("PAS1")
	commit(t, s, c)
	late := replied(c.Exchange, "second")
	late.Patients = []store.Patient{found(key("100001"), 1)}
	if got := receipt(t, s, late); got.Status != store.AlreadyClosed {
		t.Errorf("Commit() status = %d, want AlreadyClosed", got.Status)
	}
	wantPatient(t, s, late.Patients[0])
}

func testPatientTwice(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	k := key("100001")
	commit(t, s, telling(told(k, 2), found(k, 1), told(k, 1), moved(k, 3, key("100002")), told(key("100002"), 3)))
	wantPatient(t, s, told(k, 2).Merge(found(k, 1)).Merge(moved(k, 3, key("100002"))))
	wantPatient(t, s, told(key("100002"), 3))
}

func testPatientsAtOnce(t *testing.T, db Database) {
	stores := pair(t, db, store.Options{})
	const patients, rounds = 20, 15
	together(16, func(caller int) {
		for n := range rounds {
			var entries []store.Patient
			for i := range patients {
				entries = append(entries, told(key(fmt.Sprint(i)), caller*rounds+n))
			}
			if caller%2 == 1 {
				slices.Reverse(entries)
			}
			commit(t, stores[caller%2], telling(entries...))
		}
	})
	for i := range patients {
		wantPatient(t, stores[0], told(key(fmt.Sprint(i)), 16*rounds-1))
	}
}

func testHostileKeys(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	long := strings.Repeat("x", 300)
	for i, id := range []string{
		"a\x00b", "ab", "\x00", "caf\xe9", "caf\xe8", "caf\uFFFD", "\xed\xa0\x80", "\U0001F600", `'; drop table patient; --"\`,
		"a\r\nb", long + "1", long + "2", strings.Repeat("\xff", 1<<20),
	} {
		k := store.PatientKey{Authority: id, LocalID: id}
		p := told(k, i).Merge(moved(k, i, k))
		commit(t, s, telling(p))
		for n := range i {
			commit(t, s, telling(found(k, n)))
		}
		got, ok, err := s.Patient(deadline(t), k)
		if err != nil || !ok || got.Told != p.Told || got.Moved.Into != got.Key {
			t.Errorf("key %d: Patient() ok = %t, error %v; want what was told of it", i, ok, err)
		}
		named, err := s.Named(deadline(t), id, 10)
		if err != nil || len(named) != 1 || named[0] != got {
			t.Errorf("key %d: Named() = %d entries, error %v; want its own", i, len(named), err)
		}
		if again, ok, err := s.Patient(deadline(t), got.Key); err != nil || !ok || again != got {
			t.Errorf("key %d: Patient() by the key that was read: ok = %t, error %v", i, ok, err)
		}
	}
}

func testDocuments(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	for i, doc := range []string{
		"", `{"name":"É\u0000 '\""}`, "not JSON\r\n\x01", strings.Repeat("x", store.MaxDoc), strings.Repeat("é", store.MaxDoc/2),
	} {
		p := told(key(fmt.Sprint(i)), i)
		p.Told.Doc = doc
		commit(t, s, telling(p))
		if got, _, err := s.Patient(deadline(t), p.Key); err != nil || got.Told.Doc != doc {
			t.Errorf("document %d: got %d bytes, error %v; want %d bytes", i, len(got.Told.Doc), err, len(doc))
		}
	}
}

func testPatientRejected(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	large := told(key("100001"), 1)
	large.Told.Doc = strings.Repeat("x", store.MaxDoc+1)
	for name, p := range map[string]store.Patient{
		"no local number": told(store.PatientKey{Authority: "RXX01"}, 1),
		"nothing told":    {Key: key("100001")},
		"large document":  large,
	} {
		if _, err := s.Commit(deadline(t), telling(told(key("100002"), 1), p)); !errors.Is(err, store.ErrRejected) {
			t.Errorf("%s: Commit() error = %v, want ErrRejected", name, err)
		}
	}
	wantNoPatient(t, s, key("100002"))
	if events := collect(t, s, store.Query{Chain: "main"}); len(events) != 0 {
		t.Errorf("got %d events, want none", len(events))
	}
}

// reindex makes the index anew and checks what it says of it.
func reindex(tb testing.TB, s store.Store, asOf time.Time, kept, deleted int, entries ...store.Patient) {
	tb.Helper()
	k, d, err := s.Reindex(deadline(tb), asOf, slices.Values(entries))
	if err != nil || k != kept || d != deleted {
		tb.Errorf("Reindex() = %d kept, %d deleted, error %v; want %d, %d", k, d, err, kept, deleted)
	}
}

func testReindex(t *testing.T, db Database) {
	clock := newClock()
	s := start(t, db, store.Options{Now: clock.Now})
	reindex(t, s, clock.Now(), 0, 0)
	wrong, stale := told(key("wrong"), 9).Merge(found(key("wrong"), 9)), told(key("stale"), 9)
	commit(t, s, telling(wrong, stale))
	clock.Move(time.Hour)
	asOf := clock.Now()
	changed, since := told(key("changed"), 1).Merge(moved(key("changed"), 3, store.PatientKey{})), told(key("since"), 1)
	clock.Move(time.Second)
	commit(t, s, telling(changed, since))

	right := told(key("wrong"), 1)
	reindex(t, s, asOf, 4, 1, told(key("changed"), 2), found(key("changed"), 1), right, told(key("new"), 1))
	wantNoPatient(t, s, stale.Key)
	wantPatient(t, s, right) // also where it is older, or says nothing
	wantPatient(t, s, told(key("new"), 1))
	wantPatient(t, s, since)
	wantPatient(t, s, told(key("changed"), 2).Merge(found(key("changed"), 1)).Merge(changed))

	// What was made anew can be changed, and made anew again.
	commit(t, s, telling(found(key("new"), 5)))
	wantPatient(t, s, told(key("new"), 1).Merge(found(key("new"), 5)))
	clock.Move(time.Hour)
	reindex(t, s, clock.Now(), 1, 3, right)
	clock.Move(time.Hour)
	reindex(t, s, clock.Now(), 0, 1)
	verify(t, s, "main")
}

func testReindexPages(t *testing.T, db Database) {
	clock := newClock()
	s := start(t, db, store.Options{Now: clock.Now})
	const patients = 2500
	id := func(i int) store.PatientKey { return key(fmt.Sprintf("%04d", i)) }
	entries := func(first, step int) func(yield func(store.Patient) bool) {
		return func(yield func(store.Patient) bool) {
			for i := first; i < patients && yield(told(id(i), i)); i += step {
			}
		}
	}
	for _, tt := range []struct{ first, step, kept, deleted int }{
		{0, 1, patients, 0}, {0, 1, patients, 0}, {0, 2, patients / 2, patients / 2},
		{1, 2, patients / 2, patients / 2}, {patients, 1, 0, patients / 2},
	} {
		kept, deleted, err := s.Reindex(deadline(t), clock.Now(), entries(tt.first, tt.step))
		if err != nil || kept != tt.kept || deleted != tt.deleted {
			t.Errorf("Reindex() = %d kept, %d deleted, error %v; want %d, %d", kept, deleted, err, tt.kept, tt.deleted)
		}
		if tt.first < patients {
			wantPatient(t, s, told(id(tt.first), tt.first))
		}
		clock.Move(time.Hour)
	}
}

func testReindexBesideCommits(t *testing.T, db Database) {
	clock := newClock()
	s := start(t, db, store.Options{Now: clock.Now})
	const patients, rounds = 40, 30
	var old []store.Patient
	for i := range patients {
		old = append(old, told(key(fmt.Sprint("old", i)), 1))
	}
	commit(t, s, telling(append(slices.Clone(old), told(key("stale"), 1))...))
	clock.Move(time.Hour)
	asOf := clock.Now()
	clock.Move(time.Second)

	var mu sync.Mutex
	want := fold(old)
	together(9, func(caller int) {
		if caller == 8 {
			for range 3 {
				if _, _, err := s.Reindex(deadline(t), asOf, slices.Values(old)); err != nil {
					t.Errorf("Reindex() error = %v", err)
				}
			}
			return
		}
		for n := range rounds {
			patient := found(key(fmt.Sprint("old", (caller*rounds+n)%patients)), caller*rounds+n)
			begun := told(key(fmt.Sprint("new", caller, "-", n)), n)
			commit(t, s, telling(patient, begun))
			mu.Lock()
			want[patient.Key] = want[patient.Key].Merge(patient)
			want[begun.Key] = begun
			mu.Unlock()
		}
	})
	for _, k := range slices.SortedFunc(maps.Keys(want), store.PatientKey.Compare) {
		wantPatient(t, s, want[k])
	}
	wantNoPatient(t, s, key("stale"))
}

func testReindexRejected(t *testing.T, db Database) {
	s := start(t, db, store.Options{})
	commit(t, s, telling(told(key("100001"), 1)))
	later := time.Now().Add(time.Hour)
	_, _, err := s.Reindex(deadline(t), later, slices.Values([]store.Patient{{Key: key("100002")}}))
	if !errors.Is(err, store.ErrRejected) {
		t.Errorf("Reindex() error = %v, want ErrRejected", err)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := s.Reindex(gone, later, slices.Values([]store.Patient{told(key("100002"), 1)})); err == nil {
		t.Error("Reindex() with a context that has ended: want an error")
	}
	wantPatient(t, s, told(key("100001"), 1))
	commit(t, s, warned("still writing"))
}
