package main

import (
	"bytes"
	"net"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"spinetrace/hl7v2"
	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
	"spinetrace/smsp/smsptest"
	"spinetrace/store"
)

// trouble is a way in which a provider fails.
type trouble struct {
	do   string // of the simulator; "": nobody listens
	want call   // how each call ended
	once bool   // asking again would not help
	open bool   // after it nobody is asked for a while
}

// troubles are those of either kind of provider.
var troubles = map[string]map[string]trouble{
	"smsp": {
		"500":            {do: "500", want: call{Status: 500, Reason: "no answer with this status"}},
		"503":            {do: "503", want: call{Status: 503, Reason: "no answer with this status"}},
		"garbage":        {do: "garbage", want: call{Status: 200, Reason: "not XML"}, once: true},
		"busy":           {do: "fault:2100", want: call{Status: 500, Code: "2100", Reason: "SOAP fault 2100"}},
		"denied":         {do: "fault:3000", want: call{Status: 500, Code: "3000", Reason: "SOAP fault 3000"}, once: true, open: true},
		"hang":           {do: "hang", want: call{Reason: "timeout"}},
		"reset":          {do: "reset", want: call{Reason: "connection reset"}},
		"nobody listens": {want: call{Reason: "connection refused"}},
	},
	"pds": {
		"500":            {do: "500", want: call{Status: 500, Code: "DEMOG-9999", Reason: "no code"}},
		"garbage":        {do: "garbage", want: call{Status: 200, Code: "SMSP-0002", Reason: "not a JSON object"}, once: true},
		"busy":           {do: "429:1", want: call{Status: 429, Code: "SMSP-0004", Reason: "no code"}},
		"denied":         {do: "code:ACCESS_DENIED", want: call{Status: 401, Code: "SMSP-0005", Reason: "ACCESS_DENIED"}, once: true, open: true},
		"hang":           {do: "hang", want: call{Reason: "timeout"}},
		"nobody listens": {want: call{Reason: "connection refused"}},
	},
}

// TestBackEndTrouble gives providers every way to fail: an ADT is stored and answered
// "trace pending", a query is told to come later, nothing is made up, and every call is in
// the journal with how it ended.
func TestBackEndTrouble(t *testing.T) {
	t.Parallel()
	for backend, all := range troubles {
		for name, tt := range all {
			t.Run(backend+" "+name, func(t *testing.T) {
				t.Parallel()
				checkTrouble(t, backend, tt)
			})
		}
	}
}

func checkTrouble(t *testing.T, backend string, tt trouble) {
	people := pdstest.People()
	sim := providers[backend](t, people, simulator.Fault{Do: tt.do})
	dsn := program.migrated(t, pg.Server(t))
	set := beside(dsn, sim, map[string]string{"BACKEND_TIMEOUT": "500ms", "BACKEND_ATTEMPTS": "2"})
	if tt.do == "" {
		set["SMSP_URL"], set["PDS_URL"] = "http://"+deadAddr(t)+"/", "http://"+deadAddr(t)+"/FHIR/R4"
	}
	i := launchReady(t, set)
	a := &author{sender: "PAS", people: people}
	adt, question := a.write(traced[0]), a.write(queries[0])
	pending := ask(t, i.mllp, adt)
	checkPending(t, pending)
	checkNotNow(t, ask(t, i.mllp, question))

	want := []call{tt.want, tt.want}
	if tt.once {
		want = want[:1]
	}
	stories := awaitTraces(t, openJournal(t, dsn))
	checkCalls(t, stories, adt, want)
	if tt.open {
		want = nil
	}
	checkCalls(t, stories, question, want)
	checkMended(t, i, sim, pending, question, tt.do != "" && !tt.open)
	i.stop(t)
}

// TestReplyBudget lets the provider think longer than a sender may wait: the ADT is answered
// in time, the call runs on, and how it ended is recorded.
func TestReplyBudget(t *testing.T) {
	t.Parallel()
	people := pdstest.People()
	sim := smsptest.NewServer(t, people, smsptest.Fault{Delay: 3 * time.Second})
	dsn := program.migrated(t, pg.Server(t))
	i := launchReady(t, serveSettings(dsn, sim.URL, map[string]string{"COMMIT_TIMEOUT": "900ms", "REPLY_BUDGET": "1s"}))
	adt := traced[0].write("PAS-000001", "PAS", people.At(0))
	pending := ask(t, i.mllp, adt)
	checkPending(t, pending)
	i.stop(t) // the drain waits for the call
	db := openJournal(t, dsn)
	stories := awaitTraces(t, db)
	checkCalls(t, stories, adt, []call{{Status: 200, Code: "SMSP-0000", Reason: "response code"}})
	for _, s := range stories {
		if got, want := s.told(), "received asked replied answered finished"; got != want {
			t.Errorf("the journal tells %q, want %q", got, want)
		}
	}
	if asked := sim.Asked(); asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
}

// call is how a call ended, as the journal has it.
type call struct {
	Status       int
	Code, Reason string
}

// checkCalls checks that each call for a message was announced before it ended, and how.
func checkCalls(t *testing.T, stories map[store.ID]*story, m message, want []call) {
	t.Helper()
	var got []call
	open := false
	for _, s := range stories {
		if s.facts[0].ControlID != m.controlID {
			continue
		}
		for n, e := range s.events {
			switch f := s.facts[n]; {
			case e.Kind == store.Asked && !open:
				open = true
			case e.Kind == store.Answered && open:
				got, open = append(got, call{f.Status, f.Code, f.Reason}), false
			case e.Kind == store.Asked, e.Kind == store.Answered:
				t.Errorf("%s: questions and answers do not alternate: %s", m.kind, s.told())
			}
		}
	}
	if diff := gocmp.Diff(want, got); diff != "" || open {
		t.Errorf("%s: calls in the journal (-want +got):\n%s", m.kind, diff)
	}
}

// checkMended checks that, once the provider is well, the answer to the ADT is the one that
// was stored, and the query, of which none was kept, is asked and answered.
func checkMended(t *testing.T, i *instance, sim provider, pending answered, question message, asks bool) {
	t.Helper()
	sim.SetFaults()
	asked := sim.Asked()
	if again := ask(t, i.mllp, pending.message); !bytes.Equal(again.answer, pending.answer) || sim.Asked() != asked {
		t.Errorf("a resend of the ADT gets another answer, or is asked about: %s %q", again.code, again.text)
	}
	again := ask(t, i.mllp, question)
	if !asks {
		checkNotNow(t, again)
	} else if again.code != "AA" {
		t.Errorf("the query is answered %s %q once the provider is well, want AA", again.code, again.text)
	}
}

// checkPending checks that an ADT was stored and that its answer decides nothing.
func checkPending(t *testing.T, a answered) {
	t.Helper()
	m, err := hl7v2.Parse(a.answer)
	if err != nil {
		t.Fatal(err)
	}
	if a.code != "AA" || a.text != "trace pending" || m.Count("PID") > 0 {
		t.Errorf("%s: answered %s %q with %d patients, want AA, trace pending and none", a.kind, a.code, a.text, m.Count("PID"))
	}
}

// deadAddr returns an address where nobody listens.
func deadAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	return ln.Addr().String()
}
