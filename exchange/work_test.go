package exchange

import (
	"context"
	"strings"
	"testing"
	"time"

	"spinetrace/pds"
	"spinetrace/store"
)

// clock makes the rig's time stand still until it is moved.
func (r *rig) clock() (pass func(time.Duration)) {
	now := noon()
	r.Now = func() time.Time { return now }
	r.journal.now = r.Now
	return func(d time.Duration) { now = now.Add(d) }
}

// finished returns the outcomes of the traces that no sender waited for, in order.
func (j *memory) finished() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []string
	for _, e := range j.events {
		if e.Kind == store.Finished {
			all = append(all, e.Facts.Outcome)
		}
	}
	return all
}

// scripted is a back end that ends one way after the other; the last way stays.
func scripted(ends ...func() (pds.Result, error)) *service {
	n := 0
	return &service{say: func(context.Context, pds.Request) (pds.Result, error) {
		end := ends[min(n, len(ends)-1)]
		n++
		return end()
	}}
}

func ends(res pds.Result, err error) func() (pds.Result, error) {
	return func() (pds.Result, error) { return res, err }
}

var (
	verified = pds.Result{Outcome: pds.Matched, NHSNumber: primroseNumber, Code: "SMSP-0000"}
	local    = pds.Result{Outcome: pds.Stale, NHSNumber: primroseNumber, Code: "SMSP-0003"}
)

func TestAFailedTraceIsMadeAgain(t *testing.T) {
	down := ends(pds.Result{}, &pds.Error{Class: pds.SpineUnavailable, Retry: true})
	for name, first := range map[string]func() (pds.Result, error){
		"Spine away": down,
		"credentials refused, until an operator has mended them": ends(pds.Result{}, &pds.Error{Class: pds.AccessDenied, Status: 403}),
		"local copy": ends(local, nil),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, scripted(first, down, ends(verified, nil)))
			pass := r.clock()
			if got := r.send(t, adt("A28", primrose)); !strings.HasSuffix(got, "|trace pending") {
				t.Fatalf("answer:\n%s", got)
			}
			r.work(t)
			if n := len(r.service.calls()); n != 1 {
				t.Fatalf("asked %d times before it was time", n)
			}
			pass(backoff[1])
			r.work(t)
			pass(backoff[1])
			r.work(t)
			if got := strings.Join(r.journal.finished(), ", "); got != "unfinished, verified" {
				t.Errorf("ended: %s", got)
			}
			pass(time.Hour)
			r.work(t)
			if n := len(r.service.calls()); n != 3 || len(r.journal.work) != 0 {
				t.Errorf("asked %d times, %d items left; want 3 and none", n, len(r.journal.work))
			}
		})
	}
}

func TestWhatCannotBeMendedByAskingIsParked(t *testing.T) {
	for name, err := range map[string]*pds.Error{
		"our message at fault": {Class: pds.InputInvalid, Status: 500, Code: "1000"},
		"unknown code":         {Class: pds.UnknownCode, Status: 200, Code: "SCR-0001"},
		"will not work":        {Class: pds.ProviderError, Status: 500, Code: "2200"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, scripted(ends(pds.Result{}, err)))
			pass := r.clock()
			r.send(t, adt("A28", primrose))
			pass(backoff[0])
			r.work(t)
			if len(r.journal.work) != 1 || !r.journal.work[0].Parked {
				t.Errorf("left: %+v", r.journal.work)
			}
			pass(30 * 24 * time.Hour)
			r.work(t)
			if n := len(r.service.calls()); n != 2 {
				t.Errorf("asked %d times, want 2", n)
			}
		})
	}
}

