package pdstest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"spinetrace/pds"
)

// T is the part of [*testing.T] that the suite uses.
type T[S any] interface {
	tester
	Run(name string, f func(S)) bool
}

type tester interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Backend is a Tracer under test, with its end of the line.
type Backend struct {
	Tracer pds.Tracer // asks a back end that serves [People]; without decorators

	// Asked tells how many questions have reached that back end. Calls for a token are no
	// questions: they are announced and answered like any other call, with Operation
	// "token", and Tokens counts them. A nil Tokens says that there are none.
	Asked  func() int
	Tokens func() int

	// StableIDs says that a message id belongs to a question: asked again for the same
	// Request.ID it is the same (pds-fhir.md section 3). Otherwise every call has a new one
	// (smsp.md section 12).
	StableIDs bool

	// ShowsPatient says that the back end shows the patient in every answer, so that a
	// stranger is noticed whatever was asked.
	ShowsPatient bool
}

// calls returns how many calls of any kind have been made.
func (b Backend) calls() int {
	if b.Tokens == nil {
		return b.Asked()
	}
	return b.Asked() + b.Tokens()
}

// tokenCall is the Operation of a call for a token.
const tokenCall = "token"

type suite struct {
	tester
	open   func(Trouble) Backend
	people *Population
}

// Exercise runs the conformance suite: what every [pds.Tracer] must do with every
// outcome, every trouble, and a [pds.Recorder]. The Tracer that open returns has default
// settings: no wildcards, full birth dates, nothing in front of it. A back end that cannot
// act out a trouble skips the test.
func Exercise[S T[S]](t S, open func(t S, trouble Trouble) Backend) {
	t.Helper()
	people := People()
	run := func(name string, test func(*suite)) {
		t.Run(name, func(t S) {
			test(&suite{t, func(tr Trouble) Backend { return open(t, tr) }, people})
		})
	}
	healthy := open(t, None)
	for _, q := range questions() {
		run(q.name(), func(s *suite) { s.outcome(healthy, q) })
	}
	for _, r := range refusals() {
		run("refused here/"+r.reason, func(s *suite) { s.refusedHere(healthy, r.req) })
	}
	for _, trouble := range slices.Sorted(maps.Keys(ends)) {
		run("trouble/"+trouble.String(), func(s *suite) { s.technicalEnd(trouble) })
	}
	run("trouble/rejection", (*suite).rejection)
	run("trouble/local copy", (*suite).localCopy)
	run("recorder/refuses", func(s *suite) { s.recorderRefuses(healthy) })
	run("recorder/is told", func(s *suite) { s.recorderIsTold(healthy) })
	if healthy.StableIDs {
		run("recorder/ids stay", func(s *suite) { s.idsStay(healthy) })
	} else {
		run("recorder/new ids", func(s *suite) { s.newIDs(healthy) })
	}
	run("context/ended", func(s *suite) { s.endedContext(healthy) })
	run("concurrent", func(s *suite) { s.concurrent(healthy) })
}

func (s *suite) trace(b Backend, req pds.Request) (pds.Result, *tape, error) {
	s.Helper()
	tape := &tape{}
	req.ID, req.Recorder = "exercise", tape
	res, err := b.Tracer.Trace(s.Context(), req)
	if fault := tape.fault(); fault != "" {
		s.Errorf("recorder: %s", fault)
	}
	return res, tape, err
}

func (s *suite) outcome(b Backend, q question) {
	res, tape, err := s.trace(b, q.req)
	if err != nil {
		s.Fatalf("Trace: %v, want %v", err, q.outcome)
	}
	if q.vague && res.Outcome == pds.ManyMatches {
		q.outcome, q.found = res.Outcome, pds.NHSNumber{}
	}
	if res.Outcome != q.outcome {
		s.Fatalf("outcome %v (%s, %s), want %v", res.Outcome, res.Code, res.Reason, q.outcome)
	}
	if len(tape.calls) == 0 {
		s.Errorf("the call was not announced")
	}
	if res.Code == "" || res.Reason == "" {
		s.Errorf("code %q, reason %q; want both", res.Code, res.Reason)
	}
	if res.NHSNumber != q.found {
		s.Errorf("NHS number %q, want %q", res.NHSNumber.Digits(), q.found.Digits())
	}
	s.patient(res, q.req.Want, q.found)
}

// patient checks that demographics come exactly when they were asked for and are allowed.
func (s *suite) patient(res pds.Result, want pds.Want, found pds.NHSNumber) {
	s.Helper()
	details := want != pds.Verify && want != pds.Number && !found.IsZero()
	if (res.Patient != nil) != details {
		s.Fatalf("demographics present: %v, want %v", res.Patient != nil, details)
	}
	if !details {
		return
	}
	if diff := differences(*res.Patient, s.people.Current(found).Disclosed()); len(diff) > 0 {
		s.Errorf("demographics differ from the record in %v", diff)
	}
}

