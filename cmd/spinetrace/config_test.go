package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spinetrace/exchange"
)

var update = flag.Bool("update", false, "rewrite what is generated")

// setAll gives settings by their names without the prefix.
func setAll(t *testing.T, values map[string]string) {
	t.Helper()
	clearSettings(t)
	for name, value := range values {
		t.Setenv(prefix+name, value)
	}
}

// enough are settings that serve can do with.
func enough(more map[string]string) map[string]string {
	values := map[string]string{
		"ODS": "X99", "BACKEND": "smsp", "SMSP_URL": "https://smsp.example.nhs.uk/smsp/pds",
	}
	for name, value := range more {
		values[name] = value
	}
	return values
}

func TestDefaultsAreSafe(t *testing.T) {
	setAll(t, nil)
	c, found := readConfig()
	if len(found) > 0 {
		t.Fatalf("without any setting:\n%v", found)
	}
	if !loopback(c.MLLPAddr) || !loopback(c.AdminAddr) {
		t.Errorf("listening on %s and %s; want loopback", c.MLLPAddr, c.AdminAddr)
	}
	if c.AllowWildcards || c.AllowPartialDOB || c.ADTDetails {
		t.Error("something that asks for more than needed is on by default")
	}
	if c.NHSNumbers != exchange.DefaultNHSNumbers || c.LocalID != exchange.DefaultLocalID {
		t.Error("the default patterns are not those of package exchange")
	}
	if diff := cmp.Diff(exchange.DefaultTraceEvents(), []string(c.TraceEvents)); diff != "" {
		t.Errorf("TRACE_EVENTS differs from package exchange (-want +got):\n%s", diff)
	}
	if c.ReplyBudget != 4*time.Second || c.CommitTimeout != 900*time.Millisecond || c.MLLPMaxFrame != MiB {
		t.Errorf("REPLY_BUDGET %v, COMMIT_TIMEOUT %v, MLLP_MAX_FRAME %v", c.ReplyBudget, c.CommitTimeout, c.MLLPMaxFrame)
	}
}

func TestDefaultConfigIgnoresTheEnvironment(t *testing.T) {
	setAll(t, nil)
	want, found := readConfig()
	if len(found) > 0 {
		t.Fatal(found)
	}
	setAll(t, map[string]string{"STORE": "postgres://owner@db/x", "MLLP_ADDR": ":2575", "LOG_LEVEL": "debug", "ODSS": "x"})
	got, err := defaultConfig()
	if err != nil || got.digest() != want.digest() || got.Store != want.Store {
		t.Errorf("defaultConfig() = %+v, %v\nwant %+v", got, err, want)
	}
}

func TestServeNeedsNameAndBackend(t *testing.T) {
	setAll(t, nil)
	_, err := serviceConfig()
	want := "SPINETRACE_ODS: is missing; write the trust's ODS code\nSPINETRACE_BACKEND: is missing; write smsp or pds"
	if err == nil || err.Error() != want {
		t.Errorf("serviceConfig() = %v, want %s", err, want)
	}
}

