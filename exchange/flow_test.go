package exchange

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/pds"
	"spinetrace/store"
)

func TestMessagesRefused(t *testing.T) {
	const synthetic = `MSH|^~\&|NHSTRACE|RXX|||20261122120000||ACK|NT0000000123|P|2.4` + "\n"
	a28 := adt("A28", primrose)
	for name, tt := range map[string]struct {
		message string
		profile Profile
		want    string // the answer from MSA on; the whole answer when it begins with MSH
	}{
		"text":                      {"hello", HL7, synthetic + "MSA|AR||No readable MSH\nERR|MSH^1^^100&Segment sequence error&HL70357&&No readable MSH"},
		"XML":                       {"<ADT_A01/>", HL7, synthetic + "MSA|AR||No readable MSH\nERR|MSH^1^^100&Segment sequence error&HL70357&&No readable MSH"},
		"no encoding characters":    {`MSH||PAS|RXX|NHSTRACE|RXX|20261122||ADT^A28|1|P|2.4`, HL7, "MSA|AR|1|Encoding characters missing\nERR|MSH^1^2^101&Required field missing&HL70357&&Encoding characters missing"},
		"no type":                   {strings.Replace(a28, "ADT^A28", "", 1), HL7, "MSA|AR|PAS0000451|Message type missing\nERR|MSH^1^9^101&Required field missing&HL70357&&Message type missing"},
		"no control id":             {strings.Replace(a28, "PAS0000451", "", 1), HL7, "MSA|AR||Message control id missing\nERR|MSH^1^10^101&Required field missing&HL70357&&Message control id missing"},
		"an observation":            {strings.Replace(a28, "ADT^A28", "ORU^R01", 1), HL7, "MSA|AR|PAS0000451|Unsupported message type\nERR|MSH^1^9^200&Unsupported message type&HL70357&&Unsupported message type"},
		"an event nobody has":       {strings.Replace(a28, "ADT^A28", "ADT^Z99", 1), HL7, "MSA|AR|PAS0000451|Unsupported event code\nERR|MSH^1^9^201&Unsupported event code&HL70357&&Unsupported event code"},
		"an ADT without event":      {strings.Replace(a28, "ADT^A28", "ADT", 1), HL7, "MSA|AR|PAS0000451|Unsupported event code\nERR|MSH^1^9^201&Unsupported event code&HL70357&&Unsupported event code"},
		"a test message":            {strings.Replace(a28, "|P|2.4", "|T|2.4", 1), HL7, "MSA|AR|PAS0000451|Unsupported processing id\nERR|MSH^1^11^202&Unsupported processing id&HL70357&&Unsupported processing id"},
		"version 3":                 {strings.Replace(a28, "|P|2.4", "|P|3.0", 1), HL7, "MSA|AR|PAS0000451|Unsupported version\nERR|MSH^1^12^203&Unsupported version id&HL70357&&Unsupported version"},
		"an observation, parked":    {strings.Replace(a28, "ADT^A28", "ORU^R01", 1), Park, "MSA|AE|PAS0000451|Unsupported message type\nERR|MSH^1^9^200&Unsupported message type&HL70357&&Unsupported message type"},
		"no PID":                    {`MSH|^~\&|PAS|RXX|NHSTRACE|RXX|20261122||ADT^A28^ADT_A05|PAS0000451|P|2.5` + "\nEVN|A28", HL7, "MSA|AE|PAS0000451|PID segment missing\nERR||PID^1|100^Segment sequence error^HL70357|E|||PID segment missing"},
		"no PID, for AR as fault":   {strings.TrimSuffix(adt("A28", ""), "\n"), ARValidation, "MSA|AR|PAS0000451|PID segment missing\nERR|PID^1^^100&Segment sequence error&HL70357&&PID segment missing"},
		"no PID under park":         {strings.TrimSuffix(adt("A28", ""), "\n"), Park, "MSA|AE|PAS0000451|PID segment missing\nERR|PID^1^^100&Segment sequence error&HL70357&&PID segment missing"},
		"an observation, for AR":    {strings.Replace(a28, "ADT^A28", "ORU^R01", 1), ARValidation, "MSA|AR|PAS0000451|Unsupported message type\nERR|MSH^1^9^200&Unsupported message type&HL70357&&Unsupported message type"},
		"two PIDs":                  {a28 + "\n" + primrose, HL7, "MSA|AE|PAS0000451|More than one PID segment\nERR|PID^2^^100&Segment sequence error&HL70357&&More than one PID segment"},
		"a PID that says nothing":   {adt("A28", `PID|1||^^^RXX||""^`), HL7, ""},
		"a PID with neither":        {adt("A28", `PID|1||""||^""`), HL7, "MSA|AE|PAS0000451|PID has neither identifier nor name\nERR|PID^1^3^101&Required field missing&HL70357&&PID has neither identifier nor name"},
		"a line that is no segment": {strings.Replace(a28, "\nPID", "\nthis is not a segment\nPID", 1), HL7, "MSA|AE|PAS0000451|A line is not a segment\nERR|MSH^1^^100&Segment sequence error&HL70357&&A line is not a segment"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, says(pds.Result{}, errBackEnd))
			r.Profile = tt.profile
			got := r.send(t, tt.message)
			if !strings.HasPrefix(tt.want, "MSH") {
				_, got, _ = strings.Cut(got, "\n")
			}
			if tt.want != "" && got != tt.want {
				t.Errorf("answer (-want +got):\n%s", cmp.Diff(tt.want, got))
			}
			if tt.want == "" && !strings.Contains(got, "MSA|A") {
				t.Errorf("no answer:\n%s", got)
			}
			if n := len(r.service.calls()); n != 0 {
				t.Errorf("the back end was asked %d times", n)
			}
			if story := r.journal.story(); story != "exchanged" {
				t.Errorf("journal: %s; want one event", story)
			}
		})
	}
}