// differences names the fields in which two patients differ, to the precision that every
// back end has: given names by word, address lines without the empty ones, the time of a
// death in minutes, and midnight for a day whose time is not held.
func differences(got, want pds.Patient) []string {
	plain := func(p pds.Patient) pds.Patient {
		p.Given = strings.Fields(strings.Join(p.Given, " "))
		p.Home = packed(p.Home)
		p.PracticeName = "" // one back end never has it
		p.DeathTime = strings.TrimSuffix(p.DeathTime[:min(12, len(p.DeathTime))], "0000")
		return p
	}
	a, b := reflect.ValueOf(plain(got)), reflect.ValueOf(plain(want))
	var fields []string
	for i := range a.NumField() {
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			fields = append(fields, a.Type().Field(i).Name)
		}
	}
	return fields
}

func packed(a pds.Address) pds.Address {
	lines := slices.DeleteFunc(slices.Clone(a.Lines[:]), func(s string) bool { return s == "" })
	a.Lines = [5]string{}
	copy(a.Lines[:], lines)
	return a
}

func (s *suite) refusedHere(b Backend, req pds.Request) {
	before := b.calls()
	res, tape, err := s.trace(b, req)
	if err != nil || res.Outcome != pds.Refused {
		s.Errorf("got %v, %v; want %v", res.Outcome, err, pds.Refused)
	}
	if n := len(tape.calls); n > 0 {
		s.Errorf("%d calls announced, want none", n)
	}
	if n := b.calls() - before; n > 0 {
		s.Errorf("%d calls made, want none", n)
	}
}

// throttled is how long a back end that throttles asks to wait.
const throttled = 7 * time.Second

// end is how a trouble must be reported; more than one class where the back ends differ.
type end struct {
	classes []pds.Class
	retry   []bool        // allowed values
	calls   int           // at most; a second one where an operation needs two, or a token
	after   time.Duration // RetryAfter of the error
}

var (
	yes    = []bool{true}
	no     = []bool{false}
	either = []bool{true, false}

	invalidAnswer = []pds.Class{pds.ResponseInvalid}

	ends = map[Trouble]end{
		Silence:   {[]pds.Class{pds.SpineUnavailable}, either, 1, 0},
		Drop:      {[]pds.Class{pds.SpineUnavailable}, yes, 1, 0},
		Cut:       {[]pds.Class{pds.SpineUnavailable}, yes, 1, 0},
		Truncated: {invalidAnswer, either, 1, 0},
		Garbage:   {invalidAnswer, either, 1, 0},
		WebPage:   {invalidAnswer, either, 1, 0},
		Flood:     {invalidAnswer, either, 1, 0},
		Bomb:      {invalidAnswer, either, 1, 0},
		Hollow:    {invalidAnswer, either, 2, 0},
		Stranger:  {invalidAnswer, either, 2, 0},
		BusyTone:  {[]pds.Class{pds.Busy}, yes, 1, 0},
		Throttle:  {[]pds.Class{pds.Busy}, yes, 1, throttled},
		Denial:    {[]pds.Class{pds.AccessDenied}, no, 1, 0},
		Expiry:    {[]pds.Class{pds.AccessDenied}, no, 2, 0},
		WrongDoor: {[]pds.Class{pds.InputInvalid, pds.AccessDenied}, no, 1, 0},
		Hiccup:    {[]pds.Class{pds.ProviderError, pds.SpineError}, yes, 1, 0},
		Breakdown: {[]pds.Class{pds.ProviderError}, no, 1, 0},
		Gibberish: {[]pds.Class{pds.UnknownCode}, no, 1, 0},
	}
)

func (s *suite) technicalEnd(trouble Trouble) {
	b := s.open(trouble)
	for _, req := range everyQuestion() {
		if trouble == Stranger && !b.ShowsPatient && (req.Want == pds.Verify || req.Want == pds.Number) {
			continue // a bare number does not show whose it is
		}
		s.reports(b, req, trouble)
	}
}

