package main

import (
	"strings"
	"testing"

	"spinetrace/store"
)

// TestLettersWithoutADestination: letters for the PAS wait, and no setting names one.
func TestLettersWithoutADestination(t *testing.T) {
	j := backlogStore(t)
	const want = "1 letter waits for pas, which is not configured: configure it, or drop what `spinetrace outbox list` shows"
	setAll(t, enough(map[string]string{"STORE": "sqlite:" + j.path, "SMSP_URL": "http://127.0.0.1:1/"}))
	if _, out, _ := runCommand("check-config", "--connect"); !strings.Contains(out, "\noutbox: warning, "+want+"\n") {
		t.Errorf("check-config:\n%s", out)
	}
	if _, out, _ := runCommand("check-config", "--connect", "--json"); !strings.Contains(out, `{"check":"outbox","warning":"1 letter waits`) {
		t.Errorf("check-config --json:\n%s", out)
	}
	r := startService(t, map[string]string{"STORE": "sqlite:" + j.path})
	r.waitReady(t)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if log := r.log.String(); !strings.Contains(log, `"msg":"letters have nowhere to go","what":"`+want+`"`) {
		t.Errorf("logged was\n%s", log)
	}
}

func TestLettersWithADestination(t *testing.T) {
	j := backlogStore(t)
	db := j.open(t, "reading")
	defer closeStore(t, db)
	cfg := config{PAS: destination{Addr: "127.0.0.1:1"}, WebhookURL: Secret{"http://127.0.0.1:1/"}, MailAddr: "localhost:25"}
	if got := strings.Join(cfg.destinations(), " "); got != "mail webhook pas" {
		t.Errorf("destinations are %s", got)
	}
	if all, err := stranded(t.Context(), db, cfg.destinations()); len(all) != 0 || err != nil {
		t.Errorf("stranded() = %q, %v; a parked letter waits for nobody", all, err)
	}
}

// TestBacklogCountsEachDestination: however much waits for another.
func TestBacklogCountsEachDestination(t *testing.T) {
	j := backlogStore(t)
	db := j.open(t, "main")
	defer closeStore(t, db)
	letters := make([]store.Letter, 10_001)
	for i := range letters {
		letters[i] = store.Letter{Destination: "webhook", Exchange: j.ids[0], ControlID: number(int64(i + 1)), Kind: store.Notice}
	}
	last := store.Letter{Destination: "forward", Exchange: j.ids[0], ControlID: "last", Kind: store.Forwarded}
	keep(t, db, store.Commit{Exchange: j.ids[0], Entries: []store.Entry{{Kind: store.Queued}}, Letters: append(letters, last)})
	m := newMetrics(thisBuild())
	m.watchBacklog(db, db, "mail")
	_, body := get(t, adminHandler(func() error { return nil }, func() string { return "" }, m.registry), "/metrics")
	for _, line := range []string{
		`spinetrace_outbox_letters{destination="webhook",state="waiting"} 10001`,
		`spinetrace_outbox_letters{destination="forward",state="waiting"} 1`,
		`spinetrace_outbox_letters{destination="pas",state="parked"} 1`,
		`spinetrace_outbox_letters{destination="mail",state="parked"} 0`,
		`spinetrace_outbox_oldest_seconds{destination="forward"} `,
		`spinetrace_outbox_oldest_seconds{destination="mail"} 0`,
	} {
		if !strings.Contains(body, "\n"+line) {
			t.Errorf("no line %s", line)
		}
	}
}
