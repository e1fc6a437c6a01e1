package main

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/store"
)

// TestAnchors: the service writes down how far the other chains have got, when that has changed, and
// once more when it stops.
func TestAnchors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	r := startService(t, map[string]string{"STORE": "sqlite:" + path})
	r.waitReady(t)
	for range 2 {
		r.anchor(t.Context()) // there is nothing to note yet
	}
	runCommand("audit", "show", "NOBODY") // begins the chain of the commands
	for range 2 {
		r.anchor(t.Context()) // the second time nothing is new
	}
	runCommand("audit", "show", "NOBODY")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	events := r.events(t)
	if diff := cmp.Diff([]string{"anchored", "anchored", "stopped"}, lastKinds(events, 3)); diff != "" {
		t.Errorf("the journal ends with (-want +got):\n%s", diff)
	}
	var numbers []string
	for _, e := range events {
		if e.Kind == store.Anchored {
			seq, _, _ := strings.Cut(factsOf(t, e).Heads["main.cli"], " ")
			numbers = append(numbers, seq)
		}
	}
	if diff := cmp.Diff([]string{"1", "2"}, numbers); diff != "" {
		t.Errorf("noted of main.cli (-want +got):\n%s", diff)
	}
	j := journal{path: path}
	j.tamper(t, "drop trigger event_delete", "delete from event where seq = 2 and chain = (select chain from event where kind = 11 limit 1)")
	wantBroken(t, "BROKEN at main.cli:2: missing: the chain was longer once, up to 2")
}

func lastKinds(events []store.Event, n int) []string {
	kinds := kindsOf(events)
	return kinds[max(0, len(kinds)-n):]
}

// TestTAUD01f: there is no setting that turns the audit off. None is named so, and with every
// switch turned over an exchange is recorded all the same.
func TestTAUD01f(t *testing.T) {
	values := make(map[string]string)
	for s := range settings(new(config)) {
		for _, word := range []string{"AUDIT", "JOURNAL", "RECORD"} {
			if strings.Contains(s.name, word) && s.name != "SMSP_AUDIT_IDS" {
				t.Errorf("what does %s do?", s.name)
			}
		}
		if s.field.Type.Kind() == reflect.Bool && s.name != "CHECK_RECIPIENT" { // which refuses the sample
			values[s.name] = fmt.Sprint(s.field.Tag.Get("default") != "true")
		}
	}
	if len(values) < 10 {
		t.Fatalf("%d switches", len(values))
	}
	r := startService(t, values)
	r.waitReady(t)
	if _, err := r.send(t, sampleA28("C1")); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	kinds := kindsOf(r.events(t))
	if !slices.Contains(kinds, "started") || !slices.Contains(kinds, "exchanged") && !slices.Contains(kinds, "replied") {
		t.Errorf("the journal has %q", kinds)
	}
}

// answeredTwice is a service that has answered a message, and the exchange that audit find knows it by.
func answeredTwice(t *testing.T) (r *running, exchange string) {
	t.Helper()
	r = startService(t, nil)
	r.waitReady(t)
	for range 2 { // the second is a resend
		if _, err := r.send(t, sampleA28("C1")); err != nil {
			t.Fatal(err)
		}
	}
	_, out, errs := runCommand("audit", "find", "--nhs-number", "9990000018", "--from", "24h", "--json")
	rows := jsonRows(t, out)
	if len(rows) != 1 || rows[0]["control_id"] != "C1" || rows[0]["application"] != "PAS" {
		t.Fatalf("audit find: %s%s", out, errs)
	}
	return r, rows[0]["exchange"].(string)
}

// TestTAUD02c: from rows alone, for one patient and day: the values that were returned, and to whom.
func TestTAUD02c(t *testing.T) {
	_, exchange := answeredTwice(t)
	_, out, _ := runCommand("audit", "show", "--exchange", exchange, "--json")
	var answers []map[string]any
	for _, row := range jsonRows(t, out) {
		if a, ok := row["answered"].(map[string]any); ok {
			answers = append(answers, a)
		}
	}
	if len(answers) != 2 {
		t.Fatalf("%d answers, want the first and the resend's:\n%s", len(answers), out)
	}
	for _, a := range answers {
		to := a["to"].(map[string]any)
		if !strings.HasPrefix(fmt.Sprint(to["peer"]), "127.0.0.1:") || to["application"] != "PAS" {
			t.Errorf("answered to %v", to)
		}
	}
	want := []any{map[string]any{
		"identifiers": []any{
			map[string]any{"id": "M1", "authority": "X99", "type": "MR"},
			map[string]any{"id": "9990000018", "authority": "NHS", "type": "NH"},
		},
		"name": "HALVORSEN^PRIMROSE", "birth_date": "19620417", "nhs_number_status": "NSTS01",
	}}
	if diff := cmp.Diff(want, answers[0]["patients"]); diff != "" || answers[0]["ack"] != "AA" || answers[0]["text"] != "Verified" {
		t.Errorf("answered %v (-want +got):\n%s", answers[0], diff)
	}
	_, out, _ = runCommand("audit", "show", "--exchange", exchange)
	_, section, _ := strings.Cut(out, "\nWhat was answered, to whom\n")
	for _, text := range []string{
		"  answered          AA, Verified\n", "  identifier        999 000 0018 (NHS NH)\n", "  name              HALVORSEN^PRIMROSE\n",
		"  birth date        19620417\n", "  NHS number status NSTS01\n", "  values            the stored answer, once more\n",
	} {
		if !strings.Contains(section, text) {
			t.Errorf("no %q in\n%s", text, section)
		}
	}
}

// TestTAUD02cOnTheCommandLine: who asked by hand is who was answered.
func TestTAUD02cOnTheCommandLine(t *testing.T) {
	answeredTwice(t)
	runCommand("trace", "--nhs-number", "9990000018", "--dob", "19620417", "--as", "clerk7")
	_, out, _ := runCommand("audit", "find", "--nhs-number", "9990000018", "--user", "clerk7", "--json")
	rows := jsonRows(t, out)
	if len(rows) != 1 {
		t.Fatalf("audit find: %s", out)
	}
	_, out, _ = runCommand("audit", "show", "--seq", rows[0]["seq"].(string))
	_, section, _ := strings.Cut(out, "\nWhat was answered, to whom\n")
	for _, text := range []string{"  who               clerk7\n", "  answered          verified\n", "  identifier        999 000 0018 (NH)\n"} {
		if !strings.Contains(section, text) {
			t.Errorf("no %q in\n%s", text, out)
		}
	}
}

// TestTAUD02e: a control id leads to the message, each call, each answer and the reply, in order.
func TestTAUD02e(t *testing.T) {
	_, exchange := answeredTwice(t)
	_, out, _ := runCommand("audit", "show", "C1", "--json", "--bodies")
	var kinds, bodies []string
	for _, row := range jsonRows(t, out) {
		event := row["event"].(map[string]any)
		kinds = append(kinds, event["kind"].(string))
		if event["exchange"] != exchange {
			t.Errorf("an event of another exchange: %v", event)
		}
		parts, _ := row["contents"].([]any)
		for _, p := range parts {
			bodies = append(bodies, p.(map[string]any)["kind"].(string))
		}
	}
	if diff := cmp.Diff([]string{"received", "asked", "answered", "replied", "resent"}, kinds); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"frame", "request", "response", "reply"}, bodies); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
}
