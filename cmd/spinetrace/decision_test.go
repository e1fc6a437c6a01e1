package main

import (
	"strings"
	"testing"
)

func TestHasNHSNumber(t *testing.T) {
	for text, want := range map[string]bool{
		"":                               false,
		"records merged":                 false,
		"9990000018":                     true,
		"999 000 0018":                   true,
		"999-000-0018":                   true,
		"the right one is 999 000 0018.": true,
		"NHS9990000018/x":                true,
		"letter 17 999 000 0018":         true,
		"9 9 9 0 0 0 0 0 1 8":            true,
		"999\u00a0000\u00a00018":         true,
		"999000001":                      false,
		"9990000019":                     false, // check digit
		"ticket 179990000018":            false, // a longer number
		"999, 000, 0018":                 false,
		"01132 496 0018":                 false,
	} {
		if got := hasNHSNumber(text); got != want {
			t.Errorf("hasNHSNumber(%q) = %t, want %t", text, got, want)
		}
	}
}

// TestNoNHSNumberIsRecorded: what people write is listed and logged beside what is no patient's.
func TestNoNHSNumberIsRecorded(t *testing.T) {
	j := backlogStore(t)
	for _, args := range [][]string{
		{"items", "close", "1", "--reason", "it is 999 000 0018"},
		{"items", "close", "1", "--reason", "done", "--as", "9990000018"},
		{"items", "list", "--as", "9990000018"},
		{"items", "show", "1", "--as", "9990000018"},
		{"outbox", "retry", "2", "--reason", "999-000-0018"},
		{"outbox", "drop", "2", "--reason", "999-000-0018"},
		{"outbox", "list", "--as", "9990000018"},
		{"audit", "show", soleID, "--as", "9990000018"},
		{"audit", "reindex", "--as", "9990000018"},
	} {
		code, out, errs := runCommand(args...)
		if code != exitUsage || out != "" || !strings.Contains(errs, "has an NHS number in it") || strings.Contains(errs, "0018") {
			t.Errorf("%v: exit code %d, stdout %q, stderr %q", args, code, out, errs)
		}
	}
	if events := j.commanded(t); len(events) != 0 {
		t.Errorf("recorded is %v", kindsOf(events))
	}
}