// A message whose body was dropped, or that makes the program panic, must not come back for ever.
func TestWhatCannotBeReadIsParked(t *testing.T) {
	for name, spoil := range map[string]func(*rig){
		"dropped":    func(r *rig) { r.journal.events[0].Parts = nil },
		"unreadable": func(r *rig) { r.journal.events[0].Parts[0].Data = []byte("no HL7") },
		"panic":      func(r *rig) { r.Index = panicking{} },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, says(verified, nil))
			r.Plain = true
			r.send(t, adt("A28", primrose))
			spoil(r)
			r.work(t)
			if len(r.journal.work) != 1 || !r.journal.work[0].Parked || len(r.service.calls()) != 0 {
				t.Errorf("asked %d times, left: %+v", len(r.service.calls()), r.journal.work)
			}
		})
	}
}

// panicking is an index that no message can be planned with.
type panicking struct{ store.Index }

// An index that cannot be read leaves undecided who holds the number: the trace is made again.
func TestWhatCannotBeDecidedIsTracedAgain(t *testing.T) {
	r := newRig(t, says(verified, nil))
	r.Plain = true
	pass := r.clock()
	r.send(t, adt("A28", primrose))
	index := new(fragile)
	r.Index = index
	r.service.say = func(context.Context, pds.Request) (pds.Result, error) {
		index.err = errDown
		return verified, nil
	}
	r.work(t)
	index.err = nil
	r.service.say = func(context.Context, pds.Request) (pds.Result, error) { return verified, nil }
	pass(backoff[0])
	r.work(t)
	if got := strings.Join(r.journal.finished(), ", "); got != "unfinished, verified" {
		t.Errorf("ended: %s", got)
	}
}

// fragile is an index of nobody that may be unreadable.
type fragile struct {
	store.Index
	err error
}

// Patient implements store.Index.
func (f *fragile) Patient(context.Context, store.PatientKey) (store.Patient, bool, error) {
	return store.Patient{}, false, f.err
}

// Holders implements store.Index.
func (f *fragile) Holders(context.Context, string, int) ([]store.Patient, error) { return nil, f.err }

// A service that asks for a pause of hours must not keep traces waiting in memory: others would
// take up their items, and an hour after the service is back nobody would be asked about.
func TestALongPauseIsSpentInTheQueue(t *testing.T) {
	hour := &pds.Error{Class: pds.Busy, Status: 503, Retry: true, RetryAfter: time.Hour}
	s := scripted(ends(pds.Result{}, hour), ends(pds.Result{}, hour), ends(verified, nil))
	r := newRig(t, s)
	r.Tracer = pds.Retry(s, pds.Backoff{})
	pass := r.clock()
	if got := r.send(t, adt("A28", primrose)); !strings.HasSuffix(got, "|trace pending") {
		t.Fatalf("answer:\n%s", got)
	}
	for want := 1; want <= 2; want++ {
		pass(59 * time.Minute)
		r.work(t)
		if n := len(s.calls()); n != want {
			t.Fatalf("asked %d times within the hour, want %d", n, want)
		}
		pass(time.Minute)
		r.work(t)
	}
	if n := len(s.calls()); n != 3 || len(r.journal.work) != 0 {
		t.Errorf("asked %d times after two hours, %d items left; want 3 and none", n, len(r.journal.work))
	}
}

func TestATraceHasADeadline(t *testing.T) {
	var left time.Duration
	r := newRig(t, &service{say: func(ctx context.Context, _ pds.Request) (pds.Result, error) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return verified, nil
	}})
	r.send(t, adt("A28", primrose))
	if left <= 0 || left >= lease {
		t.Errorf("%v left for a trace, want less than the %v for which its item is left alone", left, lease)
	}
}

func TestWorkEndsAtItsDeadline(t *testing.T) {
	r := newRig(t, scripted(ends(pds.Result{}, &pds.Error{Class: pds.SpineUnavailable, Retry: true})))
	r.WorkDeadline = time.Hour
	pass := r.clock()
	pass(time.Since(noon())) // the deadline counts from the id, which the machine's clock made
	r.send(t, adt("A28", primrose))
	for range 10 {
		pass(20 * time.Minute)
		r.work(t)
	}
	if len(r.journal.work) != 1 || !r.journal.work[0].Parked {
		t.Errorf("left: %+v", r.journal.work)
	}
}

