package exchange

import (
	"context"
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

func numbered(message string, n int) string {
	return strings.Replace(message, "PAS0000451", fmt.Sprint("M", n), 1)
}

func TestABatchIsAnsweredMessageByMessage(t *testing.T) {
	r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
	batch := strings.Join([]string{
		`FHS|^~\&|PAS|RXX|NHSTRACE|RXX|20261122||||F1`,
		`BHS|^~\&|PAS|RXX|NHSTRACE|RXX|20261122||||B1`,
		numbered(adt("A28", primrose), 1), numbered(adt("A28", "PV1||N"), 2), numbered(adt("A03", primrose), 3), strings.Replace(q22(qpd), "P000018", "M4", 1),
		"BTS|5", "FTS|1",
	}, "\n")
	got := strings.Split(r.send(t, batch), "\n")
	var msa []string
	for _, line := range got {
		if strings.HasPrefix(line, "MSA") {
			msa = append(msa, line)
		}
	}
	want := []string{"MSA|AA|M1|trace pending", "MSA|AE|M2|PID segment missing", "MSA|AA|M3|Event not used", "MSA|AR|M4|Queries are not answered in a batch"}
	if diff := cmp.Diff(want, msa); diff != "" {
		t.Errorf("acknowledgements (-want +got):\n%s", diff)
	}
	if first, last := got[0], got[len(got)-1]; !strings.HasPrefix(first, "BHS|") || !strings.HasSuffix(first, "|B1") || last != "BTS|4|count mismatch" {
		t.Errorf("begins with %s and ends with %s", first, last)
	}
	r.work(t)
	if story := r.journal.story(); strings.Count(story, "exchanged") != 4 || strings.Count(story, "finished") != 1 {
		t.Errorf("journal: %s", story)
	}
	if again := r.send(t, batch); strings.Count(again, "MSA|") != 4 || len(r.service.calls()) != 1 {
		t.Errorf("the batch again, %d calls:\n%s", len(r.service.calls()), again)
	}
}

func TestSeveralMessagesWithoutHeaderGetOneAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		second string
		want   string
	}{
		"both stored":         {adt("A03", unnumbered), "MSA|AA|M1|Event not used"},
		"the second at fault": {adt("A28", "PV1||N"), "MSA|AE|M1|PID segment missing"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
			got := strings.Split(r.send(t, numbered(adt("A03", primrose), 1)+"\n"+numbered(tt.second, 2)), "\n")
			if !strings.HasPrefix(got[0], "MSH") || got[1] != tt.want {
				t.Errorf("want %s:\n%s", tt.want, strings.Join(got, "\n"))
			}
			if story := r.journal.story(); story != "exchanged exchanged" {
				t.Errorf("journal: %s", story)
			}
		})
	}
}

func TestAnAnswerAmongMessagesDoesNotSilenceThem(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	ack := "MSH|^~\\&|PAS|RXX|NHSTRACE|RXX|20261122||ACK|X1|P|2.4\nMSA|AA|NT1"
	if got := r.send(t, ack+"\n"+numbered(adt("A28", "PV1||N"), 2)); !strings.Contains(got, "MSA|AE|M2|PID segment missing") {
		t.Errorf("answer:\n%s", got)
	}
}

// Answering an answer could start a loop, whatever is wrong with it. Each is recorded.
func TestNoAnswerIsAnswered(t *testing.T) {
	const ack = "MSH|^~\\&|PAS|RXX|NHSTRACE|RXX|20261122||ACK^A28^ACK|X1|P|2.4\nMSA|AA|NT1"
	const empty = "BHS|^~\\&|PAS|RXX|||||||B2|B1\nBTS|0"
	for name, message := range map[string]string{
		"with a line that is no segment": ack + "\nthis is none",
		"with unusable delimiters":       strings.Replace(ack, "^~\\&", "^^~\\", 1),
		"without MSA":                    strings.Replace(strings.Replace(ack, "MSA", "NTE", 1), "ACK^A28^ACK", "RSP^K22", 1),
		"in a batch":                     "BHS|^~\\&|PAS|RXX|||||||B2|B1\n" + ack + "\nBTS|1",
		"in a batch that is too large":   "BHS|^~\\&|PAS|RXX|||||||B2|B1" + strings.Repeat("\n"+ack, maxBatch+1),
		"an empty batch of answers":      empty,
	} {
		r := newRig(t, says(pds.Result{}, errBackEnd))
		if got := r.send(t, message); got != "" {
			t.Errorf("%s: answered\n%s", name, got)
		}
		if want := "exchanged"; message != empty && r.journal.story() != want {
			t.Errorf("%s: journal: %s; want %s", name, r.journal.story(), want)
		}
	}
	r := newRig(t, says(pds.Result{}, errBackEnd))
	if long, err := r.HandleOversize(context.Background(), peer, nil, wire(ack), 1<<30); err != nil || long != nil {
		t.Errorf("too long: answered %q, %v", long, err)
	}
	r.journal.before = func() { r.journal.before = nil; panic("HALVORSEN") }
	if got := r.send(t, ack); got != "" {
		t.Errorf("a dead letter: answered\n%s", got)
	}
	if story := r.journal.story(); story != "exchanged exchanged" {
		t.Errorf("journal: %s", story)
	}
}

