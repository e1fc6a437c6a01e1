package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"spinetrace/exchange"
	"spinetrace/store"
)

func TestReturnDefaultsToA31WithAPAS(t *testing.T) {
	for name, tt := range map[string]struct {
		values           map[string]string
		updates, forward bool
	}{
		"nothing":      {nil, false, false},
		"a PAS":        {map[string]string{"PAS_ADDR": "127.0.0.1:2576"}, true, false},
		"a PAS, none":  {map[string]string{"PAS_ADDR": "127.0.0.1:2576", "RETURN": "none", "ACK_MODE": "enhanced"}, false, false},
		"forward only": {map[string]string{"FORWARD_ADDR": "127.0.0.1:2577", "RETURN": "forward"}, false, true},
		"both":         {map[string]string{"PAS_ADDR": "127.0.0.1:2576", "FORWARD_ADDR": "127.0.0.1:2577", "RETURN": "a31, forward"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			setAll(t, enough(tt.values))
			cfg, err := serviceConfig()
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.returns(returnA31); got != tt.updates {
				t.Errorf("A31 are sent: %t, want %t", got, tt.updates)
			}
			if got := cfg.returns(returnForward); got != tt.forward {
				t.Errorf("ADT are forwarded: %t, want %t", got, tt.forward)
			}
		})
	}
}