func TestThreeUnreadableFramesInARowEndTheConnection(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	for i, tt := range []struct {
		message string
		ends    bool
	}{{"hello", false}, {"hello", false}, {adt("A03", primrose), false}, {"hello", false}, {"<xml/>", false}, {"{}", true}, {"hello", false}} {
		reply, err := r.HandleMLLP(context.Background(), peer, nil, wire(tt.message))
		if reply == nil || errors.Is(err, errRubbish) != tt.ends {
			t.Errorf("frame %d: reply %q, error %v; want an answer, and the end: %v", i, reply, err, tt.ends)
		}
	}
}

func TestAnAnswerIsNeverAnswered(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	for _, message := range []string{
		`MSH|^~\&|PAS|RXX|NHSTRACE|RXX|20261122||ACK|X1|P|2.4` + "\nMSA|AA|NT1",
		`MSH|^~\&|PAS|RXX|NHSTRACE|RXX|20261122||ADR^A19|X2|P|2.4` + "\nMSA|AA|NT1",
	} {
		if got := r.send(t, message); got != "" {
			t.Errorf("answered:\n%s", got)
		}
	}
	if got := r.journal.story(); got != "exchanged exchanged" {
		t.Errorf("journal: %s; want both recorded", got)
	}
}

func TestAResendGetsTheFirstAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		message, again string
		story          string
		calls          int
	}{
		"traced, sent later": {adt("A28", primrose), strings.Replace(adt("A28", primrose), "20261122115959", "20261122130000", 1), "received asked answered replied resent", 1},
		"not traced":         {adt("A02", primrose), adt("A02", primrose), "exchanged resent", 0},
		"refused":            {adt("A28", "PV1||N"), adt("A28", "PV1||N"), "exchanged resent", 0},
		"query":              {q22(qpd), q22(qpd), "received asked answered replied resent", 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
			n := 0
			r.NewControlID = func() string { n++; return fmt.Sprint("ID", n) }
			first := r.send(t, tt.message)
			if again := r.send(t, tt.again); again != first {
				t.Errorf("the resend got another answer:\n%s\nfirst:\n%s", again, first)
			}
			if got := r.journal.story(); got != tt.story {
				t.Errorf("journal: %s; want %s", got, tt.story)
			}
			if got := len(r.service.calls()); got != tt.calls {
				t.Errorf("asked %d times, want %d", got, tt.calls)
			}
			if last := r.done[len(r.done)-1]; !last.Duplicate {
				t.Error("the resend does not count as a duplicate")
			}
		})
	}
}

func TestTheSameControlIDForAnotherPatientIsNew(t *testing.T) {
	r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
	r.send(t, adt("A28", primrose))
	r.send(t, adt("A28", unnumbered))
	if got := len(r.service.calls()); got != 2 {
		t.Errorf("asked %d times, want 2", got)
	}
}