func (s *suite) reports(b Backend, req pds.Request, trouble Trouble) {
	ctx := s.Context()
	if trouble == Silence {
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		ctx = short
	}
	tape, before := &tape{}, b.Asked()
	req.Recorder = tape
	res, err := b.Tracer.Trace(ctx, req)
	want := ends[trouble]
	if n := b.Asked() - before; n > want.calls {
		s.Errorf("%v: asked %d times; a Tracer makes one attempt", req.Want, n)
	}
	if len(tape.calls) == 0 {
		s.Errorf("%v: the call was not announced", req.Want)
	}
	if fault := tape.fault(); fault != "" {
		s.Errorf("%v: recorder: %s", req.Want, fault)
	}
	if trouble == Stranger && disowned(res, err) {
		return
	}
	if !slices.Contains(want.classes, pds.ClassOf(err)) || !slices.Contains(want.retry, pds.Retryable(err)) {
		s.Errorf("%v: got %v, %v (retryable: %v); want class %v, retryable one of %v",
			req.Want, res.Outcome, err, pds.Retryable(err), want.classes, want.retry)
	}
	var e *pds.Error
	if errors.As(err, &e) && e.RetryAfter != want.after {
		s.Errorf("%v: wait %v before asking again; want %v", req.Want, e.RetryAfter, want.after)
	}
	if !reflect.DeepEqual(res, pds.Result{}) {
		s.Errorf("%v: a result beside the error", req.Want)
	}
}

// disowned tells whether a stranger was taken for what it is: nobody who was asked about.
// A service that leaves the comparing to its clients makes no mistake when it names one.
func disowned(res pds.Result, err error) bool {
	return err == nil && (res.Outcome == pds.NotVerified || res.Outcome == pds.NoMatch) &&
		res.NHSNumber.IsZero() && res.Patient == nil
}

func (s *suite) rejection() {
	b := s.open(Rejection)
	for _, req := range everyQuestion() {
		res, _, err := s.trace(b, req)
		if err != nil || res.Outcome != pds.Refused {
			s.Errorf("%v: got %v, %v; want %v", req.Want, res.Outcome, err, pds.Refused)
		}
	}
}

func (s *suite) localCopy() {
	b := s.open(LocalCopy)
	for _, req := range everyQuestion() {
		res, _, err := s.trace(b, req)
		if err != nil || res.Outcome != pds.Stale {
			s.Errorf("%v: got %v, %v; want %v", req.Want, res.Outcome, err, pds.Stale)
			continue
		}
		if res.NHSNumber != primrose {
			s.Errorf("%v: NHS number %q, want %q", req.Want, res.NHSNumber.Digits(), primrose.Digits())
		}
		s.patient(res, req.Want, primrose)
	}
}

var errDiskFull = errors.New("pdstest: disk full")

func (s *suite) recorderRefuses(b Backend) {
	for _, req := range everyQuestion() {
		before, tape := b.calls(), &tape{refuse: errDiskFull}
		req.Recorder = tape
		_, err := b.Tracer.Trace(s.Context(), req)
		if !errors.Is(err, errDiskFull) || pds.ClassOf(err) != pds.Unrecorded || pds.Retryable(err) {
			s.Errorf("%v: got %v (retryable: %v); want class %v wrapping the recorder's error, final",
				req.Want, err, pds.Retryable(err), pds.Unrecorded)
		}
		if n := b.calls() - before; n > 0 {
			s.Errorf("%v: %d calls made although they could not be recorded", req.Want, n)
		}
		if tape.answers > 0 {
			s.Errorf("%v: an answer noted for a call that was not made", req.Want)
		}
	}
}

func (s *suite) recorderIsTold(b Backend) {
	for _, req := range everyQuestion() {
		before := b.calls()
		res, tape, err := s.trace(b, req)
		if err != nil {
			s.Fatalf("%v: %v", req.Want, err)
		}
		if n := b.calls() - before; n != len(tape.calls) {
			s.Errorf("%v: %d calls made, %d announced", req.Want, n, len(tape.calls))
		}
		for _, c := range tape.calls {
			if fault := incomplete(c); fault != "" {
				s.Errorf("%v: call: %s", req.Want, fault)
			}
		}
		if a := tape.last; a.Status != 200 || a.Code != res.Code || len(a.Body) == 0 || a.NHSNumber != primrose {
			s.Errorf("%v: answer noted with status %d, code %q, %d bytes, right number: %v; want 200, %q, a body and the number",
				req.Want, a.Status, a.Code, len(a.Body), a.NHSNumber == primrose, res.Code)
		}
		for _, c := range tape.questions()[:min(1, len(tape.questions()))] {
			if c.NHSNumber != req.NHSNumber {
				s.Errorf("%v: call noted without the NHS number it asks about", req.Want)
			}
		}
	}
}

// incomplete names what a call lacks that the journal needs.
func incomplete(c pds.Call) string {
	switch {
	case c.Backend == "" || c.Operation == "":
		return "back end or operation missing"
	case c.Endpoint == "" || strings.ContainsAny(c.Endpoint, "?@"):
		return "endpoint missing, or with credentials or query"
	case c.MessageID == "" || c.TrackingID == "":
		return "message or tracking id missing"
	}
	return ""
}

