package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strconv"
	"time"

	"spinetrace/exchange"
	schemas "spinetrace/migrations"
	"spinetrace/store"
)

// account is what the service has told the journal of itself in this run. After the start only
// keepAccount changes it.
type account struct {
	begun   bool              // the start may be in the journal, though nobody said that it is
	before  int64             // number of the row before it
	started int64             // number of the row of the start
	uses    map[string]string // the certificates and tables that the journal knows of
	tables  map[string]string // those of them that are read at the start only
}

// mark begins the details of a row that says where the row of the start is, so that the next start
// need not look for it, and what has become of what that says. The rows right behind it say nothing.
func (a account) mark() map[string]string {
	d := make(map[string]string)
	if a.started > 0 {
		d[keyStarted] = strconv.FormatInt(a.started, 10)
		addUses(d, a.uses)
	}
	return d
}

// begin records that the service runs, what differs from the last run, and what needs a reason.
func (s *service) begin(ctx context.Context) error {
	var last store.Head
	var entries []store.Entry
	err := s.insist(ctx, func() (err error) {
		last, entries, err = s.beginning(ctx)
		return untilRead(err)
	})
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.account.begun, s.account.before = true, last.Seq
	// A stop does not cut this commit short: whether the start is in the journal would not be known.
	if err := s.insist(ctx, func() error { return s.record(context.WithoutCancel(ctx), entries) }); err != nil {
		return err
	}
	return s.insist(ctx, func() error { return untilRead(s.findStart(ctx)) })
}

// findStart looks for the row of the start behind the head that it comes behind. Nobody else writes
// to this chain.
func (s *service) findStart(ctx context.Context) error {
	from := s.account.before
	told, err := ownEvents(ctx, s.store, store.Query{Chain: s.cfg.Chain, From: from + 1}, from+lookBack)
	for _, e := range told {
		if e.Kind == store.Started {
			s.account.started = e.Seq
		}
	}
	return err
}

// end records that the service stops, if the journal knows that it started. Told to stop in the middle
// of its start it may not know that itself.
func (s *service) end(ctx context.Context) error {
	if !s.account.begun {
		return nil
	}
	if s.account.started == 0 {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := s.findStart(ctx); err != nil {
			return fmt.Errorf("record of the stop: %w", err)
		}
	}
	if s.account.started == 0 {
		return nil
	}
	return s.record(ctx, []store.Entry{{Kind: store.Stopped, Facts: store.Facts{Details: s.account.mark()}}})
}

// untilRead makes the start go on trying to read: whatever it is, the service is not ready before
// it has passed.
func untilRead(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return nil
}

// beginning returns the first rows of this run, and the head that they come behind.
func (s *service) beginning(ctx context.Context) (last store.Head, entries []store.Entry, err error) {
	if last, err = store.HeadOf(ctx, s.store, s.cfg.Chain); err != nil {
		return last, nil, err
	}
	before, known, err := lastFooting(ctx, s.store, last)
	if err != nil {
		return last, nil, err
	}
	defaults, err := defaultValues()
	if err != nil {
		return last, nil, err
	}
	if s.account.tables, err = s.tables(ctx); err != nil {
		return last, nil, err
	}
	now := footing{digest: s.cfg.digest(), settings: s.cfg.given(defaults, before.settings), uses: s.uses()}
	s.account.uses = now.uses
	entries = []store.Entry{s.startEntry(now)}
	if e, changed := reconfigured(before, now, defaults); known && changed {
		entries = append(entries, e)
	}
	if known && before.recorded() {
		entries = append(entries, renewals(before.uses, now.uses)...)
	}
	entries = append(entries, s.warned()...)
	return last, append(entries, s.clockEntry(ctx)), nil
}

// tables describes the reference tables of this run.
func (s *service) tables(ctx context.Context) (map[string]string, error) {
	schema, err := schemaVersion(ctx, &s.cfg)
	if err != nil {
		return nil, err
	}
	tables := map[string]string{
		"schema":  schema,
		"results": sha256Hex([]byte(exchange.DefaultResultsTable())) + " built in, version " + thisBuild().Version,
	}
	if s.cfg.ResultsFile != "" {
		text, err := os.ReadFile(s.cfg.ResultsFile)
		if err != nil {
			return nil, errors.New(prefix + "RESULTS_FILE cannot be read any more")
		}
		tables["results file"] = sha256Hex(text)
	}
	return tables, nil
}

// uses describes the certificates and tables that the service works with now.
func (s *service) uses() map[string]string {
	uses := make(map[string]string)
	maps.Copy(uses, s.account.tables)
	for _, l := range s.certs.all {
		l.describe(uses)
	}
	return uses
}

// describe adds the certificate that l shows, and those that it trusts.
func (l *liveTLS) describe(uses map[string]string) {
	var leaf []byte
	if shown := l.get().Certificates; len(shown) > 0 {
		c := shown[0].Leaf
		leaf = c.Raw
		uses["certificate "+l.name] = fmt.Sprintf("%s valid %s to %s",
			sha256Hex(leaf), c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly))
	}
	for _, file := range l.files {
		if trusted := authorities(file, leaf); trusted != nil {
			uses["authorities "+l.name] = sha256Hex(trusted)
		}
	}
}

// authorities returns the certificates of a file one behind the other; nil for a file that begins
// with the certificate that is shown, holds a key or cannot be read.
func authorities(file string, shown []byte) []byte {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var all []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" || all == nil && bytes.Equal(block.Bytes, shown) {
			return nil
		}
		all = append(all, block.Bytes...)
	}
	return all
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// schemaVersion names the newest step of the store's schema.
func schemaVersion(ctx context.Context, cfg *config) (string, error) {
	steps, err := cfg.driver().status(ctx, cfg)
	if err != nil {
		return "", err
	}
	newest := ""
	for _, s := range steps {
		if !s.Pending {
			newest = s.Name
		}
	}
	if len(steps) > 0 {
		return newest, nil
	}
	names, err := fs.Glob(schemas.SQLite(), "*.sql") // which its Start has taken
	if err != nil || len(names) == 0 {
		return "", err
	}
	return names[len(names)-1], nil
}

// keepAccount tells the journal of the clock every hour, and of certificates as they are replaced,
// until ctx ends.
func (s *service) keepAccount(ctx context.Context) {
	if !s.awaitStart(ctx) {
		return
	}
	hourly := time.NewTicker(time.Hour)
	defer hourly.Stop()
	for {
		var entries []store.Entry
		select {
		case <-cmp.Or(s.ticks, hourly.C):
			entries = append(entries, s.clockEntry(ctx))
		case <-s.renewed:
		case <-ctx.Done():
			return
		}
		s.tell(ctx, entries)
	}
}

// tell commits rows of the running service, and with them what was renewed meanwhile.
func (s *service) tell(ctx context.Context, entries []store.Entry) {
	uses := s.uses()
	entries = append(entries, renewals(s.account.uses, uses)...)
	if len(entries) == 0 {
		return
	}
	if err := s.insist(ctx, func() error { return s.record(ctx, entries) }); err != nil {
		if ctx.Err() == nil {
			s.log.Error("not recorded", "err", err)
		}
		return // the next start finds what was renewed
	}
	s.account.uses = uses
}

// wake makes keepAccount look for renewed certificates. It never waits: who calls it holds one.
func (s *service) wake() {
	select {
	case s.renewed <- struct{}{}:
	default: // it is about to look
	}
}