func TestNotNowIsNotKeptForAResend(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	r.send(t, q22(qpd))
	r.service.say = func(context.Context, pds.Request) (pds.Result, error) { return pds.Result{Outcome: pds.NoMatch}, nil }
	if got := r.send(t, q22(qpd)); !strings.Contains(got, "MSA|AA|P000018|No match") {
		t.Errorf("the resend got:\n%s", got)
	}
}

func TestARefusalThatSettingsDecideIsNotKeptForAResend(t *testing.T) {
	r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
	message := strings.Replace(adt("A28", primrose), "|P|2.4", "|T|2.4", 1)
	r.send(t, message)
	r.ProcessingIDs = []string{"T"}
	if got := r.send(t, message); !strings.Contains(got, "MSA|AA|PAS0000451|No match") {
		t.Errorf("after the setting changed the resend got:\n%s", got)
	}
}

func TestARefusalThatSettingsDecideIsNotKeptUnderAnyProfile(t *testing.T) {
	for _, profile := range []Profile{HL7, Park, ARValidation} {
		r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
		r.Profile = profile
		r.send(t, strings.Replace(adt("A28", primrose), "|P|2.4", "|T|2.4", 1))
		r.send(t, adt("A28", "PV1||N"))
		if r.journal.opened[0].Claim != nil || r.journal.opened[1].Claim == nil {
			t.Errorf("profile %d: the refusal by MSH-11 is kept, or the one without PID is not", profile)
		}
	}
}

func TestClaimsLastAsLongAsTheirKind(t *testing.T) {
	r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
	r.Window, r.QueryWindow = 2*time.Hour, 3*time.Second
	r.send(t, adt("A28", primrose))
	r.send(t, q22(qpd))
	if adt, query := r.journal.opened[0].Claim.Window, r.journal.opened[1].Claim.Window; adt != 2*time.Hour || query != 3*time.Second {
		t.Errorf("windows %v and %v, want 2h and 3s", adt, query)
	}
}

func TestWhoIsFasterAnswers(t *testing.T) {
	// Another instance takes the exchange over while this one traces.
	var r *rig
	r = newRig(t, &service{say: func(context.Context, pds.Request) (pds.Result, error) {
		r.journal.mu.Lock()
		defer r.journal.mu.Unlock()
		for _, e := range r.journal.events {
			r.journal.closed[e.exchange] = store.NoMatch
			r.journal.replies[e.exchange] = []byte("MSH|^~\\&|THE|OTHER\rMSA|AA|PAS0000451\r")
		}
		return pds.Result{Outcome: pds.NoMatch}, nil
	}})
	if got := r.send(t, adt("A28", primrose)); !strings.HasPrefix(got, `MSH|^~\&|THE|OTHER`) {
		t.Errorf("answered:\n%s", got)
	}
	if got, want := r.journal.story(), "received asked answered resent"; got != want {
		t.Errorf("journal: %s; want %s", got, want)
	}
}

func TestTheFrameIsKeptWhenNobodyCouldBeAsked(t *testing.T) {
	for name, waits := range map[string]bool{"refused a place at once": false, "after waiting for a place": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.Now = time.Now
				r.Tracer = pds.TracerFunc(func(ctx context.Context, req pds.Request) (pds.Result, error) {
					if waits {
						if err := req.Recorder.(pds.Waiter).Waiting(ctx); err != nil {
							return pds.Result{}, err
						}
					}
					<-time.After(r.Budget + time.Nanosecond) // the reply is due just before
					if err := req.Recorder.Asking(ctx, pds.Call{}); err == nil {
						t.Error("a question may be asked that nobody waits for")
					}
					return pds.Result{}, &pds.Error{Class: pds.NoSlot}
				})
				if got := r.send(t, adt("A28", primrose)); !strings.HasSuffix(got, "MSA|AA|PAS0000451|trace pending") {
					t.Errorf("answer:\n%s", got)
				}
				if err := r.Drain(context.Background()); err != nil {
					t.Fatal(err)
				}
				want := map[bool]string{false: "exchanged", true: "received replied"}[waits]
				if got := r.journal.story(); got != want {
					t.Errorf("journal: %s; want %s", got, want)
				}
				if _, ok := store.FindPart(r.journal.events[0].Parts, store.Frame); !ok {
					t.Error("the message itself is not in the journal")
				}
			})
		})
	}
}

