package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spinetrace/store"
	"spinetrace/store/sqlite"
)

// Lines of BODY_KEY.
var (
	firstKey  = "1:" + strings.Repeat("0f", 32)
	secondKey = "2:" + strings.Repeat("a5", 32)
)

// sealedStore is a journal in which one message is encrypted with each of two keys, "ONE" and "TWO".
func sealedStore(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.db")
	given := ""
	for _, next := range []struct{ id, key string }{{"ONE", firstKey}, {"TWO", secondKey}} {
		id := next.id
		given += next.key + "\n"
		db := openSealed(t, path, strings.ToLower(id), given)
		keep(t, db, store.Commit{
			Exchange: store.NewID(), Open: &store.Opening{ControlID: id, Type: "ADT^A28"},
			Entries: []store.Entry{{Kind: store.Exchanged, Facts: store.Facts{ControlID: id, Outcome: "not traced"}, Parts: []store.Part{
				{Kind: store.Frame, Data: []byte("MSH|^~\\&|PAS||||20260601||ADT^A28|" + id + "|P|2.4\r")},
				{Kind: store.Reply, Data: []byte("MSH|^~\\&|S||||20260601||ACK|1|P|2.4\rMSA|AA|" + id + "\r")},
			}}},
			Close: &store.Closing{Outcome: store.NotTraced},
		})
		closeStore(t, db)
	}
	return "sqlite:" + path
}