func (s *suite) newIDs(b Backend) {
	seen := make(map[string]bool)
	for _, req := range slices.Concat(everyQuestion(), everyQuestion()) {
		_, tape, _ := s.trace(b, req)
		for _, c := range tape.calls {
			if seen[c.MessageID] {
				s.Errorf("%v: message id used before", req.Want)
			}
			seen[c.MessageID] = true
		}
	}
}

// idsStay asks the same again as the same exchange, and as another one.
func (s *suite) idsStay(b Backend) {
	ids := func(req pds.Request, exchange string) []string {
		tape := &tape{}
		req.ID, req.Recorder = exchange, tape
		_, _ = b.Tracer.Trace(s.Context(), req) // the ids are told before anything can fail
		var ids []string
		for _, c := range tape.questions() {
			if slices.Contains(ids, c.MessageID) {
				s.Errorf("%v: two calls of one question have one message id", req.Want)
			}
			ids = append(ids, c.MessageID)
		}
		return ids
	}
	for _, req := range everyQuestion() {
		first, again, other := ids(req, "one"), ids(req, "one"), ids(req, "another")
		if !slices.Equal(first, again) {
			s.Errorf("%v: other message ids when asked again", req.Want)
		}
		if slices.ContainsFunc(other, func(id string) bool { return slices.Contains(first, id) }) {
			s.Errorf("%v: message id of another exchange", req.Want)
		}
	}
}

func (s *suite) endedContext(b Backend) {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	for _, req := range everyQuestion() {
		tape := &tape{}
		req.Recorder = tape
		if res, err := b.Tracer.Trace(ctx, req); err == nil {
			s.Errorf("%v: got %v after the end, want an error", req.Want, res.Outcome)
		}
		if fault := tape.fault(); fault != "" {
			s.Errorf("%v: recorder: %s", req.Want, fault)
		}
	}
}

// concurrent asks about many people at once: no answer may be another's.
func (s *suite) concurrent(b Backend) {
	const rounds, askers = 4, 32
	people := make(chan *Person)
	var wg sync.WaitGroup
	for range askers {
		wg.Go(func() {
			for p := range people {
				if fault := s.asks(b, p); fault != "" {
					s.Errorf("%s: %s", p.Record.NHSNumber.Digits(), fault)
				}
			}
		})
	}
	for i := range rounds * s.people.Len() {
		people <- s.people.At(i % s.people.Len())
	}
	close(people)
	wg.Wait()
}

func (s *suite) asks(b Backend, p *Person) string {
	number, tape := p.Record.NHSNumber, &tape{}
	want := s.people.Verify(number, pds.Demographics{BirthDate: p.Record.BirthDate})
	if !p.Record.BirthDate.Full() {
		return "" // no question that may be asked names this person
	}
	res, err := b.Tracer.Trace(s.Context(), pds.Request{
		Want: pds.DetailsByNumber, NHSNumber: number, Recorder: tape,
		Who: pds.Demographics{BirthDate: p.Record.BirthDate},
	})
	switch {
	case err != nil:
		return err.Error()
	case res.Outcome != outcomes[want.Code]:
		return fmt.Sprintf("got %v, want %v", res.Outcome, outcomes[want.Code])
	case want.Person != nil && len(differences(*res.Patient, want.Person.Disclosed())) > 0:
		return "demographics are another's"
	}
	return tape.fault()
}

// tape is a Recorder that keeps what it is told and watches the order.
type tape struct {
	refuse error

	calls   []pds.Call
	answers int
	last    pds.Answer
	wrong   string
}

func (t *tape) Asking(_ context.Context, c pds.Call) error {
	if t.refuse != nil {
		return t.refuse
	}
	if len(t.calls) != t.answers {
		t.wrong = "a call announced before the one before was answered"
	}
	t.calls = append(t.calls, c)
	return nil
}

func (t *tape) Answered(a pds.Answer) {
	t.answers++
	t.last = a
	if t.answers > len(t.calls) {
		t.wrong = "an answer noted that no call was announced for"
	}
}

// questions returns the calls that are not about a token.
func (t *tape) questions() []pds.Call {
	return slices.DeleteFunc(slices.Clone(t.calls), func(c pds.Call) bool { return c.Operation == tokenCall })
}

// fault says what was wrong with the order of calls and answers, once Trace has returned.
func (t *tape) fault() string {
	if t.wrong == "" && len(t.calls) != t.answers {
		return fmt.Sprintf("%d calls announced, %d answers noted", len(t.calls), t.answers)
	}
	return t.wrong
}
