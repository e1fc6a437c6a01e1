//go:build unix

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// secretFiles are the settings that name a file with a secret, worked out from what the settings
// say of themselves.
func secretFiles() (names []string) {
	for s := range settings(new(config)) {
		desc := s.field.Tag.Get("desc")
		switch {
		case s.secret():
			names = append(names, s.name+"_FILE")
		case strings.Contains(desc, "PEM file: the key of") || strings.Contains(desc, "private key"):
			names = append(names, s.name)
		}
	}
	return names
}

// TestTIG01c: a file with a secret that its group or everybody may read is refused by serve and by
// check-config, whichever setting names it, in words that say what to do and nothing of what is in
// it. There is no table of roles or credentials that a database role could read.
func TestTIG01c(t *testing.T) {
	names := secretFiles()
	if len(names) < 12 {
		t.Fatalf("only %q name files with secrets", names)
	}
	for _, name := range names {
		for mode, refused := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o620: true, 0o444: true} {
			path := file(t, "secret", "1:open sesame")
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			set := enough(map[string]string{name: path})
			if peer, ok := strings.CutSuffix(name, "_KEY"); ok && peer != "SMSP" {
				set[peer+"_TLS"] = "mutual" // or the key would not be used
			}
			setAll(t, set)
			for _, command := range []string{"serve", "check-config"} {
				if !refused && command == "serve" {
					continue // it would run
				}
				code, out, errs := runCommand(command)
				want := fmt.Sprintf("%s%s: names a file that can be read or changed by others than its owner; make it the service's own and run chmod 600 on it", prefix, name)
				if said := strings.Contains(out+errs, want); said != refused || refused && code != exitFailed || strings.Contains(out+errs, "sesame") {
					t.Errorf("%s with %s of mode %o: exit code %d\n%s%s", command, name, mode, code, out, errs)
				}
			}
		}
	}
	g := newGuarded(t)
	var tables string
	err := g.QueryRow(`select coalesce(string_agg(table_name || '.' || column_name, ', '), '') from information_schema.columns
		where table_schema not in ('pg_catalog', 'information_schema') and column_name ~ 'role|password|credential|secret'`).Scan(&tables)
	if err != nil || tables != "" {
		t.Errorf("columns that may hold roles or credentials: %q, %v", tables, err)
	}
}

// TestRenewedKeyMustBePrivate: the key of a renewed certificate that others may read is not taken, and the
// certificate before it stays in use.
func TestRenewedKeyMustBePrivate(t *testing.T) {
	p := newPKI(t)
	cfg := config{MLLPTLS: "server", MLLPCert: p.cert, MLLPKey: p.key}
	var certs certificates
	l, err := certs.keep("listener", "MLLP_CERT", []string{p.cert, p.key}, func() (*tls.Config, error) { return serverTLS(&cfg) })
	if err != nil {
		t.Fatal(err)
	}
	before := l.get()
	if err := os.Chmod(p.key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := l.read(); !errors.Is(err, errExposed) || !strings.HasPrefix(err.Error(), prefix+"MLLP_KEY: ") {
		t.Errorf("a key of mode 644: %v", err)
	}
	if l.get() != before {
		t.Error("the certificate changed")
	}
}
