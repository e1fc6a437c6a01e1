package exchange

import (
	"context"
	"strings"
	"testing"

	"spinetrace/hl7v2"
	"spinetrace/pds"
)

func TestEnhancedMode(t *testing.T) {
	message := func(accept, application, pid string) string {
		return strings.Replace(adt("A28", pid), "|P|2.4", "|P|2.4|||"+accept+"|"+application, 1)
	}
	for name, tt := range map[string]struct {
		message string
		want    string // MSA of the answer, "" when none leaves
		story   string
	}{
		"neither field filled":           {message("", "", primrose), "MSA|AA|PAS0000451|No match", "received asked answered replied"},
		"always":                         {message("AL", "", primrose), "MSA|CA|PAS0000451", "exchanged asked answered finished"},
		"always, and an application ack": {message("AL", "AL", primrose), "MSA|CA|PAS0000451", "exchanged asked answered finished"},
		"on success, stored":             {message("SU", "NE", primrose), "MSA|CA|PAS0000451", "exchanged asked answered finished"},
		"on error, stored":               {message("ER", "NE", primrose), "", "exchanged asked answered finished"},
		"never, stored":                  {message("NE", "AL", primrose), "", "exchanged asked answered finished"},
		"application ack only":           {message("", "AL", primrose), "MSA|CA|PAS0000451", "exchanged asked answered finished"},
		"always, in small letters":       {message("al", "", primrose), "MSA|CA|PAS0000451", "exchanged asked answered finished"},
		"a value that is in no table":    {message("Y", "", primrose), "MSA|CA|PAS0000451", "exchanged asked answered finished"},
		"always, at fault":               {message("AL", "NE", "PV1||N"), "MSA|CE|PAS0000451|PID segment missing", "exchanged"},
		"on error, at fault":             {message("ER", "NE", "PV1||N"), "MSA|CE|PAS0000451|PID segment missing", "exchanged"},
		"on success, at fault":           {message("SU", "NE", "PV1||N"), "", "exchanged"},
		"always, not for us":             {strings.Replace(message("AL", "", primrose), "|P|2.4", "|T|2.4", 1), "MSA|CR|PAS0000451|Unsupported processing id", "exchanged"},
		"a query has its response":       {strings.Replace(q22(qpd), "|P|2.5", "|P|2.5|||AL|AL", 1), "MSA|AA|P000018|No match", "received asked answered replied"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
			r.Enhanced = true
			got := r.send(t, tt.message)
			if lines := strings.Split(got, "\n"); tt.want == "" && got != "" || tt.want != "" && (len(lines) < 2 || lines[1] != tt.want) {
				t.Errorf("answer, want %q:\n%s", tt.want, got)
			}
			r.work(t)
			if story := r.journal.story(); story != tt.story {
				t.Errorf("journal: %s; want %s", story, tt.story)
			}
			calls := len(r.service.calls())
			if again := r.send(t, tt.message); again != got && !strings.Contains(tt.want, "CR") {
				t.Errorf("the resend got another answer:\n%s", again)
			}
			if len(r.service.calls()) != calls {
				t.Error("the resend was traced")
			}
		})
	}
}

// What cannot be parsed, is too long or too much is answered by the same table: MSH-15 can be
// read all the same.
func TestEnhancedModeOfFaults(t *testing.T) {
	for accept, sees := range map[string]bool{"AL": true, "ER": true, "SU": false, "NE": false} {
		message := strings.Replace(adt("A03", primrose), "|P|2.4", "|P|2.4|||"+accept, 1)
		r := newRig(t, says(pds.Result{}, errBackEnd))
		r.Enhanced = true
		many := "BHS|^~\\&|PAS" + strings.Repeat("\n"+message, maxBatch+1)
		long, err := r.HandleOversize(context.Background(), peer, nil, wire(message), 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		for name, tt := range map[string]struct{ got, want string }{
			"no segment": {r.send(t, message+"\nthis is none"), "MSA|CE|PAS0000451|A line is not a segment"},
			"too many":   {r.send(t, many), "MSA|CE|PAS0000451|Batch of 1001 messages, at most 1000 are taken"},
			"too long":   {lines(long), "MSA|CE|PAS0000451|Message too large: 1073741824 bytes"},
		} {
			if !sees && tt.got != "" || sees && !strings.Contains(tt.got, "\n"+tt.want+"\n") {
				t.Errorf("%s, %s: answer:\n%s", accept, name, tt.got)
			}
		}
		if story := r.journal.story(); story != "exchanged exchanged exchanged" {
			t.Errorf("%s: journal: %s", accept, story)
		}
	}
}

// A dead letter is answered by the same table.
func TestEnhancedModeOfDeadLetters(t *testing.T) {
	for accept, want := range map[string]string{"AL": "MSA|CE|PAS0000451|Internal error", "SU": ""} {
		r := newRig(t, says(pds.Result{}, errBackEnd))
		r.Enhanced = true
		r.journal.before = func() { r.journal.before = nil; panic("HALVORSEN") }
		got := r.send(t, strings.Replace(adt("A03", primrose), "|P|2.4", "|P|2.4|||"+accept, 1))
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: answer:\n%s", accept, got)
		}
		if story := r.journal.story(); story != "exchanged" {
			t.Errorf("%s: journal: %s", accept, story)
		}
	}
}