// badValues has at least one value for every setting that is not taken, and what is said.
var badValues = []struct{ name, value, want string }{
	{"ODS", "rx9", "is not an ODS code"},
	{"APPLICATION", "a|b", "is not a name"},
	{"MLLP_ADDR", "2575", "is not an address"},
	{"MLLP_TLS", "yes", "is not known; write one of off, server, mutual"},
	{"MLLP_CERT", " ", "is empty"},
	{"MLLP_KEY", "", "is empty"},
	{"MLLP_CLIENT_CA", "", "is empty"},
	{"MLLP_CLIENT_NAMES", "pas.example.nhs.uk", "is given, but MLLP_TLS is not mutual"},
	{"MLLP_CLIENT_NAMES", "pas,,lab", "is not a list"},
	{"MLLP_CLIENT_NAMES", "caf\u00e9", "has characters other than printable ASCII"},
	{"MLLP_RELEASE", "3", "is out of range; write 1 to 2"},
	{"MLLP_ALLOW", "10.0.0.0/33", "is not a list of networks"},
	{"MLLP_MAX_FRAME", "1GiB", "is not a size"},
	{"MLLP_MAX_FRAME", "10", "is out of range; write 1KiB to 64MiB"},
	{"MLLP_MAX_CONNS", "0", "is out of range; write 1 to 100000"},
	{"MLLP_MAX_CONNS_PER_ADDR", "many", "is not a whole number"},
	{"MLLP_IDLE_TIMEOUT", "-1s", "is out of range"},
	{"MLLP_FRAME_TIMEOUT", "30", "is not a duration"},
	{"MLLP_WRITE_TIMEOUT", "0s", "is out of range"},
	{"ACK_MODE", "none", "is not known"},
	{"ACK_PROFILE", "lenient", "is not known; write one of hl7, park, ar_validation"},
	{"ACK_IDENTITY", "both", "is not known; write one of mirrored, configured"},
	{"ACK_TYPE", "NAK", "is not known"},
	{"BATCH_ANSWER", "all", "is not known; write one of each, single"},
	{"STORE_DOWN", "wait", "is not known; write one of close, nack"},
	{"TIME_FORMAT", "iso", "is not known; write one of seconds, milliseconds, offset, milliseconds+offset"},
	{"ACCEPT_AND_IGNORE", "ORU,R01^ORU^X", "has something that is no message type"},
	{"CHECK_RECIPIENT", "perhaps", "is not"},
	{"TRUST_MSH2", "perhaps", "is not"},
	{"LENIENT_SEGMENTS", "perhaps", "is not"},
	{"STRICT_CHARSET", "perhaps", "is not"},
	{"PROCESSING_IDS", "P,X", "has something else than P, T and D"},
	{"ADT_ANSWER", "none", "is not known; write one of traced, plain"},
	{"WORK_DEADLINE", "1s", "is out of range"},
	{"REPLY_BUDGET", "1h", "is out of range"},
	{"TRACE_EVENTS", "A28,,A31", "is not a list"},
	{"TRACE_EVENTS", "ADT^A28", "has something that is no ADT event"},
	{"LOCAL_ID", "A^B^C", "is not a list of patterns"},
	{"NHS_NUMBER_PATTERNS", "^", "is not a list of patterns"},
	{"LEGACY_NUMBERS", "PID-2,PID-4", "is not a list of PID-2 and PID-19"},
	{"STATUS_IN_CX2", "perhaps", "is not a switch"},
	{"REFUSE_999", "perhaps", "is not a switch"},
	{"UNKNOWN_NAMES", "UNKNOWN,*", "has an entry that stands for every name"},
	{"PLACEHOLDER_DATES", "19000101,1900", "has something that is no date"},
	{"LOCAL_DOMAINS", "RXX,A^B", "is not a list of domains"},
	{"RETRACE_AFTER", "-1h", "is out of range"},
	{"QUERY_MULTIPLE", "all", "is not known; write one of nf, ae"},
	{"QUERY_QAK", "some", "is not a switch"},
	{"QUERY_PLAIN_NACK", "some", "is not a switch"},
	{"QUERY_TELEPHONE", "some", "is not a switch"},
	{"QUERY_SEX_CODES", "iso", "is not known; write one of hl7, nhs"},
	{"DUPLICATE_WINDOW", "1s", "is out of range"},
	{"DUPLICATE_WINDOW_QUERY", "forever", "is not a duration"},
	{"BACKEND", "spine", "is not known; write one of smsp, pds"},
	{"BACKEND_RATE", "fast", "is not a rate; write a number of calls a second"},
	{"BACKEND_RATE", "-1", "is not a rate"},
	{"BACKEND_TIMEOUT", "10", "is not a duration"},
	{"BACKEND_ATTEMPTS", "11", "is out of range; write 1 to 10"},
	{"BACKEND_CONCURRENCY", "0", "is out of range"},
	{"BACKEND_ALLOW_WILDCARDS", "maybe", "is not a switch; write true or false"},
	{"BACKEND_ALLOW_PARTIAL_DOB", "2", "is not a switch"},
	{"ADT_DETAILS", "on", "is not a switch"},
	{"SMSP_URL", "smsp.example.nhs.uk", "is not a URL"},
	{"SMSP_URL", "http://smsp.example.nhs.uk/", "is plain http to another machine; write an https URL"},
	{"SMSP_URL", "https://user:pass@smsp.example.nhs.uk/", "is not a URL"},
	{"SMSP_CERT", "cert.pem", "and SMSP_KEY belong together"},
	{"SMSP_KEY", "", "is empty"},
	{"SMSP_CA", "", "is empty"},
	{"SMSP_SERVER_NAME", "a b", "is not a host name"},
	{"SMSP_USERNAME", "caf\u00e9", "has characters other than printable ASCII"},
	{"SMSP_FROM", "a\x01", "has characters other than printable ASCII"},
	{"SMSP_SENDER", strings.Repeat("x", 201), "or more than 200"},
	{"ACCESS", "everybody", "is not known; write one of "},
	{"ACCESS", "session", "is session, and a session authenticated with a smartcard is not supported"},
	{"ACCESS_USER_FIELDS", "EVN-x", "is not a list of fields"},
	{"ACCESS_ROLE_FIELDS", "ZUS-2", "is given, but ACCESS is not smartcard"},
	{"ACCESS_NO_USER", "system", "is given, but ACCESS is not attended"},
	{"SMSP_AUDIT_IDS", "urn:{who}", "is not a list of audit identities"},
	{"SMSP_SOAP_ACTION_QUOTED", "quoted", "is not a switch"},
	{"SMSP_CONNECT_TIMEOUT", "2m", "is out of range"},
	{"SMSP_TIMESTAMP_VALIDITY", "1s", "is out of range"},
	{"SMSP_LOCAL_ID_ROOT", "1.2.x", "is not an OID"},
	{"SMSP_LOCAL_ID_PREFIX", "\u00fc", "has characters other than printable ASCII"},
	{"SMSP_SHORT_SURNAME", "drop", "is not known; write one of send, omit"},
	{"SMSP_ACCEPT_STALE", "never", "is not a switch"},
	{"SMSP_MAX_RESPONSE_BYTES", "1MB", "is not a size"},
	{"SMSP_PROXY", "proxy.example:3128", "is not the URL of a proxy"},
	{"PDS_URL", "http://api.example.nhs.uk/FHIR/R4", "is plain http to another machine; write an https URL"},
	{"PDS_URL", "https://api.example.nhs.uk/FHIR/R4?x=1", "is not a URL"},
	{"PDS_TOKEN_URL", "http://api.example.nhs.uk/oauth2/token", "is neither off nor a URL that may be used"},
	{"PDS_API_KEY", "k\x01", "has characters other than printable ASCII"},
	{"PDS_KEY_FILE", "", "is empty"},
	{"PDS_KEY_ID", "\u00fc", "has characters other than printable ASCII"},
	{"PDS_CA", "", "is empty"},
	{"PDS_SERVER_NAME", "a b", "is not a host name"},
	{"PDS_PROXY", "proxy.example:3128", "is not the URL of a proxy"},
	{"PDS_CONNECT_TIMEOUT", "2m", "is out of range"},
	{"PDS_MAX_RESPONSE_BYTES", "1MB", "is not a size"},
	{"PDS_FAMILY_PART", "some", "is not a switch"},
	{"PDS_GIVEN_INITIAL", "some", "is not a switch"},
	{"PDS_ACCEPT_PARTIAL_PDS_DOB", "some", "is not a switch"},
	{"PDS_RESTRICTED_SEARCH", "some", "is not a switch"},
	{"PDS_FUZZY_FALLBACK", "some", "is not a switch"},
	{"PDS_GENDER_CHECK", "ignore", "is not known; write one of reject, warn"},
	{"PDS_MIN_SCORE", "85", "is not a share; write a number from 0 to 1"},
	{"RETURN", "a31,fax", "has something that is not known; write a31, forward, both with a comma between, or none"},
	{"RETURN", "a31", "has a31, but PAS_ADDR is not given"},
	{"RETURN", "forward", "has forward, but FORWARD_ADDR is not given"},
	{"RETURN", "none,none", "has none beside something else"},
	{"PAS_ADDR", "pas.example.nhs.uk", "is not an address; write host:port"},
	{"PAS_ADDR", ":2612", "names no host; write host:port"},
	{"PAS_ADDR", "127.0.0.1:2575", "is MLLP_ADDR, our own listener"},
	{"PAS_TLS", "yes", "is not known; write one of off, server, mutual"},
	{"PAS_CA", "", "is empty"},
	{"PAS_CERT", "cert.pem", "is given, but PAS_TLS is not mutual"},
	{"PAS_KEY", "key.pem", "is given, but PAS_TLS is not mutual"},
	{"PAS_SERVER_NAME", "a b", "is not a host name"},
	{"PAS_RELEASE", "3", "is out of range; write 1 to 2"},
	{"PAS_ACCEPT_CA", "always", "is not a switch"},
	{"PAS_CONNECT_TIMEOUT", "10", "is not a duration"},
	{"PAS_ANSWER_TIMEOUT", "1h", "is out of range"},
	{"PAS_CONNECTION", "pool", "is not known; write one of keep, message"},
	{"FORWARD_ADDR", "pas.example.nhs.uk", "is not an address; write host:port"},
	{"FORWARD_ADDR", "localhost:2575", "is MLLP_ADDR, our own listener"},
	{"FORWARD_ADDR", "127.0.0.1:2577", "is given, but RETURN has no forward, so nothing would be sent there"},
	{"FORWARD_TLS", "yes", "is not known; write one of off, server, mutual"},
	{"FORWARD_CA", "", "is empty"},
	{"FORWARD_CERT", "cert.pem", "is given, but FORWARD_TLS is not mutual"},
	{"FORWARD_KEY", "key.pem", "is given, but FORWARD_TLS is not mutual"},
	{"FORWARD_SERVER_NAME", "a b", "is not a host name"},
	{"FORWARD_RELEASE", "3", "is out of range; write 1 to 2"},
	{"FORWARD_ACCEPT_CA", "always", "is not a switch"},
	{"FORWARD_CONNECT_TIMEOUT", "10", "is not a duration"},
	{"FORWARD_ANSWER_TIMEOUT", "1h", "is out of range"},
	{"FORWARD_CONNECTION", "pool", "is not known; write one of keep, message"},
	{"A31_PROFILE", "full", "is not known; write one of minimal, copy"},
	{"A31_RECEIVER", "PAS", "is no receiver; write APPLICATION^FACILITY, or ROUTE"},
	{"A31_RECEIVER", "PAS^RXX|", "is no receiver"},
	{"A31_NUMBER_FIRST", "perhaps", "is not a switch"},
	{"RESULTS_FILE", "/nowhere/results.csv", "names a file that cannot be read"},
	{"REFER_ALL_SUPERSEDED", "some", "is not a switch"},
	{"OUTBOX_ALERT_AFTER", "1s", "is out of range; write 1m to 168h"},
	{"WEBHOOK_URL", "http://hooks.example.nhs.uk/items", "is plain http to another machine; write an https URL"},
	{"WEBHOOK_URL", "hooks.example.nhs.uk", "is not a URL"},
	{"WEBHOOK_URL", "https://user:pass@hooks.example.nhs.uk/?sig=sesame", "is not a URL"},
	{"WEBHOOK_TOKEN", "caf\u00e9 au lait", "has characters that no token has"},
	{"WEBHOOK_TOKEN", "open-sesame", "is given, but WEBHOOK_URL is not"},
	{"MAIL_ADDR", "mail.trust.example", "is not an address; write host:port"},
	{"MAIL_ADDR", ":25", "names no host; write host:port"},
	{"MAIL_TLS", "ssl", "is not known; write one of starttls, tls, off"},
	{"MAIL_FROM", "Trust <spinetrace@example.nhs.uk>", "has something that is no mail address"},
	{"MAIL_TO", "clerks@example.nhs.uk,nobody", "has something that is no mail address"},
	{"MAIL_FROM", "spinetrace@example.nhs.uk", "is given, but MAIL_ADDR is not"},
	{"MAIL_TO", "clerks@example.nhs.uk", "is given, but MAIL_ADDR is not"},
	{"MAIL_USERNAME", "spinetrace", "and MAIL_PASSWORD belong together"},
	{"MAIL_PASSWORD", "", "is empty"},
	{"NOTIFY_KINDS", "discrepancy,gossip", "has something that is no kind of item"},
	{"NOTIFY_LOCAL_ID", "some", "is not a switch"},
	{"STORE", "mysql://root@db/x", "is neither postgres://... nor sqlite:PATH"},
	{"STORE", "postgres://u:p@db:notaport/x", "cannot be read; write postgres://"},
	{"STORE", "postgres://u:100%@db/x", "cannot be read; write postgres://"},
	{"STORE", "postgres://u:p@one,two:5432,5433/x", "several hosts as host1,host2/database?port="},
	{"STORE", "postgres://u:p@one,two/x?target_session_attrs=any", "may lead to a standby"},
	{"BODY_KEY", "1:" + strings.Repeat("c0ffee", 10), "cannot be used: line 1: the key is not 64 hexadecimal digits"},
	{"BODY_KEY", strings.Repeat("c0ffee0012", 6), "cannot be used: line 1: not a number from 1 to 32767, a colon, and a key"},
	{"CHAIN", "Main Chain", "is not a chain's name"},
	{"COMMIT_TIMEOUT", "10s", "is not shorter than REPLY_BUDGET"},
	{"CLOCK_LIMIT", "0s", "is out of range; write 1ms to 1h"},
	{"NOTICE_FILE", "/nowhere/notice.txt", "names a file that cannot be read"},
	{"DRAIN_TIMEOUT", "1d", "is not a duration"},
	{"ADMIN_ADDR", "localhost", "is not an address; write host:port, for example 127.0.0.1:8575"},
	{"LOG_LEVEL", "loud", "is not a level; write debug, info, warn or error"},
}

