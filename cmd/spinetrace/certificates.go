package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// renewBefore is how long before a certificate ends somebody should hear of it.
const renewBefore = 30 * 24 * time.Hour

// certificates are those that the service shows to its senders and to its provider, and those
// of the authorities that it trusts. The zero value holds none.
type certificates struct {
	// changed is told of every reading but the first: until when the certificate holds, or
	// why the one before stays in use. Nil: nobody is told.
	changed func(name string, until time.Time, err error)
	all     []*liveTLS
}

// keep reads a certificate's files now, and again whenever they change.
func (c *certificates) keep(name, setting string, files []string, read func() (*tls.Config, error)) (*liveTLS, error) {
	l := &liveTLS{name: name, setting: setting, files: files, read: read, changed: c.changed, seen: stamps(files)}
	var err error
	if l.config, err = read(); err != nil {
		return nil, err
	}
	c.all = append(c.all, l)
	return l, nil
}

// expiring has a sentence for every certificate that ends soon.
func (c *certificates) expiring(now time.Time) []string {
	var soon []string
	for _, l := range c.all {
		until := l.until()
		if until.IsZero() || until.Sub(now) > renewBefore {
			continue
		}
		verb := "expires"
		if now.After(until) {
			verb = "expired"
		}
		soon = append(soon, fmt.Sprintf("the certificate of %s%s %s on %s: put a new one in its place, no restart is needed",
			prefix, l.setting, verb, until.Format(time.DateOnly)))
	}
	return soon
}

// liveTLS is one side of TLS with a certificate, read again when its files change. It is
// asked at every handshake, which is the moment that a change matters.
type liveTLS struct {
	name    string // in metrics and the log
	setting string // that names the certificate's file
	files   []string
	read    func() (*tls.Config, error)
	changed func(name string, until time.Time, err error)

	mu     sync.Mutex
	config *tls.Config
	seen   []os.FileInfo // the files as of the last reading, good or not
	failed bool          // the last reading was not good
}

// get returns the configuration, of the files as they are now if they can be used.
func (l *liveTLS) get() *tls.Config {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Looked at before they are read: a change in between is seen the next time.
	now := stamps(l.files)
	isNew := !slices.EqualFunc(now, l.seen, sameStamp)
	l.seen = now
	if isNew || l.failed { // a certificate may only be too young
		l.readAgain(isNew)
	}
	return l.config
}

// readAgain takes the files as they are, if they can be used. What is wrong with them is told
// once, when they are new. l.mu is held.
func (l *liveTLS) readAgain(isNew bool) {
	config, err := l.read()
	if err == nil {
		l.config = config
	}
	l.failed = err != nil
	if l.changed != nil && (isNew || err == nil) {
		l.changed(l.name, ends(l.config), err)
	}
}

// until returns when the certificate ends.
func (l *liveTLS) until() time.Time { return ends(l.get()) }

// ends returns when the certificate that is shown ends; the zero time if none is.
func ends(c *tls.Config) time.Time {
	if len(c.Certificates) == 0 {
		return time.Time{}
	}
	return c.Certificates[0].Leaf.NotAfter
}

// server returns the side of who is connected to.
func (l *liveTLS) server() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return l.get(), nil },
	}
}

// stamps looks at files; one that cannot be looked at is nil.
func stamps(files []string) []os.FileInfo {
	seen := make([]os.FileInfo, len(files))
	for i, file := range files {
		if info, err := os.Stat(file); err == nil {
			seen[i] = info
		}
	}
	return seen
}

// sameStamp tells whether a file is as it was.
func sameStamp(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && os.SameFile(a, b)
}

// logReload is a certificates' changed, for the log.
func logReload(log *slog.Logger, name string, until time.Time, err error) {
	if err != nil {
		log.Warn("new certificate refused, the old one stays in use", "certificate", name, "valid_until", until.Format(time.DateOnly), "err", err)
		return
	}
	log.Info("certificate reloaded", "certificate", name, "valid_until", until.Format(time.DateOnly))
}

// validity says until when a certificate holds, and whether it is time to get another.
func validity(until, now time.Time) string {
	text := "valid until " + until.Format(time.DateOnly)
	if left := until.Sub(now); left <= renewBefore {
		text += fmt.Sprintf(", %d days from now: get a new one", int(left.Hours())/24)
	}
	return text
}
