package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"spinetrace/hl7v2"
	"spinetrace/pds/pdstest"
)

// TestLoad: so many messages as asked, each with an id of its own, about the people of the file;
// what is told of them adds up.
func TestLoad(t *testing.T) {
	_, made, _ := runCommand("load", "--make-people", "25")
	people, err := pdstest.ReadPeople(strings.NewReader(made))
	if err != nil || len(people) != 25 {
		t.Fatalf("%d people, %v", len(people), err)
	}
	if _, err := pdstest.NewPopulation(people); err != nil {
		t.Fatal(err)
	}
	r := &receiver{ack: accept}
	code, out, errs := runCommand("load", "--addr", r.listen(t, nil), "--people", file(t, "people.csv", made), "--count", "100", "--connections", "4", "--numbers", "--for", "1h", "--json")
	var sum loaded
	if err := json.Unmarshal([]byte(out), &sum); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, out, errs)
	}
	if sum.Messages != 100 || sum.Acks["AA"] != 100 || sum.Unanswered != 0 || sum.Connections != 4 || sum.P50 > sum.P99 || sum.P99 > sum.Max {
		t.Errorf("told: %+v", sum)
	}
	ids, numbers := make(map[string]bool), make(map[string]bool)
	got := r.messages(t)
	for _, m := range got {
		ids[m.Get(msh10)] = true
		numbers[m.Get(hl7v2.MustPath("PID-3[2].1"))] = true
		if size := len(m.Bytes()); size < 450 || size > 700 {
			t.Errorf("a message of %d bytes", size)
		}
	}
	if len(got) != 100 || len(ids) != 100 || len(numbers) != 25 {
		t.Errorf("%d messages with %d ids about %d people", len(got), len(ids), len(numbers))
	}
}

// TestLoadTells: what is not answered well is told, and is a failure.
func TestLoadTells(t *testing.T) {
	refuse := &receiver{ack: func(id string) string { return "MSA|AR|" + id }}
	code, out, errs := runCommand("load", "--addr", refuse.listen(t, nil), "--count", "3", "--rate", "1000", "--event", "A03")
	want := regexp.MustCompile(`^3 answers in .* over 1 connections: \d+ a second\np50 .* ms, p90 .* ms, p99 .* ms, longest .* ms\n3 AR; 0 without an answer\n$`)
	if code != exitFailed || !want.MatchString(out) {
		t.Errorf("exit code %d:\n%s%s", code, out, errs)
	}
	for _, args := range [][]string{{"--connections", "0"}, {"--for", "0s"}, {"--rate", "-1"}, {"--make-people", "1000000"}} {
		if code, _, _ := runCommand(append([]string{"load"}, args...)...); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
	}
	nobody := file(t, "people.csv", "NHS_NUMBER,DATE_OF_BIRTH,FAMILY_NAME,GIVEN_NAME,GENDER\n")
	if code, _, errs := runCommand("load", "--people", nobody); code != exitFailed || !strings.Contains(errs, "holds nobody") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