// badBeside is a bad value with what else must be given for it to be alone in being bad.
func badBeside(name, value string) map[string]string {
	values := map[string]string{name: value}
	if name == "MAIL_ADDR" {
		values["MAIL_FROM"], values["MAIL_TO"] = "spinetrace@example.nhs.uk", "clerks@example.nhs.uk"
	}
	return values
}

func TestBadValueIsNamedAndNotRepeated(t *testing.T) {
	for _, tt := range badValues {
		t.Run(tt.name+"/"+tt.want, func(t *testing.T) {
			setAll(t, enough(badBeside(tt.name, tt.value)))
			_, err := serviceConfig()
			if err == nil {
				t.Fatal("accepted")
			}
			want := prefix + tt.name + ": "
			if got := err.Error(); !strings.HasPrefix(got, want) || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("got  %s\nwant %s... %s, alone", got, want, tt.want)
			}
			if strings.TrimSpace(tt.value) != "" && len(tt.value) > 4 && strings.Contains(err.Error(), tt.value) && !strings.Contains(tt.want, tt.value) {
				t.Errorf("%q repeats the value", err)
			}
		})
	}
}

func TestEverySettingHasBadValue(t *testing.T) {
	for s := range settings(new(config)) {
		tested := false
		for _, bad := range badValues {
			tested = tested || bad.name == s.name
		}
		if !tested {
			t.Errorf("%s has no bad value in the table", s.name)
		}
		if s.field.Tag.Get("desc") == "" {
			t.Errorf("%s has no description", s.name)
		}
		if s.name == "" || prefix+s.name != s.field.Tag.Get("envconfig") {
			t.Errorf("field %s has no name with the prefix", s.field.Name)
		}
		for _, tag := range []string{"min", "max"} {
			if text := s.field.Tag.Get(tag); text != "" && text != "0s" && s.bound(tag) == 0 {
				t.Errorf("%s: %s cannot be read", s.name, tag)
			}
		}
	}
}

