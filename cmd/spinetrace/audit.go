package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"spinetrace/store"
)

// action is what a command can do. Its args are those behind its name.
type action = func(ctx context.Context, c console, args []string) error

// audits are the actions of `audit`.
var audits = map[string]action{
	"drop-bodies": auditDropBodies,
	"export":      auditExport,
	"find":        auditFind,
	"head":        auditHead,
	"reindex":     auditReindex,
	"report":      auditReport,
	"show":        auditShow,
	"verify":      auditVerify,
}

// audit reads the journal.
func audit(ctx context.Context, c console, args []string) error {
	fs := newFlags("audit", "audit find | show | verify | head | report | export | reindex | drop-bodies [flags]\n\nReads the journal of SPINETRACE_STORE, while serve is running or not: find lists messages,\nshow tells all of one, verify checks that nothing was lost or changed, head says how far\nthe chains have got, report lists what waits and what is amiss, export writes a time for\nother tools, reindex makes the index of patients anew, drop-bodies clears old messages and\nenvelopes away. Each has flags of its own; audit ACTION -h shows them.")
	return act(ctx, c, fs, audits, args)
}

// act runs the action that args begin with, and explains by fs what there is.
func act(ctx context.Context, c console, fs *flag.FlagSet, actions map[string]action, args []string) error {
	name, rest := cutAction(args)
	if do, ok := actions[name]; ok {
		return do(ctx, c, rest)
	}
	known := strings.Join(slices.Sorted(maps.Keys(actions)), ", ")
	if name != "" { // not repeated: it may be a patient's name or number
		return usageError("that is no action; there are " + known)
	}
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	return usageError("say one of " + known)
}

// cliChain is the chain that the commands write: the service holds its own.
func cliChain(cfg *config) string { return cfg.Chain + store.CommandChain }

// startStore opens the store for one command and waits for the commands' chain. The caller
// closes it.
func startStore(ctx context.Context, cfg *config, c console) (store.Store, error) {
	log := newLogger(c.Err, max(cfg.LogLevel, slog.LevelWarn))
	db, err := openStore(cfg, cliChain(cfg), log)
	if err != nil {
		return nil, err
	}
	if err := startWithin(ctx, db, startWait); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return signed{db, thisBuild().String(), cfg.digest(), hostname(), osUser()}, nil
}

// signed is a store of a command. Its chain has no row of a start that says what program writes, where
// and with which settings: so every row does. A name that was given by --as has the login beside it.
type signed struct {
	store.Store
	software, configuration, host, login string
}

// Commit implements [store.Journal].
func (s signed) Commit(ctx context.Context, c store.Commit) (store.Receipt, error) {
	c.Entries = slices.Clone(c.Entries)
	for i := range c.Entries {
		f := &c.Entries[i].Facts
		f.Version, f.Config, f.Host = s.software, s.configuration, s.host
		if f.User != "" && f.User != s.login {
			f.Login = s.login
		}
	}
	return s.Store.Commit(ctx, c)
}

// startWithin starts a store, or says after a time what it waits for.
func startWithin(ctx context.Context, db store.Store, longest time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	err := db.Start(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%sSTORE: no answer within %s: %w", prefix, longest, db.Ready())
	}
	return err
}

// startWait is how long a command waits for its store, and for its chain: somebody sits before it.
const startWait = 20 * time.Second

// openAudit opens the store of the settings for reading. It must be there: nobody means to
// read a journal that does not exist yet.
func openAudit(ctx context.Context, c console) (store.Store, error) {
	cfg, found := readConfig()
	if err := found.err(); err != nil {
		return nil, err
	}
	if exists := cfg.driver().exists; exists != nil {
		if err := exists(cfg.Store.Reveal()); err != nil {
			return nil, fmt.Errorf("%sSTORE: %w; name the store that serve writes", prefix, err)
		}
	}
	return startStore(ctx, &cfg, c)
}

// reading runs read over the store of the settings.
func reading(ctx context.Context, c console, read func(store.Store) error) error {
	db, err := openAudit(ctx, c)
	if err != nil {
		return err
	}
	return errors.Join(read(db), db.Close())
}

// headsOf returns the heads of the chain of a name, or of all. That there is none of the name is an
// error: an empty list would be true, and mislead.
func headsOf(ctx context.Context, db store.Audit, chain string) ([]store.Head, error) {
	heads, err := db.Heads(ctx)
	if err != nil || chain == "" {
		return heads, err
	}
	heads = slices.DeleteFunc(heads, func(h store.Head) bool { return h.Chain != chain })
	if len(heads) == 0 {
		return nil, errNoChain
	}
	return heads, nil
}

var errNoChain = errors.New("the journal has no chain of that name; audit head lists them")

// look records that somebody is about to be shown rows of the journal. Nothing is shown
// unless it returns nil.
func look(ctx context.Context, j store.Journal, who string, filters map[string]string, rows int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := j.Commit(ctx, store.Commit{Entries: []store.Entry{{
		Kind: store.Looked, Facts: store.Facts{User: who, Filters: filters, Rows: rows},
	}}})
	if err != nil {
		return fmt.Errorf("the look was not recorded, so nothing is shown: %w", err)
	}
	return nil
}

// encodeJSON writes v on a line of its own.
func encodeJSON(w io.Writer, v any) error {
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false) // HL7 and XML are full of & and <
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escaped(line.Bytes()))
	return err
}

// escaped writes as \u what a terminal may obey, or not show, in a JSON text: DEL, the controls of C1,
// marks of direction and the like. They can stand in texts only, and the JSON is equal. Encoders see to
// C0 themselves.
func escaped(text []byte) []byte {
	shown := func(r rune) bool { return r < 0x7f || r != utf8.RuneError && unicode.IsPrint(r) }
	if !bytes.ContainsFunc(text, func(r rune) bool { return !shown(r) }) {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case shown(r):
			out = append(out, text[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		text = text[size:]
	}
	return out
}

// hostname is where this process runs.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// osUser is who runs this process, in the words of the operating system.
func osUser() string {
	u, err := user.Current()
	if err != nil {
		return "unknown"
	}
	return u.Username
}