// The deadline of a baby's trace counts from the day on which it could be made first.
func TestABabyIsAskedAboutAgain(t *testing.T) {
	r := newRig(t, scripted(ends(pds.Result{}, &pds.Error{Class: pds.SpineUnavailable, Retry: true}), ends(verified, nil)))
	pass := r.clock()
	pass(time.Since(noon())) // as above
	r.send(t, adt("A28", strings.Replace(unnumbered, "19620417", r.Now().Format("20060102"), 1)))
	pass(43 * 24 * time.Hour)
	r.work(t)
	pass(backoff[0])
	r.work(t)
	if got := strings.Join(r.journal.finished(), ", "); got != "unfinished, traced" {
		t.Errorf("ended: %s; left: %+v", got, r.journal.work)
	}
}

// Row 51: a baby without a number is asked about when it is six weeks old, and not before.
func TestABabyIsAskedAboutAtSixWeeks(t *testing.T) {
	for _, status := range []string{"NSTS08", "NSTS03"} {
		r := newRig(t, scripted(ends(verified, nil)))
		pass := r.clock()
		baby := strings.NewReplacer("19620417", "20261112", "NSTS03", status).Replace(unnumbered)
		if got := r.send(t, adt("A28", baby)); !strings.HasSuffix(got, "|Not traced: under 6 weeks") {
			t.Fatalf("answer:\n%s", got)
		}
		pass(31 * 24 * time.Hour)
		r.work(t)
		if n := len(r.service.calls()); n != 0 {
			t.Fatalf("asked %d times on day 41", n)
		}
		pass(24 * time.Hour)
		r.work(t)
		if n := len(r.service.calls()); n != 1 || len(r.journal.work) != 0 {
			t.Errorf("%s: asked %d times on day 42, %d items left; want 1 and none", status, n, len(r.journal.work))
		}
	}
}

func TestATraceThatEndsLateLeavesNoWork(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, &service{say: func(context.Context, pds.Request) (pds.Result, error) {
		<-release
		return verified, nil
	}})
	r.Budget = time.Millisecond
	if got := r.send(t, adt("A28", primrose)); !strings.HasSuffix(got, "|trace pending") {
		t.Fatalf("answer:\n%s", got)
	}
	if len(r.journal.work) != 1 {
		t.Fatalf("%d items while the call goes on, want one: the process may die", len(r.journal.work))
	}
	close(release)
	if err := r.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(r.journal.work) != 0 {
		t.Errorf("left: %+v", r.journal.work)
	}
}

// A trace that fails while "trace pending" is being written down is still to be made.
func TestATraceThatFailsLateLeavesWork(t *testing.T) {
	fail := make(chan struct{})
	r := newRig(t, &service{say: func(context.Context, pds.Request) (pds.Result, error) {
		<-fail
		return pds.Result{}, &pds.Error{Class: pds.SpineUnavailable, Retry: true}
	}})
	r.Budget = time.Millisecond
	x := r.begin(context.Background(), peer, nil, wire(adt("A28", primrose)))
	defer x.end()
	x.plan = r.planFor(x, x.recall())
	res, err := x.trace(*x.plan.request)
	close(fail)
	if err := r.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := x.close(x.plan.reply(res, err)); err != nil {
		t.Fatal(err)
	}
	if len(r.journal.work) != 1 {
		t.Errorf("left: %+v; journal: %s", r.journal.work, r.journal.story())
	}
}

// plain: AA as soon as the message is stored.
func TestPlainAnswersBeforeItTraces(t *testing.T) {
	r := newRig(t, scripted(ends(verified, nil)))
	r.Plain = true
	if got := r.send(t, adt("A28", primrose)); !strings.Contains(got, "MSA|AA|") || strings.Contains(got, "PID|") {
		t.Fatalf("answer:\n%s", got)
	}
	if n := len(r.service.calls()); n != 0 {
		t.Fatalf("asked %d times before the answer", n)
	}
	r.work(t)
	if got := r.journal.story(); got != "exchanged asked answered finished" {
		t.Errorf("journal: %s", got)
	}
}