// openSealed starts a store with keys.
func openSealed(t *testing.T, path, chain, text string) store.Store {
	t.Helper()
	keys, err := store.ParseBodyKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(path, store.Options{Chain: chain, BodyKeys: keys})
	if err == nil {
		err = db.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// TestBodyKeys: what was encrypted is shown with its key, and without it everything else is.
func TestBodyKeys(t *testing.T) {
	dsn := sealedStore(t)
	for _, tt := range []struct {
		keys, id, says string
	}{
		{"", "ONE", "encrypted, and SPINETRACE_BODY_KEY lacks its key, number 1"},
		{firstKey, "ONE", "< MSA|AA|ONE"},
		{firstKey, "TWO", "encrypted, and SPINETRACE_BODY_KEY lacks its key, number 2"},
		{secondKey, "TWO", "< MSA|AA|TWO"},
		{secondKey, "ONE", "values            encrypted, and SPINETRACE_BODY_KEY lacks its key, number 1"},
		{firstKey + "\n# newer\n" + secondKey, "ONE", "< MSA|AA|ONE"},
	} {
		values := map[string]string{"STORE": dsn}
		if tt.keys != "" {
			values["BODY_KEY"] = tt.keys
		}
		setAll(t, values)
		for _, flag := range []string{"", "--json"} {
			code, out, errs := runCommand(strings.Fields("audit show " + tt.id + " " + flag)...)
			if code != exitOK || flag == "" && !strings.Contains(out, tt.says) {
				t.Errorf("%d keys: exit code %d, no %q in\n%s%s", strings.Count(tt.keys, ":"), code, tt.says, out, errs)
			}
		}
	}
}

// TestOtherBodyKeyIsRefused, by everything that opens the store; a missing one by what would write
// without it.
func TestOtherBodyKeyIsRefused(t *testing.T) {
	dsn := sealedStore(t)
	values := map[string]string{"STORE": dsn, "BODY_KEY": strings.Replace(firstKey, "0f", "0e", 1) + "\n" + secondKey}
	setAll(t, values)
	if code, _, errs := runCommand("audit", "show", "ONE"); code != exitFailed || !strings.Contains(errs, "another than the one of its number") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	for keys, want := range map[string]string{
		values["BODY_KEY"]:          "body keys of the store: sqlite: open: store: a body key is another than the one of its number that the store was written with: number 1\n",
		firstKey:                    "body keys of the store: store: the key of a body is not given: number 2; serve does not start without it\n",
		firstKey + "\n" + secondKey: "body keys of the store: ok, none is missing or another\n",
	} {
		setAll(t, enough(map[string]string{"STORE": dsn, "BODY_KEY": keys}))
		if _, out, errs := runCommand("check-config", "--connect", "--timeout", "1s"); !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s%s", want, out, errs)
		}
	}
}

// TestVerifyNeedsTheKeys for bodies, and says so; everything else is verified all the same.
func TestVerifyNeedsTheKeys(t *testing.T) {
	dsn := sealedStore(t)
	setAll(t, map[string]string{"STORE": dsn, "BODY_KEY": firstKey})
	const lacks = "2 bodies were not checked, the first at two:1: add key 2 to SPINETRACE_BODY_KEY, or leave --bodies out"
	code, out, errs := runCommand("audit", "verify", "--bodies")
	if code != exitFailed || !strings.HasSuffix(errs, ": "+lacks+"\n") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	for _, want := range []string{"2 bodies, up to one:1", "0 bodies (2 not checked, key 2, from two:1 on), up to two:1"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	_, out, _ = runCommand("audit", "verify", "--bodies", "--json", "--chain", "two")
	if !strings.Contains(out, `"bodies_not_checked":[{"key":2,"bodies":2,"first_seq":1}]`) {
		t.Errorf("as JSON: %s", out)
	}
	if code, out, errs := runCommand("audit", "verify"); code != exitOK {
		t.Errorf("without bodies: exit code %d, %s%s", code, out, errs)
	}
	t.Setenv(prefix+"BODY_KEY", firstKey+"\n"+secondKey)
	if code, out, errs := runCommand("audit", "verify", "--bodies"); code != exitOK || !strings.Contains(out, "2 bodies") {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
	t.Setenv(prefix+"BODY_KEY", firstKey)
	j := journal{path: strings.TrimPrefix(dsn, "sqlite:")}
	db := openSealed(t, j.path, "two", firstKey+"\n"+secondKey)
	keep(t, db, store.Commit{Entries: []store.Entry{{Kind: store.Warned}}})
	closeStore(t, db)
	j.tamper(t, "drop trigger event_update", "update event set doc = doc || ' ' where seq = 2")
	code, out, errs = runCommand("audit", "verify", "--bodies")
	if code != exitFailed || !strings.Contains(out, "BROKEN at two:2: hash does not follow") || !strings.Contains(errs, "1 chain is broken; "+lacks) {
		t.Errorf("damage behind a body without its key: exit code %d\n%s%s", code, out, errs)
	}
}

// TestCheckConfigNamesKeysByNumber, and never shows one.
func TestCheckConfigNamesKeysByNumber(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte("# of 2026\n"+firstKey+"\n"+secondKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	setAll(t, enough(map[string]string{"BODY_KEY_FILE": file}))
	_, out, errs := runCommand("check-config")
	if !strings.Contains(out, "body keys: ok, number 1, 2; 2 encrypts\n") || strings.Contains(out+errs, "0f0f") {
		t.Errorf("check-config says\n%s%s", out, errs)
	}
	if err := os.WriteFile(file, []byte("# of 2026\n"+firstKey+"\n2:c0ffee\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runCommand("check-config")
	if code != exitFailed || !strings.Contains(out, "SPINETRACE_BODY_KEY: cannot be used: line 3: ") || strings.Contains(out+errs, "c0ffee") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	setAll(t, enough(nil))
	if _, out, _ = runCommand("check-config"); !strings.Contains(out, "body keys: ok, none, bodies are not encrypted\n") {
		t.Errorf("without keys:\n%s", out)
	}
}

// TestServeEncrypts: no body is in the file as it was.
func TestServeEncrypts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	r := startService(t, map[string]string{"STORE": "sqlite:" + path, "BODY_KEY": firstKey})
	r.waitReady(t)
	if _, err := r.send(t, sampleA28("C1")); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := runCommand("audit", "verify", "--bodies"); code != exitOK {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	for _, file := range []string{path, path + "-wal"} {
		text, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "PID|1|") {
			t.Errorf("%s holds a message in the clear", filepath.Base(file))
		}
	}
}