func TestWaitingForAPlaceFindsDuplicatesAndADeadStore(t *testing.T) {
	r := newRig(t, nil)
	r.Tracer = pds.TracerFunc(func(ctx context.Context, req pds.Request) (pds.Result, error) {
		if err := req.Recorder.(pds.Waiter).Waiting(ctx); err != nil {
			return pds.Result{}, &pds.Error{Class: pds.Unrecorded, Err: err}
		}
		return pds.Result{}, &pds.Error{Class: pds.NoSlot}
	})
	first := r.send(t, adt("A28", primrose))
	if again := r.send(t, adt("A28", primrose)); again != first {
		t.Errorf("the resend got:\n%s", again)
	}
	r.journal.fail = errDown
	if reply, err := r.HandleMLLP(context.Background(), peer, nil, wire(adt("A31", primrose))); err == nil {
		t.Errorf("answered without a record:\n%s", reply)
	}
}

func TestAStopDoesNotWaitForTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &service{say: func(ctx context.Context, _ pds.Request) (pds.Result, error) {
			<-ctx.Done()
			return pds.Result{}, ctx.Err()
		}})
		r.Now = time.Now
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		reply, err := r.HandleMLLP(ctx, peer, nil, wire(adt("A28", primrose)))
		if err != nil || !strings.Contains(string(reply), "trace pending") || time.Since(start) != time.Second {
			t.Errorf("after %v: %q, %v; want the answer as soon as the stop cuts it short", time.Since(start), reply, err)
		}
		cut, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.Drain(cut) // says that it cut the trace short
	})
}

func TestAQueryIsAnsweredWithoutAStoreEvenIfItsHeaderIsAtFault(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	r.journal.fail = errDown
	if got := r.send(t, strings.Replace(q22(qpd), "|P|2.5", "|T|2.5", 1)); !strings.Contains(got, "MSA|AR|P000018|Cannot be dealt with now") {
		t.Errorf("answer:\n%s", got)
	}
}

func TestWhoSentItIsRecorded(t *testing.T) {
	r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
	state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "pas.example"}}}}
	if _, err := r.HandleMLLP(context.Background(), peer, state, wire(adt("A28", primrose))); err != nil {
		t.Fatal(err)
	}
	facts := r.journal.events[0].Facts
	want := store.Facts{
		Peer: "127.0.0.1:40000", Subject: "CN=pas.example", Application: "PAS", Facility: "RXX", ControlID: "PAS0000451",
		Type: "ADT^A28", LocalID: "RXX1234567", NHSSent: "9990000018",
	}
	if diff := cmp.Diff(want, facts); diff != "" {
		t.Errorf("facts of the message (-want +got):\n%s", diff)
	}
}

func TestCopiesAtTheSameTimeAreTracedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &service{say: func(ctx context.Context, _ pds.Request) (pds.Result, error) {
			<-time.After(time.Second) // of the bubble's clock
			return pds.Result{Outcome: pds.NoMatch}, nil
		}})
		answers := make([]string, 8)
		var copies sync.WaitGroup
		for i := range answers {
			copies.Go(func() { answers[i] = r.send(t, adt("A28", primrose)) })
		}
		copies.Wait()
		for i, a := range answers {
			if a != answers[0] {
				t.Errorf("copy %d got another answer:\n%s", i, a)
			}
		}
		if got := len(r.service.calls()); got != 1 {
			t.Errorf("asked %d times, want once", got)
		}
	})
}

func TestAnExchangeThatDiedIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
		message := adt("A28", primrose)
		// What a process leaves that is killed between its two commits.
		r.Tracer = pds.TracerFunc(func(ctx context.Context, req pds.Request) (pds.Result, error) {
			if err := req.Recorder.Asking(ctx, pds.Call{}); err != nil {
				return pds.Result{}, err
			}
			r.journal.mu.Lock()
			r.journal.fail = errDown
			r.journal.mu.Unlock()
			return pds.Result{}, errBackEnd
		})
		if _, err := r.HandleMLLP(context.Background(), peer, nil, wire(message)); err == nil {
			t.Fatal("answered without a record")
		}
		r.journal.fail = nil
		r.Tracer = r.service

		if got := r.send(t, message); !strings.Contains(got, "MSA|AA|PAS0000451|No match") {
			t.Errorf("the resend got:\n%s", got)
		}
		if got, want := r.journal.story(), "received asked resent resumed asked answered replied"; got != want {
			t.Errorf("journal: %s; want %s", got, want)
		}
		ids := make(map[store.ID]bool)
		for _, e := range r.journal.events {
			ids[e.exchange] = true
		}
		if len(ids) != 1 {
			t.Errorf("%d exchanges, want one", len(ids))
		}
	})
}

func TestTheReplyIsDueBeforeTheTraceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &service{say: func(context.Context, pds.Request) (pds.Result, error) {
			<-time.After(6 * time.Second) // of the bubble's clock
			return pds.Result{Outcome: pds.Matched, NHSNumber: primroseNumber, Code: "SMSP-0000"}, nil
		}})
		r.Now = time.Now
		start := time.Now()
		got := r.send(t, adt("A28", primrose))
		if !strings.HasSuffix(got, "MSA|AA|PAS0000451|trace pending") {
			t.Errorf("answer:\n%s", got)
		}
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("answered after %v, want the budget of 4s", took)
		}
		query := r.send(t, q22(qpd))
		if !strings.Contains(query, "MSA|AR|P000018|") || !strings.Contains(query, "|207^") {
			t.Errorf("query answer:\n%s", query)
		}
		if err := r.Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got, want := r.journal.story(), "received asked replied received asked answered finished replied answered finished"; got != want {
			t.Errorf("journal: %s; want %s", got, want)
		}
		// A resend while, or after, the trace went on gets the first answer.
		if again := r.send(t, adt("A28", primrose)); again != got {
			t.Errorf("resend got:\n%s", again)
		}
	})
}

func TestDrainCutsTracesShortAndRecordsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &service{say: func(ctx context.Context, _ pds.Request) (pds.Result, error) {
			<-ctx.Done()
			return pds.Result{}, ctx.Err()
		}})
		r.Now = time.Now
		r.send(t, adt("A28", primrose))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := r.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Drain: %v, want the deadline", err)
		}
		if got, want := r.journal.story(), "received asked replied answered finished"; got != want {
			t.Errorf("journal: %s; want %s", got, want)
		}
	})
}

func TestNothingIsSaidThatIsNotOnDisk(t *testing.T) {
	for name, failing := range map[string]func(commit int) bool{
		"the first commit":  func(n int) bool { return n >= 1 },
		"the second commit": func(n int) bool { return n >= 2 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
			commits := 0
			r.journal.before = func() {
				r.journal.mu.Lock()
				defer r.journal.mu.Unlock()
				if commits++; failing(commits) {
					r.journal.fail = errDown
				}
			}
			reply, err := r.HandleMLLP(context.Background(), peer, nil, wire(adt("A28", primrose)))
			if reply != nil || !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("ADT: reply %q, error %v; want neither answer nor silence about why", reply, err)
			}
			if asked := len(r.service.calls()); asked != commits-1 {
				t.Errorf("asked %d times after %d commits", asked, commits)
			}
		})
	}
	t.Run("query", func(t *testing.T) {
		r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
		r.journal.fail = errDown
		if got := r.send(t, q22(qpd)); !strings.Contains(got, "MSA|AR|P000018|Cannot be dealt with now") {
			t.Errorf("answer:\n%s", got)
		}
		if got := r.send(t, q22("QPD|IHE PDQ Query|T|")); !strings.Contains(got, "MSA|AR|P000018|Cannot be dealt with now") {
			t.Errorf("answer to a query at fault:\n%s", got)
		}
		if asked := len(r.service.calls()); asked != 0 {
			t.Errorf("asked %d times without a record", asked)
		}
	})
}