func TestAnOversizeBatchIsRefusedAsItsFirstMessage(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	batch := "FHS|^~\\&|PAS\nBHS|^~\\&|PAS|RXX|||||||B1\n" + numbered(adt("A03", primrose), 1) + "\n" + numbered(adt("A03", primrose), 2)
	reply, err := r.HandleOversize(context.Background(), peer, nil, wire(batch), 1<<30)
	if got := lines(reply); err != nil || !strings.Contains(got, "\nMSA|AR|M1|Message too large: 1073741824 bytes\n") {
		t.Errorf("answer, %v:\n%s", err, got)
	}
}

func TestBytesOfABatchThatAreNoMessageAreRecorded(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	if got := r.send(t, "BHS|^~\\&|PAS|RXX|||||||B1\n"+primrose+"\nBTS|1"); !strings.HasSuffix(got, "BTS|0|count mismatch") {
		t.Errorf("answer:\n%s", got)
	}
	if story := r.journal.story(); story != "broken" {
		t.Errorf("journal: %s; want the bytes", story)
	}
}

func TestNothingOfABatchIsLost(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	for n, batch := range []string{
		"BHS|^~\\&|PAS|RXX|||||||B1\nNTE|1||before\n" + numbered(adt("A03", primrose), 1) + "\nBTS|1\nNTE|1||behind",
		"BHS|^^^^|PAS|RXX|||||||B1\n" + numbered(adt("A03", primrose), 2) + "\nBTS|1",
		"NTE|1||before\nBHS|^~\\&|PAS|RXX|||||||B1\n" + numbered(adt("A03", primrose), 3) + "\nBTS|7",
	} {
		before := len(r.journal.events)
		r.send(t, batch)
		left := string(wire(batch))
		for _, e := range r.journal.events[before:] {
			part, _ := store.FindPart(e.Parts, store.Frame)
			for line := range strings.SplitAfterSeq(string(part), "\r") {
				left = strings.Replace(left, line, "", 1)
			}
			if e.Kind == store.Broken && e.Facts.ControlID != "B1" {
				t.Errorf("batch %d: its row is that of %q", n, e.Facts.ControlID)
			}
		}
		if left != "" {
			t.Errorf("batch %d: in no row: %q", n, left)
		}
	}
}

func TestAFaultyBatchIsRecordedHoweverOftenItComes(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	for n := range 2 * peerMost {
		r.send(t, "BHS|^~\\&|PAS\n"+numbered(adt("A03", primrose), n)+"\nBTS|2")
	}
	if n := strings.Count(r.journal.story(), "broken"); n != 2*peerMost {
		t.Errorf("%d rows of what is in no message", n)
	}
	r.journal.fail = errDown
	if reply, err := r.HandleMLLP(context.Background(), peer, nil, []byte("BHS|^~\\&|PAS\rBTS|0\r")); err == nil || reply != nil {
		t.Errorf("answered %q, %v, and nothing is on disk", reply, err)
	}
}

func TestABatchDoesNotStarveWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.Now, r.DeferredTraces = time.Now, 2
		slow := &service{say: func(context.Context, pds.Request) (pds.Result, error) {
			<-time.After(time.Second)
			return pds.Result{Outcome: pds.NoMatch}, nil
		}}
		r.Tracer = pds.Limit(slow, 4, r.Budget)
		r.journal.now = time.Now
		ctx, stop := context.WithCancel(context.Background())
		var worked sync.WaitGroup
		worked.Go(func() { r.Work(ctx) })
		batch := "BHS|^~\\&|PAS"
		for i := range 20 {
			batch += "\n" + numbered(adt("A28", primrose), i)
		}
		if got := r.send(t, batch+"\nBTS|20"); strings.Count(got, "MSA|AA|") != 20 {
			t.Fatalf("batch:\n%s", got)
		}
		if got := r.send(t, adt("A31", primrose)); !strings.HasSuffix(got[:strings.LastIndex(got, "\n")], "|No match") {
			t.Errorf("a sender who waits got:\n%s", got)
		}
		<-time.After(time.Minute) // of the bubble's clock
		stop()
		worked.Wait()
		if err := r.Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := len(slow.calls()); n != 21 {
			t.Errorf("asked %d times, want everybody once", n)
		}
	})
}