func TestEveryFaultAtOnce(t *testing.T) {
	setAll(t, map[string]string{
		"ODS": "rx9", "MLLP_MAX_CONNS": "lots", "STORE": "mysql:x", "ACK_MODUS": "original", "MLLP_ADDR": ":2575",
	})
	_, err := serviceConfig()
	want := strings.TrimSpace(`
SPINETRACE_ACK_MODUS: is not a setting; did you mean SPINETRACE_ACK_MODE?
SPINETRACE_MLLP_MAX_CONNS: is not a whole number; write digits
SPINETRACE_ODS: is not an ODS code; write its capital letters and digits
SPINETRACE_MLLP_TLS: is missing, and MLLP_ADDR is not loopback; write server or mutual, or off to accept patients' data in the clear
SPINETRACE_STORE: is neither postgres://... nor sqlite:PATH; write one of them
SPINETRACE_BACKEND: is missing; write smsp or pds`)
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// TestSMSPIsCheckedWhateverBackendSays: an operator should not hear of its faults one by one.
func TestSMSPIsCheckedWhateverBackendSays(t *testing.T) {
	for _, backend := range []string{"", "spine"} {
		values := map[string]string{
			"ODS": "X99", "SMSP_URL": "http://smsp.example.nhs.uk/", "SMSP_CERT": "cert.pem", "SMSP_PROXY": "socks5://proxy:1080",
		}
		if backend != "" {
			values["BACKEND"] = backend
		}
		setAll(t, values)
		_, err := serviceConfig()
		for _, name := range []string{"BACKEND", "SMSP_URL", "SMSP_CERT", "SMSP_PROXY"} {
			if !strings.Contains(fmt.Sprint(err), prefix+name+": ") {
				t.Errorf("BACKEND %q: nothing is said of %s:\n%v", backend, name, err)
			}
		}
	}
}

// TestClaimsOutliveEveryWindow: a query's window may be the longer one.
func TestClaimsOutliveEveryWindow(t *testing.T) {
	for query, want := range map[string]time.Duration{"60s": 168 * time.Hour, "200h": 200 * time.Hour} {
		setAll(t, enough(map[string]string{"DUPLICATE_WINDOW_QUERY": query}))
		cfg, err := serviceConfig()
		if err != nil {
			t.Fatal(err)
		}
		if got := storeOptions(&cfg, cfg.Chain, nil, nil).ClaimWindow; got != want {
			t.Errorf("DUPLICATE_WINDOW_QUERY %s: claims are kept for %v, want %v", query, got, want)
		}
	}
}

// TestTheAuditNeedsNoBackend: what reads the store can do without what asks.
func TestTheAuditNeedsNoBackend(t *testing.T) {
	setAll(t, map[string]string{"BACKEND": "smsp"})
	if _, found := readConfig(); len(found) > 0 {
		t.Errorf("faults:\n%v", found)
	}
}

// TestEachBackendSaysWhatItLacks: what one back end needs is not asked of the other's settings.
func TestEachBackendSaysWhatItLacks(t *testing.T) {
	for backend, want := range map[string]string{
		"smsp": "SPINETRACE_SMSP_URL: is missing; write the https URL that the provider gave you",
		"pds": "SPINETRACE_PDS_URL: is missing; write the https URL of the API, up to and with /FHIR/R4\n" +
			"SPINETRACE_PDS_API_KEY: is missing, and PDS_TOKEN_URL is not off; write the API key of the registered application\n" +
			"SPINETRACE_PDS_KEY_FILE: is missing, and PDS_TOKEN_URL is not off; write the path of a PEM file\n" +
			"SPINETRACE_PDS_KEY_ID: is missing, and PDS_TOKEN_URL is not off; write the kid of its key",
	} {
		setAll(t, map[string]string{"ODS": "X99", "BACKEND": backend})
		if _, err := serviceConfig(); fmt.Sprint(err) != want {
			t.Errorf("BACKEND %s:\n%v\nwant\n%s", backend, err, want)
		}
	}
	setAll(t, map[string]string{"ODS": "X99", "BACKEND": "pds", "PDS_URL": "https://sandbox.example.nhs.uk/FHIR/R4", "PDS_TOKEN_URL": "off"})
	if _, err := serviceConfig(); err != nil {
		t.Errorf("the sandbox needs no token: %v", err)
	}
}

func TestUnknownNames(t *testing.T) {
	for name, want := range map[string]string{
		"MLLP_ADR":       "SPINETRACE_MLLP_ADR: is not a setting; did you mean SPINETRACE_MLLP_ADDR?",
		"STORE_FIEL":     "SPINETRACE_STORE_FIEL: is not a setting; did you mean SPINETRACE_STORE_FILE?",
		"sTore":          "SPINETRACE_sTore: is not a setting; did you mean SPINETRACE_STORE?",
		"SMSP_KEY_FILE":  "SPINETRACE_SMSP_KEY_FILE: is not a setting; leave it out",
		"RETENTION_DAYS": "SPINETRACE_RETENTION_DAYS: is not a setting; leave it out",
		"SPEC_DIR":       "<nil>",
		"TEST_PG_BIN":    "<nil>",
	} {
		t.Run(name, func(t *testing.T) {
			setAll(t, enough(map[string]string{name: "x"}))
			if _, err := serviceConfig(); fmt.Sprint(err) != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func TestOnlyPrefixedNamesCount(t *testing.T) {
	setAll(t, nil)
	t.Setenv("LOG_LEVEL", "debug")
	t.Setenv("STORE", "mysql:x")
	if c, found := readConfig(); len(found) > 0 || c.LogLevel != slog.LevelInfo {
		t.Errorf("level %v, faults %v; want the variables without prefix ignored", c.LogLevel, found)
	}
}

func TestListenerTLSNeedsFiles(t *testing.T) {
	setAll(t, enough(map[string]string{"MLLP_TLS": "mutual", "MLLP_KEY": "key.pem"}))
	_, err := serviceConfig()
	want := "SPINETRACE_MLLP_CERT: is missing, and MLLP_TLS asks for TLS; write the path of a PEM file\n" +
		"SPINETRACE_MLLP_CLIENT_CA: is missing, and MLLP_TLS is mutual; write the path of a PEM file"
	if fmt.Sprint(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestSecretFromFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(file, []byte("postgres://u:open%20sesame@db/spine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	setAll(t, enough(map[string]string{"STORE_FILE": file}))
	c, err := serviceConfig()
	if err != nil || c.Store.Reveal() != "postgres://u:open%20sesame@db/spine" {
		t.Errorf("store %q, %v; want the file's content without its line end", c.Store.Reveal(), err)
	}

	for name, tt := range map[string]struct {
		values map[string]string
		want   string
	}{
		"both": {map[string]string{"STORE": "sqlite:x.db", "STORE_FILE": file},
			"SPINETRACE_STORE: and STORE_FILE are both given; leave one out"},
		"no such file": {map[string]string{"STORE_FILE": file + "x"},
			"SPINETRACE_STORE_FILE: cannot be read; write the path of a file that this process may read"},
	} {
		t.Run(name, func(t *testing.T) {
			setAll(t, enough(tt.values))
			if _, err := serviceConfig(); fmt.Sprint(err) != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestSecretsPrintAsStars(t *testing.T) {
	setAll(t, enough(map[string]string{
		"STORE": "postgres://u:sesame@db/x", "SMSP_PROXY": "http://u:sesame@proxy:3128",
		"WEBHOOK_URL": "https://hooks.example.nhs.uk/items?sig=sesame",
	}))
	c, err := serviceConfig()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	newLogger(&log, slog.LevelInfo).Info("x", "cfg", c, "store", c.Store)
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q", c, c, c, c.Store, c.Store), log.String(), string(asJSON)} {
		if strings.Contains(text, "sesame") || !strings.Contains(text, "***") {
			t.Errorf("a secret shows, or nothing does: %s", text)
		}
	}
}

func TestDigest(t *testing.T) {
	digest := func(more map[string]string) string {
		setAll(t, enough(more))
		c, err := serviceConfig()
		if err != nil {
			t.Fatal(err)
		}
		return c.digest()
	}
	base := digest(nil)
	if digest(map[string]string{"STORE": "postgres://u:p@db/x"}) != base {
		t.Error("a secret takes part in the digest")
	}
	for s := range settings(new(config)) {
		choices := map[reflect.Type]string{
			reflect.TypeFor[bool](): "true", reflect.TypeFor[int](): "2", reflect.TypeFor[Size](): "2MiB",
		}
		value, ok := choices[s.field.Type]
		if !ok || s.field.Tag.Get("default") == value {
			continue
		}
		if digest(map[string]string{s.name: value}) == base {
			t.Errorf("%s does not take part in the digest", s.name)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "1024": KiB, "3KiB": 3 * KiB, " 2 MiB ": 2 * MiB} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q = %d, %v; want %d", text, got, err, want)
		}
		var again Size
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != want {
			t.Errorf("%q does not come back: %d, %v", got, again, err)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "1kb", "99999999999999999999"} {
		if err := new(Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// TestSettingsInReadme keeps the README's table of settings true; -update rewrites it.
func TestSettingsInReadme(t *testing.T) { inReadme(t, "settings", settingsTable()) }

// TestResultsInReadme keeps the README's table of results true; -update rewrites it.
func TestResultsInReadme(t *testing.T) {
	inReadme(t, "results", "```csv\n"+exchange.DefaultResultsTable()+"```\n")
}

// inReadme compares what stands between two comments of the README with what is generated, or
// rewrites it under -update.
func inReadme(t *testing.T, name, text string) {
	t.Helper()
	const readme = "../../README.md"
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	content, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, opened := strings.Cut(string(content), begin)
	_, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		t.Fatalf("the README has no %s or no %s", begin, end)
	}
	want := before + begin + "\n" + text + "\n" + end + after
	switch {
	case want == string(content):
	case *update:
		if err := os.WriteFile(readme, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the README's %s are stale: run go generate ./cmd/spinetrace", name)
	}
}