func TestPoisonGoesToTheDeadLetters(t *testing.T) {
	t.Run("refused by the store", func(t *testing.T) {
		r := newRig(t, says(pds.Result{}, errBackEnd))
		first := true
		r.journal.before = func() {
			r.journal.mu.Lock()
			defer r.journal.mu.Unlock()
			r.journal.fail = nil
			if first {
				r.journal.fail = store.ErrRejected
			}
			first = false
		}
		if got := r.send(t, adt("A02", primrose)); !strings.Contains(got, "MSA|AE|PAS0000451|Internal error") {
			t.Errorf("answer:\n%s", got)
		}
		if got := r.journal.story(); got != "exchanged" {
			t.Errorf("journal: %s; want the raw message", got)
		}
	})
	t.Run("a panic", func(t *testing.T) {
		r := newRig(t, says(pds.Result{}, errBackEnd))
		first := true
		r.NewControlID = func() string {
			if first {
				first = false
				panic("HALVORSEN")
			}
			return "NT2"
		}
		if got := r.send(t, adt("A02", primrose)); !strings.Contains(got, "MSA|AE|PAS0000451|Internal error") {
			t.Errorf("answer:\n%s", got)
		}
	})
	t.Run("a panic in the back end's client", func(t *testing.T) {
		r := newRig(t, says(pds.Result{}, nil))
		r.Tracer = pds.TracerFunc(func(context.Context, pds.Request) (pds.Result, error) { panic("HALVORSEN") })
		if got := r.send(t, adt("A28", primrose)); !strings.HasSuffix(got, "MSA|AA|PAS0000451|trace pending") {
			t.Errorf("answer:\n%s", got)
		}
	})
}

func TestFramesThatAreNoMessages(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	head := wire(adt("A28", primrose))[:120]
	reply, err := r.HandleOversize(context.Background(), peer, nil, head, 1<<21)
	if err != nil {
		t.Fatal(err)
	}
	if got := lines(reply); !strings.Contains(got, "MSA|AR|PAS0000451|Message too large: 2097152 bytes") {
		t.Errorf("oversize answer:\n%s", got)
	}
	for range 15 {
		r.HandleBroken(context.Background(), peer, nil, head, 120, "cut off")
	}
	if got := strings.Count(r.journal.story(), "broken"); got != peerMost {
		t.Errorf("%d rows of broken frames in a minute, want %d", got, peerMost)
	}
	r.Now = func() time.Time { return noon().Add(time.Minute) }
	r.HandleBroken(context.Background(), peer, nil, head, 120, "cut off")
	last := r.journal.events[len(r.journal.events)-1]
	if last.Facts.Rows != 5 || last.Facts.Reason != "cut off, 120 bytes" {
		t.Errorf("the next row says %d skipped, %q", last.Facts.Rows, last.Facts.Reason)
	}
}

func TestTraceFromTheCommandLineIsRecorded(t *testing.T) {
	r := newRig(t, says(pds.Result{Outcome: pds.Matched, NHSNumber: primroseNumber}, nil))
	_, res, err := r.Trace(context.Background(), "clerk", pds.Request{Want: pds.Verify, NHSNumber: primroseNumber})
	if err != nil || res.Outcome != pds.Matched {
		t.Fatalf("Trace: %v, %v", res.Outcome, err)
	}
	if got, want := r.journal.story(), "received asked answered finished"; got != want {
		t.Errorf("journal: %s; want %s", got, want)
	}
	r.service.say = func(context.Context, pds.Request) (pds.Result, error) { return pds.Result{}, errBackEnd }
	id, _, err := r.Trace(context.Background(), "clerk", pds.Request{Want: pds.Verify, NHSNumber: primroseNumber})
	if err == nil || r.journal.closed[id] != store.Failed {
		t.Errorf("a trace that failed: error %v, outcome %v", err, r.journal.closed[id])
	}
	r.journal.fail = errDown
	if _, _, err := r.Trace(context.Background(), "clerk", pds.Request{Want: pds.Verify}); err == nil {
		t.Error("traced without a record")
	}
}

func TestPatterns(t *testing.T) {
	for _, bad := range []string{"", "MR,", "^", "A^B^C"} {
		if _, err := ParsePatterns(bad); err == nil {
			t.Errorf("ParsePatterns(%q) accepted", bad)
		}
	}
	ps, err := ParsePatterns("MR,rxx^PI,RYY^,^NH")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, oid, kind string
		want            bool
	}{
		{"ANY", "", "MR", true}, {"", "", "mr", true}, {"RXX", "", "PI", true}, {"X", "RXX", "PI", true},
		{"RZZ", "", "PI", false}, {"RYY", "", "", true}, {"RYY", "", "PI", false}, {"", "", "NH", true},
		{"NHS", "", "NH", false}, {"", "", "MR{x}", true}, {"", "", "", false},
	} {
		if got := ps.matchParts(tt.name, tt.oid, tt.kind); got != tt.want {
			t.Errorf("match(%q, %q, %q) = %v, want %v", tt.name, tt.oid, tt.kind, got, tt.want)
		}
	}
}
