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
		"nothing":        {nil, false, false},
		"a PAS":          {map[string]string{"PAS_ADDR": "127.0.0.1:2576"}, true, false},
		"a PAS, none":    {map[string]string{"PAS_ADDR": "127.0.0.1:2576", "RETURN": "none"}, false, false},
		"forward only":   {map[string]string{"PAS_ADDR": "127.0.0.1:2576", "FORWARD_ADDR": "127.0.0.1:2577", "RETURN": "forward"}, false, true},
		"both":           {map[string]string{"PAS_ADDR": "127.0.0.1:2576", "FORWARD_ADDR": "127.0.0.1:2577", "RETURN": "a31, forward"}, true, true},
		"forward's addr": {map[string]string{"FORWARD_ADDR": "127.0.0.1:2577"}, false, false},
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
			map[string]string{"FORWARD_ADDR": "engine.example.nhs.uk:2575", "FORWARD_TLS": "mutual"},
			"SPINETRACE_FORWARD_CERT: is missing, and FORWARD_TLS is mutual; write the path of a PEM file\n" +
				"SPINETRACE_FORWARD_KEY: is missing, and FORWARD_TLS is mutual; write the path of a PEM file",
		},
		"mail from nobody to nobody, in the clear": {
			map[string]string{"MAIL_ADDR": "mail.example.nhs.uk:25", "MAIL_TLS": "off"},
			"SPINETRACE_MAIL_FROM: is missing, and MAIL_ADDR is given; write an address such as spinetrace@example.nhs.uk\n" +
				"SPINETRACE_MAIL_TO: is missing, and MAIL_ADDR is given; write an address such as spinetrace@example.nhs.uk\n" +
				"SPINETRACE_MAIL_TLS: is off, and MAIL_ADDR is another machine; write starttls or tls",
		},
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
		"WEBHOOK_URL": "http://127.0.0.1:8080/items", "WEBHOOK_TOKEN": "open-sesame", "NOTIFY_KINDS": "No match, discrepancy",
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

// TestSettingsResultsFile: a fault names the line, and neither the file nor what it holds.
func TestSettingsResultsFile(t *testing.T) {
	const columns = "result,status,number,item,words\n"
	for name, tt := range map[string]struct{ text, want string }{
		"no table":       {"hello", "RESULTS_FILE: names a file that is no table of results: "},
		"unknown result": {columns + "Perhaps,04,kept,,\n", "line 2: there is no such result"},
		"good":           {columns + "No match,04,kept,,Nobody found\n", ""},
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
			if strings.Contains(fmt.Sprint(err), file) || strings.Contains(fmt.Sprint(err), "Perhaps") {
				t.Errorf("%v repeats a value", err)
			}
		})
	}
}
