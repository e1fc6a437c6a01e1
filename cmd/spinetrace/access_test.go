package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"spinetrace/pds/pdstest"
	"spinetrace/smsp/smsptest"
	"spinetrace/store"
)

// overheard is a simulator of the mini services, and what it was asked.
type overheard struct {
	url string

	mu    sync.Mutex
	asked []string
}

func overhear(t *testing.T) *overheard {
	t.Helper()
	sim, err := url.Parse(smsptest.NewServer(t, pdstest.People()).URL)
	if err != nil {
		t.Fatal(err)
	}
	o := new(overheard)
	proxy := httputil.NewSingleHostReverseProxy(sim)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the service has gone
		}
		o.mu.Lock()
		o.asked = append(o.asked, string(body))
		o.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	o.url = front.URL
	return o
}

// identities returns the audit identities of every question.
func (o *overheard) identities() (all []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, body := range o.asked {
		_, rest, _ := strings.Cut(body, "<itk:auditIdentity>")
		ids, _, _ := strings.Cut(rest, "</itk:auditIdentity>")
		all = append(all, ids)
	}
	return all
}

// eachStore runs a test on an empty store of either kind.
func eachStore(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Run("PostgreSQL", func(t *testing.T) { test(t, migrated(t)) })
	t.Run("SQLite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "journal.db")) })
}

// fromUser is an A28 of a user with a role profile; "" leaves one out.
func fromUser(id, user, role string) string {
	return strings.Replace(sampleA28(id), "EVN|A28|20261122120000\r", "EVN|A28|20261122120000|||"+user+"^SURNAME\rZUS|1|"+role+"\r", 1)
}

// queryOf is a Q22 of a user with a role profile.
func queryOf(id, user, role string) string {
	return "MSH|^~\\&|PAS|X99|SPINETRACE|X99|20261122120000||QBP^Q22^QBP_Q21|" + id + "|P|2.5\r" +
		"QPD|Q22^Find Candidates^HL70471|" + id + "|@PID.5.1^HALVORSEN~@PID.7^19620417~@PID.8^F\rRCP|I\r" +
		"ZUS|1|" + role + "|" + user + "\r"
}

// rowsOf returns the facts of the rows of a message, by its control id.
func rowsOf(t *testing.T, events []store.Event, controlID string) (rows []store.Facts) {
	t.Helper()
	var id store.ID
	for _, e := range events {
		f, err := e.Facts()
		if err != nil {
			t.Fatal(err)
		}
		if f.ControlID == controlID {
			id = e.Exchange
		}
		if e.Exchange == id && id != (store.ID{}) {
			rows = append(rows, f)
		}
	}
	return rows
}

// firstFact is the first fact of a kind that the rows of a message have.
func firstFact(rows []store.Facts, fact func(store.Facts) string) string {
	for _, f := range rows {
		if text := fact(f); text != "" {
			return text
		}
	}
	return ""
}

func outcomeFact(f store.Facts) string { return f.Outcome }
func reasonFact(f store.Facts) string  { return f.Reason }

// smartcards are the settings of access by smartcard.
func smartcards(dsn, url string) map[string]string {
	return map[string]string{
		"STORE": dsn, "SMSP_URL": url, "ACCESS": "smartcard",
		"ACCESS_USER_FIELDS": "EVN-5.1,ZUS-3", "ACCESS_ROLE_FIELDS": "ZUS-2",
	}
}

// TestTAUD04b: with smartcards nobody is asked about a message that lacks user or role profile. An
// ADT is stored and not traced, a query is refused and told which field it lacks; both are recorded.
func TestTAUD04b(t *testing.T) {
	eachStore(t, func(t *testing.T, dsn string) {
		provider := overhear(t)
		r := startService(t, smartcards(dsn, provider.url))
		r.waitReady(t)
		for _, m := range []struct{ id, message, answer, why string }{
			{"A1", fromUser("A1", "", "555012345678"), "MSA|AA|A1|Not traced: refused", "User required"},
			{"A2", fromUser("A2", "123456789012", ""), "MSA|AA|A2|Not traced: refused", "Role profile required"},
			{"A3", fromUser("A3", "System", "555012345678"), "MSA|AA|A3|Not traced: refused", "User required"},
			{"Q1", queryOf("Q1", "", "555012345678"), "ERR||EVN^1^5|101^Required field missing", "User required"},
			{"Q2", queryOf("Q2", "123456789012", ""), "ERR||ZUS^1^2|101^Required field missing", "Role profile required"},
		} {
			answer, err := r.send(t, m.message)
			if err != nil || !strings.Contains(string(answer), m.answer) || strings.HasPrefix(m.id, "Q") && !strings.Contains(string(answer), "MSA|AE|"+m.id+"|"+m.why) {
				t.Errorf("%s was answered %q, %v", m.id, answer, err)
			}
		}
		if asked := provider.identities(); len(asked) > 0 {
			t.Errorf("the provider was asked: %q", asked)
		}
		for _, message := range []string{fromUser("A4", "123456789012", "555012345678"), queryOf("Q3", "123456789012", "555012345678")} {
			if answer, err := r.send(t, message); err != nil || !strings.Contains(string(answer), "MSA|AA|") {
				t.Errorf("with both: %q, %v", answer, err)
			}
		}
		const want = `<itk:id type="1.2.826.0.1285.0.2.0.65" uri="123456789012"/><itk:id type="1.2.826.0.1285.0.2.0.67" uri="555012345678"/>`
		if got := provider.identities(); fmt.Sprint(got) != fmt.Sprint([]string{want, want}) {
			t.Errorf("asked on behalf of %q", got)
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		events := r.events(t)
		for id, why := range map[string]string{"A1": "User required", "A2": "Role profile required", "Q1": "User required", "Q2": "Role profile required"} {
			if rows := rowsOf(t, events, id); firstFact(rows, outcomeFact) != "refused" || !strings.Contains(firstFact(rows, reasonFact), why) {
				t.Errorf("%s is recorded as %q, %q", id, firstFact(rows, outcomeFact), firstFact(rows, reasonFact))
			}
		}
		for _, f := range rowsOf(t, events, "A4") {
			if f.User != "123456789012" || f.Role != "555012345678" {
				t.Errorf("a row on behalf of %q, %q", f.User, f.Role)
			}
		}
	})
}

// TestTAUD04c: an attended message without a user is refused, or asked as the system, as a setting says,
// and its rows say which.
func TestTAUD04c(t *testing.T) {
	const (
		local  = `<itk:id uri="urn:nhs-uk:identity:ods:X99:JBLOGGS"/>`
		system = `<itk:id uri="urn:nhs-uk:identity:ods:X99:SYS:SPINETRACE"/>`
	)
	for setting, tt := range map[string]struct {
		answer, outcome, reason string
		asked                   []string
	}{
		"":       {"Not traced: refused", "refused", "User required", []string{local}},
		"refuse": {"Not traced: refused", "refused", "User required", []string{local}},
		"system": {"Verified", "verified", "no user in the message: asked as the system", []string{system, local}},
	} {
		t.Run("ACCESS_NO_USER="+setting, func(t *testing.T) {
			eachStore(t, func(t *testing.T, dsn string) {
				provider := overhear(t)
				set := map[string]string{"STORE": dsn, "SMSP_URL": provider.url, "ACCESS": "attended"}
				if setting != "" {
					set["ACCESS_NO_USER"] = setting
				}
				r := startService(t, set)
				r.waitReady(t)
				for id, want := range map[string]string{"A1": tt.answer} {
					if answer, err := r.send(t, sampleA28(id)); err != nil || !strings.Contains(string(answer), "MSA|AA|"+id+"|"+want) {
						t.Errorf("without a user: %q, %v", answer, err)
					}
				}
				if answer, err := r.send(t, fromUser("A2", "JBLOGGS", "")); err != nil || !strings.Contains(string(answer), "MSA|AA|A2|Verified") {
					t.Errorf("with one: %q, %v", answer, err)
				}
				if got := provider.identities(); fmt.Sprint(got) != fmt.Sprint(tt.asked) {
					t.Errorf("asked on behalf of %q, want %q", got, tt.asked)
				}
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				events := r.events(t)
				rows := rowsOf(t, events, "A1")
				if firstFact(rows, outcomeFact) != tt.outcome || firstFact(rows, reasonFact) != tt.reason {
					t.Errorf("recorded as %q, %q", firstFact(rows, outcomeFact), firstFact(rows, reasonFact))
				}
				for _, f := range rows {
					if f.User != store.System {
						t.Errorf("a row without a user is of %q", f.User)
					}
				}
				for _, f := range rowsOf(t, events, "A2") {
					if f.User != "JBLOGGS" {
						t.Errorf("a row of JBLOGGS is of %q", f.User)
					}
				}
			})
		})
	}
}

// TestTPDS00: each access method has a setting; a session that was authenticated with a smartcard is
// refused at the start of the service, and nothing else is put in its place.
func TestTPDS00(t *testing.T) {
	cards := map[string]string{"ACCESS": "smartcard", "ACCESS_ROLE_FIELDS": "ZUS-2"}
	for name, tt := range map[string]struct {
		set   map[string]string
		fault string
	}{
		"unattended":           {nil, ""},
		"attended":             {map[string]string{"ACCESS": "attended"}, ""},
		"smartcard":            {cards, ""},
		"session":              {map[string]string{"ACCESS": "session"}, "SPINETRACE_ACCESS: is session, and a session authenticated with a smartcard is not supported"},
		"a smartcard with pds": {map[string]string{"ACCESS": "smartcard", "ACCESS_ROLE_FIELDS": "ZUS-2", "BACKEND": "pds"}, "SPINETRACE_ACCESS: is smartcard, and pds is asked with application-restricted access"},
		"no role":              {map[string]string{"ACCESS": "smartcard"}, "SPINETRACE_ACCESS_ROLE_FIELDS: is missing, and ACCESS is smartcard"},
		"role without cards":   {map[string]string{"ACCESS_ROLE_FIELDS": "ZUS-2"}, "SPINETRACE_ACCESS_ROLE_FIELDS: is given, but ACCESS is not smartcard"},
		"nobody, unattended":   {map[string]string{"ACCESS_NO_USER": "system"}, "SPINETRACE_ACCESS_NO_USER: is given, but ACCESS is not attended"},
		"no field":             {map[string]string{"ACCESS": "attended", "ACCESS_USER_FIELDS": "EVN5"}, "SPINETRACE_ACCESS_USER_FIELDS: is not a list of fields"},
		"identities of nobody": {map[string]string{"ACCESS": "attended", "SMSP_AUDIT_IDS": "urn:x:{system}"}, "SPINETRACE_SMSP_AUDIT_IDS: does not say whom ACCESS asks for"},
		"no role in them":      {map[string]string{"ACCESS": "smartcard", "ACCESS_ROLE_FIELDS": "ZUS-2", "SMSP_AUDIT_IDS": "1.2.826.0.1285.0.2.0.65={user}"}, "SPINETRACE_SMSP_AUDIT_IDS: does not say whom ACCESS asks for"},
	} {
		t.Run(name, func(t *testing.T) {
			setAll(t, enough(tt.set))
			code, out, _ := runCommand("check-config")
			if tt.fault == "" {
				if code != exitOK {
					t.Errorf("exit code %d\n%s", code, out)
				}
				return
			}
			_, _, errs := runCommand("serve")
			if code != exitFailed || !strings.Contains(out, tt.fault) || !strings.Contains(errs, tt.fault) {
				t.Errorf("exit code %d, want %q\n%s%s", code, tt.fault, out, errs)
			}
		})
	}
}

// TestTraceBySmartcard: the command line is held to the access method, too.
func TestTraceBySmartcard(t *testing.T) {
	provider := overhear(t)
	setAll(t, enough(smartcards("sqlite:"+filepath.Join(t.TempDir(), "journal.db"), provider.url)))
	question := []string{"trace", "--nhs-number", "9990000018", "--dob", "1962-04-17", "--as", "123456789012"}
	if code, _, errs := runCommand(question...); code != exitUsage || !strings.Contains(errs, "the question cannot be asked: role profile missing") {
		t.Errorf("without a role: exit code %d, %s", code, errs)
	}
	if code, out, errs := runCommand(append(question, "--role", "555012345678")...); code != exitOK {
		t.Errorf("with one: exit code %d\n%s%s", code, out, errs)
	}
	const want = `uri="123456789012"/><itk:id type="1.2.826.0.1285.0.2.0.67" uri="555012345678"/>`
	if got := provider.identities(); len(got) != 1 || !strings.HasSuffix(got[0], want) {
		t.Errorf("asked on behalf of %q", got)
	}
}
