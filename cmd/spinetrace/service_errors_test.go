package main

import (
	"cmp"
	"database/sql"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"spinetrace/internal/pgtest"
)

// TestClearErrors starts the service with everything that can be wrong at a start: it ends
// with exit code 1 and one sentence that says what to do.
func TestClearErrors(t *testing.T) {
	t.Parallel()
	srv := pgtest.Start(t, pgtest.Options{Password: "swordfish"})
	migrated := program.migrated(t, srv)
	newer := program.migrated(t, srv)
	querySQL(t, newer, "insert into schema_version (version, oldest_program) values (9999, 9999) returning version::text")
	busy := listenSomewhere(t)
	noPEM := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(noPEM, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	holder := launchReady(t, serveSettings(migrated, "http://127.0.0.1:1/", map[string]string{"CHAIN": "held"}))

	t.Cleanup(func() { holder.stop(t) })

	for name, tt := range map[string]struct {
		store string // default: migrated
		set   map[string]string
		want  string // in the sentence
	}{
		"busy port":        {set: map[string]string{"MLLP_ADDR": busy}, want: "SPINETRACE_MLLP_ADDR: listen tcp " + busy},
		"busy admin port":  {set: map[string]string{"ADMIN_ADDR": busy}, want: "SPINETRACE_ADMIN_ADDR: listen tcp " + busy},
		"missing database": {store: srv.DSN("nowhere"), want: `there is no database "nowhere": create it`},
		"wrong password":   {store: strings.Replace(migrated, "swordfish", "hunter2", 1), want: `refuses user "postgres": correct user or password`},
		"not migrated":     {store: srv.NewDatabase(t, ""), want: "the database has no schema: run `spinetrace migrate up`"},
		"newer schema":     {store: newer, want: "needs a newer program than this one"},
		"missing certificate": {
			set:  map[string]string{"MLLP_TLS": "server", "MLLP_CERT": "nowhere.pem", "MLLP_KEY": "nowhere.pem"},
			want: "SPINETRACE_MLLP_CERT: cannot be used: open nowhere.pem: no such file",
		},
		"no certificate": {set: map[string]string{"SMSP_URL": "https://127.0.0.1:1/", "SMSP_CA": noPEM}, want: "holds no certificate in PEM form; give the paths of PEM files"},
		"chain in use":   {set: map[string]string{"CHAIN": "held"}, want: "stop it, or give this instance a SPINETRACE_CHAIN of its own"},
		"misspelt store": {store: "postgress://localhost/x", want: "SPINETRACE_STORE: is neither postgres://... nor sqlite:PATH"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := cmp.Or(tt.store, migrated)
			r := program.run(t, serveSettings(dsn, "http://127.0.0.1:1/", tt.set), "serve")
			said := r.complaint()
			if r.code != 1 || len(said) != 1 || !strings.Contains(said[0], tt.want) {
				t.Errorf("exit code %d, and it said\n%s\nwant 1 and one sentence with\n%s", r.code, strings.Join(said, "\n"), tt.want)
			}
			if strings.Contains(r.stderr, "swordfish") || strings.Contains(r.stderr, "hunter2") {
				t.Errorf("the password is told:\n%s", r.stderr)
			}
		})
	}
}

// complaint returns the lines of standard error that are no log.
func (r ran) complaint() []string {
	var lines []string
	for line := range strings.Lines(r.stderr) {
		if !strings.HasPrefix(line, "{") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// TestAllWrongSettings gives several settings wrongly: all are named at once.
func TestAllWrongSettings(t *testing.T) {
	t.Parallel()
	r := program.run(t, map[string]string{
		"BACKEND": "smsp", "SMSP_URL": "http://smsp.example/", "REPLY_BUDGET": "soon",
		"ACK_PROFILE": "polite", "MLLP_ADDR": "0.0.0.0:0", "LOGLEVEL": "debug", "STORE": "swordfish",
	}, "serve")
	want := []string{
		"spinetrace serve: SPINETRACE_LOGLEVEL: is not a setting; did you mean SPINETRACE_LOG_LEVEL?",
		"SPINETRACE_ACK_PROFILE: is not known; write one of hl7, park, ar_validation",
		"SPINETRACE_REPLY_BUDGET: is not a duration; write one such as 900ms, 30s or 168h",
		"SPINETRACE_MLLP_TLS: is missing, and MLLP_ADDR is not loopback; write server or mutual, or off to accept patients' data in the clear",
		"SPINETRACE_SMSP_URL: is plain http to another machine; write an https URL",
		"SPINETRACE_STORE: is neither postgres://... nor sqlite:PATH; write one of them",
		"SPINETRACE_ODS: is missing; write the trust's ODS code",
	}
	if diff := gocmp.Diff(want, r.complaint()); diff != "" || r.code != 1 {
		t.Errorf("exit code %d, want 1; (-want +got)\n%s", r.code, diff)
	}
}

// querySQL runs a statement that returns one text.
func querySQL(tb testing.TB, dsn, statement string) (text string) {
	tb.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(tb.Context(), statement).Scan(&text); err != nil {
		tb.Fatal(err)
	}
	return text
}

// listenSomewhere takes a port for as long as the test runs.
func listenSomewhere(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}