func TestSettingsOfTheWayBackThatDoNotFit(t *testing.T) {
	for name, tt := range map[string]struct {
		values map[string]string
		want   string
	}{
		"none beside a31": {
			map[string]string{"PAS_ADDR": "127.0.0.1:2576", "RETURN": "none,a31"},
			"SPINETRACE_RETURN: has none beside something else; write none alone, or leave it out",
		},
		"mutual without files": {
			map[string]string{"FORWARD_ADDR": "engine.example.nhs.uk:2575", "FORWARD_TLS": "mutual", "RETURN": "forward"},
			"SPINETRACE_FORWARD_CERT: is missing, and FORWARD_TLS is mutual; write the path of a PEM file\n" +
				"SPINETRACE_FORWARD_KEY: is missing, and FORWARD_TLS is mutual; write the path of a PEM file",
		},
		"mail from nobody to nobody, in the clear": {
			map[string]string{"MAIL_ADDR": "mail.example.nhs.uk:25", "MAIL_TLS": "off"},
			"SPINETRACE_MAIL_FROM: is missing, and MAIL_ADDR is given; write an address such as spinetrace@example.nhs.uk\n" +
				"SPINETRACE_MAIL_TO: is missing, and MAIL_ADDR is given; write an address such as spinetrace@example.nhs.uk\n" +
				"SPINETRACE_MAIL_TLS: is off, and MAIL_ADDR is another machine; write starttls or tls",
		},
		"a PAS on another machine": {
			map[string]string{"PAS_ADDR": "pas.example.nhs.uk:2575"},
			"SPINETRACE_PAS_TLS: is missing, and PAS_ADDR is not loopback; write server or mutual, or off to accept patients' data in the clear",
		},
		"the same, and off": {map[string]string{"PAS_ADDR": "pas.example.nhs.uk:2575", "PAS_TLS": "off"}, "<nil>"},
		"a PAS that nothing is sent to": {
			map[string]string{"PAS_ADDR": "127.0.0.1:2576", "RETURN": "none"},
			"SPINETRACE_PAS_ADDR: is given, but RETURN has no a31 and ACK_MODE is not enhanced, so nothing would be sent there; add a31, or leave PAS_ADDR out",
		},
		"ourselves, who listen everywhere": {
			map[string]string{"MLLP_ADDR": "0.0.0.0:2600", "MLLP_TLS": "off", "PAS_ADDR": "localhost:2600"},
			"SPINETRACE_PAS_ADDR: is MLLP_ADDR, our own listener; write where the other system listens, or move ours",
		},
		"ourselves, by name": {
			map[string]string{"MLLP_ADDR": "trace.example.nhs.uk:2575", "MLLP_TLS": "off", "PAS_ADDR": "TRACE.example.nhs.uk:2575", "PAS_TLS": "off"},
			"SPINETRACE_PAS_ADDR: is MLLP_ADDR, our own listener; write where the other system listens, or move ours",
		},
		"another port": {map[string]string{"PAS_ADDR": "127.0.0.1:2576"}, "<nil>"},
		"a password for nobody": {
			map[string]string{"MAIL_PASSWORD": "sesame"},
			"SPINETRACE_MAIL_USERNAME: and MAIL_PASSWORD belong together, and one is missing; give both or neither",
		},
	} {
		t.Run(name, func(t *testing.T) {
			setAll(t, enough(tt.values))
			if _, err := serviceConfig(); fmt.Sprint(err) != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestSettingsOfNoticesToLoopback(t *testing.T) {
	setAll(t, enough(map[string]string{
		"WEBHOOK_URL": "http://127.0.0.1:8080/items?sig=sesame", "WEBHOOK_TOKEN": "open-sesame", "NOTIFY_KINDS": "No match, discrepancy",
		"MAIL_ADDR": "localhost:25", "MAIL_TLS": "off", "MAIL_FROM": "a@example.nhs.uk", "MAIL_TO": "b@example.nhs.uk, c@example.nhs.uk",
	}))
	cfg, err := serviceConfig()
	if err != nil {
		t.Fatal(err)
	}
	both := []string{exchange.ToWebhook, exchange.ToMail}
	want := exchange.Notify{store.Untraceable: both, store.Discrepancy: both}
	if diff := cmp.Diff(want, cfg.notified()); diff != "" {
		t.Errorf("who is told of what (-want +got):\n%s", diff)
	}
}

// TestSettingsSupersededTwice: the switch and a row for the same result would contradict each other.
func TestSettingsSupersededTwice(t *testing.T) {
	if !strings.Contains(exchange.DefaultResultsTable(), "\n"+superseded+",") {
		t.Fatalf("no result is called %q", superseded)
	}
	const columns = "result,status,number,item,words\n"
	for rows, want := range map[string]string{
		superseded + ",05,kept,replaced number,\n": "SPINETRACE_REFER_ALL_SUPERSEDED: is true, and RESULTS_FILE has a row for superseded numbers; leave one of the two out",
		"No match,04,kept,,\n":                     "<nil>",
	} {
		file := file(t, "results.csv", columns+rows)
		setAll(t, enough(map[string]string{"RESULTS_FILE": file, "REFER_ALL_SUPERSEDED": "true"}))
		if _, err := serviceConfig(); fmt.Sprint(err) != want {
			t.Errorf("%s: got  %v\nwant %s", rows, err, want)
		}
	}
}

// TestSettingsResultsFile: every fault names its line, and not the file.
func TestSettingsResultsFile(t *testing.T) {
	const columns = "result,status,number,item,words\n"
	for name, tt := range map[string]struct{ text, want string }{
		"no table":       {"hello", "RESULTS_FILE: names a file that is no table of results: line 1: "},
		"unknown result": {columns + "Perhaps,04,kept,,\n", "RESULTS_FILE: names a file that is no table of results: line 2: there is no "},
		"another fault": {columns + "Perhaps,04,kept,,\nVerified,01,kept,,\n",
			"\nSPINETRACE_RESULTS_FILE: names a file that is no table of results: line 3: status 01 and number found go together"},
		"good": {columns + "No match,04,kept,,Nobody found\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "results.csv")
			if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			setAll(t, enough(map[string]string{"RESULTS_FILE": file}))
			_, err := serviceConfig()
			if tt.want == "" && err != nil || !strings.Contains(fmt.Sprint(err), tt.want) && tt.want != "" {
				t.Errorf("serviceConfig() = %v, want %q", err, tt.want)
			}
			if strings.Contains(fmt.Sprint(err), file) {
				t.Errorf("%v repeats the file's name", err)
			}
		})
	}
}
