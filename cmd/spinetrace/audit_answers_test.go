package main

import (
	"strings"
	"testing"
	"time"

	"spinetrace/store"
)

// Addresses of senders.
const (
	portA = "192.0.2.1:40001"
	portB = "192.0.2.1:40002"
)

// aReply is the event of an answer.
func aReply(ack string) store.Entry {
	return store.Entry{Kind: store.Replied, Facts: store.Facts{Ack: ack}, Parts: []store.Part{
		{Kind: store.Reply, Data: []byte("MSH|^~\\&|S||||20260601||ACK|1|P|2.4\rMSA|" + ack + "|C1\r")},
	}}
}

// whoWasTold writes whom each answer of a story went to, and what it was.
func whoWasTold(story []store.Event, parts map[int][]store.Part) string {
	var l listener
	for i, e := range story {
		facts, _ := e.Facts()
		l.hear(toldEvent{Event: e, facts: facts, parts: parts[i]})
	}
	var told []string
	for _, a := range l.answers {
		told = append(told, strings.Trim(a.To.Peer+" "+a.To.Application+" "+a.Ack+" "+a.Missing, " "))
	}
	return strings.Join(told, "; ")
}

// TestWhoWasAnswered: an answer goes to who asked, whoever sends the message again meanwhile.
func TestWhoWasAnswered(t *testing.T) {
	event := func(kind store.Kind, peer string) store.Entry {
		f := store.Facts{Peer: peer}
		if kind != store.Resumed {
			f.Application = "PAS"
		}
		return store.Entry{Kind: kind, Facts: f}
	}
	first, again, resumed := event(store.Received, portA), event(store.Resent, portB), event(store.Resumed, portB)
	late := store.Entry{Kind: store.Resent, Facts: store.Facts{Ack: "AA"}} // of a reply that came second
	for name, tt := range map[string]struct {
		entries []store.Entry
		chains  string // of each event, by a letter; "": all are of one
		want    string
	}{
		"a resend before the answer": {[]store.Entry{first, again, aReply("AA")}, "",
			portB + " PAS  came again; there was no answer yet; " + portA + " PAS AA"},
		"a resend after it": {[]store.Entry{first, aReply("AA"), again}, "",
			portA + " PAS AA; " + portB + " PAS  the stored answer, once more"},
		"one of either": {[]store.Entry{first, again, aReply("AA"), again}, "",
			portB + " PAS  came again; there was no answer yet; " + portA + " PAS AA; " + portB + " PAS  the stored answer, once more"},
		"taken up again": {[]store.Entry{first, resumed, aReply("AA")}, "", portB + " PAS AA"},
		"taken up by another instance, and answered by the first": {[]store.Entry{first, resumed, aReply("AA"), late}, "abab",
			portA + " PAS AA; " + portB + " PAS  the stored answer, once more"},
		"a look meanwhile": {[]store.Entry{first, {Kind: store.ItemClosed, Facts: store.Facts{User: "clerk", Peer: portB}}, aReply("AE")}, "", portA + " PAS AE"},
	} {
		t.Run(name, func(t *testing.T) {
			var story []store.Event
			heads, id, parts := map[string]*store.Head{}, store.NewID(), map[int][]store.Part{}
			for i, e := range tt.entries {
				chain := (tt.chains + "aaaa")[i : i+1]
				if heads[chain] == nil {
					heads[chain] = &store.Head{Chain: chain}
				}
				story, parts[i] = append(story, heads[chain].Append(time.Now(), id, e)), e.Parts
			}
			if got := whoWasTold(story, parts); got != tt.want {
				t.Errorf("answered: %s\nwant      %s", got, tt.want)
			}
		})
	}
}

// storyOfResend is a journal in which the message C1 came from port A, and again from port B before it
// was answered.
func storyOfResend(t *testing.T) journal {
	t.Helper()
	j := emptyJournal(t)
	db := j.open(t, "main")
	defer closeStore(t, db)
	claim := &store.Claim{Application: "PAS", ControlID: "C1", Window: time.Hour}
	copyOf := func(peer string) store.Commit {
		return store.Commit{
			Exchange: store.NewID(), Open: &store.Opening{Application: "PAS", ControlID: "C1", Type: "ADT^A28", Claim: claim},
			Entries: []store.Entry{{Kind: store.Received, Facts: store.Facts{Peer: peer, Application: "PAS", ControlID: "C1", NHSSent: "9990000018"}}},
		}
	}
	first := copyOf(portA)
	keep(t, db, first)
	keep(t, db, copyOf(portB))
	answer := aReply("AA")
	answer.Parts[0].Data = append(answer.Parts[0].Data, "PID|1||9990000018^^^NHS^NH\r"...)
	keep(t, db, store.Commit{Exchange: first.Exchange, Entries: []store.Entry{answer}, Close: &store.Closing{Outcome: store.Verified}})
	return j
}

// TestAuditShowNamesWhoWasAnswered on screen and as CSV.
func TestAuditShowNamesWhoWasAnswered(t *testing.T) {
	storyOfResend(t)
	for form, file := range map[string]string{"": "audit-show-resent.golden", "--csv": "audit-show-csv.golden"} {
		code, out, errs := runCommand(strings.Fields("audit show C1 " + form)...)
		if code != exitOK || errs != "" {
			t.Fatalf("%s: exit code %d, stderr %q", form, code, errs)
		}
		golden(t, file, masked(out))
	}
}

// TestAuditShowCSV has a list for messages of one control id, and goes with no other form.
func TestAuditShowCSV(t *testing.T) {
	newJournal(t)
	_, out, _ := runCommand("audit", "show", sharedID, "--csv")
	if got := strings.Join(columnOf(t, out, "seq"), " "); got != "main:7 main:6" {
		t.Errorf("listed are %s", got)
	}
	for _, other := range []string{"--json", "--fields", "--bodies"} {
		if code, out, errs := runCommand("audit", "show", soleID, "--csv", other); code != exitUsage || out != "" || !strings.Contains(errs, "--csv excludes") {
			t.Errorf("%s: exit code %d, %q, %q", other, code, out, errs)
		}
	}
}
