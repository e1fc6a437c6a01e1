package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"spinetrace/store"
	"spinetrace/store/postgres"
	"spinetrace/store/sqlite"
)

// driver is one kind of store.
type driver struct {
	// check says what is wrong with a DSN and what to write, in words that repeat nothing of it,
	// "" if nothing is; nil: any text will do.
	check func(dsn string) string
	open  func(dsn string, o store.Options) (store.Store, error)
	// exists says why there is no store to read, for a kind that would make one; nil: opening
	// it says so.
	exists func(dsn string) error
	// migrate brings the schema up to date and returns the names of the steps it took.
	migrate func(ctx context.Context, cfg *config) (applied []string, err error)
	// status returns the steps of the schema. It changes nothing.
	status func(ctx context.Context, cfg *config) ([]step, error)
	// writable says why the service could not write there; nil: whoever can read it can.
	writable func(ctx context.Context, dsn string) error
	// roles returns the statements that make the database's roles; nil: it has none.
	roles      func() string
	applyRoles func(ctx context.Context, dsn string) error
}

// step is one step of a schema.
type step struct {
	Name    string    `json:"name"`
	Applied time.Time `json:"applied,omitzero"` // zero: pending
	Pending bool      `json:"pending,omitempty"`
}

// stores are the kinds of stores by the scheme of their DSN.
var stores = map[string]driver{
	"postgres":   postgresDriver,
	"postgresql": postgresDriver,
	"sqlite":     sqliteDriver,
}

var postgresDriver = driver{
	check: checkPostgres,
	open:  func(dsn string, o store.Options) (store.Store, error) { return postgres.Open(dsn, o) },
	migrate: func(ctx context.Context, cfg *config) ([]string, error) {
		return postgres.Migrate(ctx, cfg.Store.Reveal())
	},
	status:     postgresStatus,
	writable:   postgres.CheckWriter,
	roles:      postgres.RolesSQL,
	applyRoles: postgres.ApplyRoles,
}

func checkPostgres(dsn string) string {
	switch err := postgres.CheckDSN(dsn); {
	case err == nil:
		return ""
	case errors.Is(err, postgres.ErrStandby):
		return "may lead to a standby, which takes no commits; leave target_session_attrs out, or write read-write"
	}
	return "cannot be read; write postgres://user@host:port/database?sslmode=verify-full&sslrootcert=FILE, " +
		"special characters of a password as %40, several hosts as host1,host2/database?port=5432,5433"
}

func postgresStatus(ctx context.Context, cfg *config) ([]step, error) {
	all, err := postgres.Status(ctx, cfg.Store.Reveal())
	var steps []step
	for _, m := range all {
		steps = append(steps, step{m.Name, m.Applied, m.Applied.IsZero()})
	}
	return steps, err
}

var sqliteDriver = driver{
	open:    func(dsn string, o store.Options) (store.Store, error) { return sqlite.Open(sqlitePath(dsn), o) },
	exists:  sqliteExists,
	migrate: sqliteMigrate,
	status:  sqliteStatus,
}

func sqlitePath(dsn string) string { return strings.TrimPrefix(dsn, "sqlite:") }

func sqliteExists(dsn string) error {
	_, err := os.Stat(sqlitePath(dsn))
	return err
}

// sqliteMigrate starts the store, which makes the file and brings it up to date, on the
// chain of the commands: a service may be writing its own.
func sqliteMigrate(ctx context.Context, cfg *config) ([]string, error) {
	s, err := sqlite.Open(sqlitePath(cfg.Store.Reveal()), store.Options{Chain: cliChain(cfg)})
	if err != nil {
		return nil, err
	}
	return nil, errors.Join(s.Start(ctx), s.Close())
}

// sqliteStatus has no steps to tell, because serve takes them by itself: it looks for the
// file, or for the folder that it will be made in.
func sqliteStatus(_ context.Context, cfg *config) ([]step, error) {
	path := sqlitePath(cfg.Store.Reveal())
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = os.Stat(filepath.Dir(path))
		return nil, err
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	return nil, err
}

// sqliteFile says what is at the path of a DSN, after sqliteStatus has found no fault.
func sqliteFile(dsn string) string {
	if sqliteExists(dsn) != nil {
		return "serve makes the file and brings it up to date by itself"
	}
	return "the file is there, and serve keeps it up to date by itself"
}

// driver returns the kind of the configured store.
func (c *config) driver() driver {
	scheme, _, _ := strings.Cut(c.Store.Reveal(), ":")
	return stores[scheme]
}

// openStore opens the store, under a chain's name, without reaching for it yet.
func openStore(cfg *config, chain string, log *slog.Logger) (store.Store, error) {
	keys, err := cfg.bodyKeys()
	if err != nil {
		return nil, err
	}
	s, err := cfg.driver().open(cfg.Store.Reveal(), storeOptions(cfg, chain, keys, log))
	if err != nil {
		return nil, fmt.Errorf("%sSTORE: %w", prefix, err)
	}
	return s, nil
}

func storeOptions(cfg *config, chain string, keys *store.BodyKeys, log *slog.Logger) store.Options {
	return store.Options{
		Chain: chain, Log: log, BodyKeys: keys,
		// One table holds the claims of all messages, and a query's may have to last longer.
		ClaimWindow: max(cfg.DuplicateWindow, cfg.DuplicateQueries),
	}
}

// tryStore connects as far as it changes nothing, and says what it found.
func tryStore(ctx context.Context, cfg *config) (string, error) {
	steps, err := cfg.driver().status(ctx, cfg)
	if err != nil {
		return "", err
	}
	if len(steps) == 0 {
		return sqliteFile(cfg.Store.Reveal()), nil
	}
	pending := 0
	for _, s := range steps {
		if s.Pending {
			pending++
		}
	}
	if pending > 0 {
		return "", fmt.Errorf("reached, but %d of %d schema steps are pending; run `spinetrace migrate up`", pending, len(steps))
	}
	if writable := cfg.driver().writable; writable != nil {
		if err := writable(ctx, cfg.Store.Reveal()); err != nil {
			return "", err
		}
	}
	return "reached, the schema is up to date", nil
}
