package main

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/store/postgres"
)

// migrated returns the DSN of a database with the schema in it.
func migrated(t *testing.T) string {
	t.Helper()
	template := pg.Server(t).Template(t, "migrated", func(dsn string) error {
		_, err := postgres.Migrate(context.Background(), dsn)
		return err
	})
	return pg.NewDatabase(t, template)
}

func TestMigratePostgres(t *testing.T) {
	setAll(t, enough(map[string]string{"STORE": pg.NewDatabase(t, "")}))
	for _, step := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"migrate", "status"}, exitOK, ".sql"},
		{[]string{"migrate", "status", "--json"}, exitOK, `"pending":true}`},
		{[]string{"check-config", "--connect"}, exitFailed, "pending; run `spinetrace migrate up`"},
		{[]string{"migrate", "up"}, exitOK, "applied "},
		{[]string{"migrate", "up"}, exitOK, "the schema is up to date"},
		{[]string{"migrate", "status"}, exitOK, " applied 2"},
		{[]string{"migrate", "status", "--json"}, exitOK, `{"name":"`},
		{[]string{"migrate", "roles", "--apply"}, exitOK, "the roles are in place"},
		{[]string{"check-config", "--connect"}, exitFailed, "store: ok, reached, the schema is up to date"},
	} {
		code, out, errs := runCommand(step.args...)
		if code != step.code || !strings.Contains(out, step.want) {
			t.Errorf("%v: exit code %d, want %d\n%s%s", step.args, code, step.code, out, errs)
		}
	}
}

func TestServeOnPostgres(t *testing.T) {
	r := startService(t, map[string]string{"STORE": migrated(t)})
	r.waitReady(t)
	if reply, err := r.send(t, sampleA28("C1")); err != nil || !strings.Contains(string(reply), "MSA|AA|C1|Verified") {
		t.Errorf("answered %q, %v", reply, err)
	}
	// The store looks soon after its start: 24 months ahead.
	unknown := "\nspinetrace_store_partitions_until_seconds 0\n"
	waitUntil(t, "partitions in the metrics", func() bool {
		_, body := r.ask(t, "/metrics")
		return strings.Contains(body, strings.TrimRight(unknown, "0\n")) && !strings.Contains(body, unknown)
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	kinds := kindsOf(r.events(t))
	if diff := cmp.Diff([]string{"started", "clock", "received", "asked", "answered", "replied", "stopped"}, without(kinds, "warned")); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

func without(all []string, one string) []string {
	var rest []string
	for _, s := range all {
		if s != one {
			rest = append(rest, s)
		}
	}
	return rest
}

// asUser returns the DSN for another user.
func asUser(t *testing.T, dsn, user string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(user)
	return u.String()
}

func TestServeEndsWithOneSentence(t *testing.T) {
	for name, tt := range map[string]struct{ dsn, want string }{
		"no schema":    {pg.NewDatabase(t, ""), "run `spinetrace migrate up`"},
		"no database":  {pg.Server(t).DSN("nowhere"), "database"},
		"no such user": {asUser(t, pg.Server(t).DSN("postgres"), "stranger"), `"stranger"`},
	} {
		t.Run(name, func(t *testing.T) {
			setAll(t, enough(map[string]string{"MLLP_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0", "STORE": tt.dsn}))
			code, _, errs := runCommand("serve")
			lines := strings.Split(strings.TrimSpace(errs), "\n")
			last := lines[len(lines)-1]
			if code != exitFailed || !strings.HasPrefix(last, "spinetrace serve: ") || !strings.Contains(last, tt.want) {
				t.Errorf("exit code %d, %s", code, errs)
			}
		})
	}
}