func TestABatchThatCannotBeStoredIsNotAnswered(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	commits := 0
	r.journal.before = func() {
		r.journal.mu.Lock()
		defer r.journal.mu.Unlock()
		if commits++; commits == 2 {
			r.journal.fail = errDown
		}
	}
	batch := "BHS|^~\\&|PAS\n" + numbered(adt("A03", primrose), 1) + "\n" + numbered(adt("A03", unnumbered), 2) + "\nBTS|2"
	if reply, err := r.HandleMLLP(context.Background(), peer, nil, wire(batch)); err == nil || reply != nil {
		t.Fatalf("answered %q, %v", reply, err)
	}
	r.journal.fail = nil
	if got := r.send(t, batch); strings.Count(got, "MSA|AA|") != 2 {
		t.Errorf("sent again:\n%s", got)
	}
	if story := r.journal.story(); story != "exchanged resent exchanged" {
		t.Errorf("journal: %s", story)
	}
}

// With the choice to tell, a batch is told which of its messages were kept.
func TestABatchOfWhichSomeCanBeStored(t *testing.T) {
	batch := "BHS|^~\\&|PAS\n" + numbered(adt("A03", primrose), 1) + "\n" + numbered(adt("A03", unnumbered), 2) + "\n" + strings.Replace(q22(qpd), "P000018", "M3", 1) + "\nBTS|3"
	for answer, want := range map[BatchAnswer]string{
		BatchEach:   "MSA|AA|M1|Event not used, MSA|AR|M2|Cannot be dealt with now, MSA|AR|M3|Cannot be dealt with now",
		BatchSingle: "MSA|AR|M1|Cannot be dealt with now",
	} {
		r := newRig(t, says(pds.Result{}, errBackEnd))
		r.StoreDown, r.BatchAnswer = StoreDownNack, answer
		commits := 0
		r.journal.before = func() {
			r.journal.mu.Lock()
			defer r.journal.mu.Unlock()
			if commits++; commits == 2 {
				r.journal.fail = errDown
			}
		}
		reply, err := r.HandleMLLP(context.Background(), peer, nil, wire(batch))
		var msa []string
		for line := range strings.SplitSeq(lines(reply), "\n") {
			if strings.HasPrefix(line, "MSA") {
				msa = append(msa, line)
			}
		}
		if got := strings.Join(msa, ", "); got != want || err == nil {
			t.Errorf("answered %q, %v; want %q and the end of the connection", got, err, want)
		}
		if commits != 2 {
			t.Errorf("%d commits: the store is asked again and again", commits)
		}
	}
}

func TestChoicesOfAnswers(t *testing.T) {
	for s, want := range map[string]BatchAnswer{"each": BatchEach, "single": BatchSingle} {
		if got, err := ParseBatchAnswer(s); err != nil || got != want {
			t.Errorf("ParseBatchAnswer(%q) = %v, %v", s, got, err)
		}
	}
	for s, want := range map[string]StoreDownAnswer{"close": StoreDownClose, "nack": StoreDownNack} {
		if got, err := ParseStoreDownAnswer(s); err != nil || got != want {
			t.Errorf("ParseStoreDownAnswer(%q) = %v, %v", s, got, err)
		}
	}
	if _, err := ParseBatchAnswer("both"); err == nil {
		t.Error("both accepted")
	}
	if _, err := ParseStoreDownAnswer("wait"); err == nil {
		t.Error("wait accepted")
	}
}

func TestBatchesOfOddSizes(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	if got := r.send(t, "BHS|^~\\&|PAS|RXX|||||||B9\nBTS|0"); !strings.HasPrefix(got, "BHS|") || !strings.HasSuffix(got, "\nBTS|0") {
		t.Errorf("an empty batch:\n%s", got)
	}
	var many strings.Builder
	many.WriteString("BHS|^~\\&|PAS")
	for i := range maxBatch + 1 {
		many.WriteString("\n" + numbered(adt("A03", primrose), i))
	}
	if got := r.send(t, many.String()); !strings.Contains(got, "MSA|AR|M0|Batch of 1001 messages, at most 1000 are taken") {
		t.Errorf("too many:\n%s", got)
	}
	if got := r.send(t, strings.Repeat("BHS|^~\\&|PAS\nBTS|0\n", maxBatch+1)); !strings.Contains(got, "MSA|AR||1001 batches, at most 1000 are taken") {
		t.Errorf("too many batches:\n%s", got)
	}
	if got := r.send(t, strings.Replace(adt("A03", primrose), "HALVORSEN", "MSH|x", 1)); !strings.Contains(got, "MSA|AA|PAS0000451") {
		t.Errorf("MSH in a text:\n%s", got)
	}
}