func TestTimesOfAnswers(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	r.TimeFormat = hl7v2.TimeMilliseconds | hl7v2.TimeOffset
	for name, got := range map[string]string{
		"ACK":   r.send(t, adt("A03", primrose)),
		"query": r.send(t, q22(qpd)),
		"batch": r.send(t, "BHS|^~\\&|PAS\nBTS|0"),
	} {
		if !strings.Contains(got, "|20261122120000.000+0000|") {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

func TestABatchInEnhancedMode(t *testing.T) {
	r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
	r.Enhanced = true
	batch := "BHS|^~\\&|PAS|RXX|||||||B1"
	for n, accept := range []string{"AL", "NE", "ER", "SU", ""} {
		batch += "\n" + strings.Replace(numbered(adt("A03", primrose), n), "|P|2.4", "|P|2.4|||"+accept, 1)
	}
	got := r.send(t, batch+"\nBTS|5")
	for _, want := range []string{"MSA|CA|M0\n", "MSA|CA|M3\n", "MSA|AA|M4|Event not used\n", "\nBTS|3"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q:\n%s", want, got)
		}
	}
	if strings.Count(got, "MSA|") != 3 {
		t.Errorf("answer:\n%s", got)
	}
}

// A sender that wants to hear of nothing hears as much of a batch that was stored as is due, and
// nothing of one that was not.
func TestABatchInEnhancedModeThatCannotBeStored(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	r.Enhanced, r.StoreDown = true, StoreDownNack
	batch := "BHS|^~\\&|PAS\n" + strings.Replace(adt("A03", primrose), "|P|2.4", "|P|2.4|||NE", 1) + "\nBTS|1"
	r.journal.fail = errDown
	if reply, err := r.HandleMLLP(context.Background(), peer, nil, wire(batch)); err == nil || reply != nil {
		t.Errorf("answered %q, %v; want silence and the end of the connection", reply, err)
	}
	r.journal.fail = nil
	if got := r.send(t, batch); !strings.HasSuffix(got, "\nBTS|0") {
		t.Errorf("stored: answered\n%s", got)
	}
}

func TestOriginalModeAnswersWhateverTheMessageAsks(t *testing.T) {
	r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
	if got := r.send(t, strings.Replace(adt("A28", primrose), "|P|2.4", "|P|2.4|||NE|AL", 1)); !strings.Contains(got, "MSA|AA|PAS0000451|No match") {
		t.Errorf("answer:\n%s", got)
	}
}

func TestHowAnswersNameThemselves(t *testing.T) {
	for form, want := range map[string]string{
		"version": "|ACK^A03^ACK|", "ACK": "|ACK|", "ACK^event": "|ACK^A03|", "ACK^event^ACK": "|ACK^A03^ACK|",
	} {
		ackType, err := ParseAckType(form)
		if err != nil {
			t.Fatal(err)
		}
		r := newRig(t, says(pds.Result{}, errBackEnd))
		r.AckType = ackType
		if got := r.send(t, adt("A03", primrose)); !strings.Contains(got, want) {
			t.Errorf("%s: want %s:\n%s", form, want, got)
		}
	}
	if _, err := ParseAckType("NAK"); err == nil {
		t.Error("NAK accepted")
	}
	r := newRig(t, says(pds.Result{}, errBackEnd))
	r.OwnIdentity, r.Application = true, "TRACER"
	if got := r.send(t, adt("A03", primrose)); !strings.HasPrefix(got, `MSH|^~\&|TRACER|RXX|PAS|RXX|`) {
		t.Errorf("own identity:\n%s", got)
	}
}

func TestWhoseMessagesAreTaken(t *testing.T) {
	r := newRig(t, says(pds.Result{}, errBackEnd))
	r.CheckRecipient = true
	for recipient, want := range map[string]string{"": "MSA|AA|", "ROUTE": "MSA|AA|", "NHSTRACE": "MSA|AA|", "LAB": "MSA|AR|PAS0000451|Not addressed to us"} {
		if got := r.send(t, strings.Replace(adt("A03", primrose), "|NHSTRACE|", "|"+recipient+"|", 1)); !strings.Contains(got, want) {
			t.Errorf("to %q: want %s:\n%s", recipient, want, got)
		}
	}
	r.AcceptAndIgnore = []string{"ORU", "SIU^S12"}
	for kind, want := range map[string]string{"ORU^R01": "MSA|AA|PAS0000451|Event not used", "SIU^S12": "MSA|AA|", "SIU^S13": "MSA|AR|"} {
		if got := r.send(t, strings.Replace(adt("A03", primrose), "ADT^A03", kind, 1)); !strings.Contains(got, want) {
			t.Errorf("%s: want %s:\n%s", kind, want, got)
		}
	}
}

func TestAReusedControlIDIsToldOf(t *testing.T) {
	r := newRig(t, says(pds.Result{Outcome: pds.NoMatch}, nil))
	reasons := func() string { return r.journal.events[len(r.journal.events)-1].Facts.Reason }
	r.send(t, adt("A03", primrose))
	if got := reasons(); got != "Event not used" {
		t.Errorf("the first: %q", got)
	}
	r.send(t, adt("A03", unnumbered))
	if got := reasons(); got != "control id came before with another message; Event not used" {
		t.Errorf("the second: %q", got)
	}
}

func TestControlIDsAreForgottenInTime(t *testing.T) {
	var r recentIDs
	digest := [32]byte{1}
	for i := range 3 * recentMost {
		if r.reused("PAS", "RXX", string(rune(i+0x100)), digest) {
			t.Fatal("new ids count as reused")
		}
		if n := len(r.young) + len(r.aged); n > 2*recentMost {
			t.Fatalf("%d ids remembered", n)
		}
	}
	last := string(rune(3*recentMost - 1 + 0x100))
	if r.reused("PAS", "RXX", last, digest) || !r.reused("PAS", "RXX", last, [32]byte{2}) {
		t.Error("the latest id is not known")
	}
}
