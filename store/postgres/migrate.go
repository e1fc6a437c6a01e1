package postgres

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"spinetrace/migrations"
)

// migrateTimeout bounds the silence of the server during a migration.
const migrateTimeout = 10 * time.Minute

// A Migration is one step of the schema.
type Migration struct {
	Version int64
	Name    string    // the file's
	Applied time.Time // zero: it is pending
}

// Migrate brings the schema to what this program needs and makes the partitions of the next
// 24 months. It needs the rights of the database's owner. It returns the names of the
// migrations it applied. Programs of the previous release may go on meanwhile; of two
// Migrates at once the second waits.
func Migrate(ctx context.Context, dsn string) (applied []string, err error) {
	o, err := openOwner(dsn)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	provider, err := newProvider(o.DB)
	if err != nil {
		return nil, err
	}
	const denied = "may not change the schema: run `spinetrace migrate up` as the database's owner"
	results, err := provider.Up(ctx)
	for _, r := range results {
		applied = append(applied, r.Source.Path)
	}
	if p := (*goose.PartialError)(nil); errors.As(err, &p) && p.Failed != nil {
		return applied, o.explain("migrate: "+p.Failed.Source.Path, p.Err, denied)
	}
	if err != nil {
		return applied, o.explain("migrate", err, denied)
	}
	if _, err := o.ExecContext(ctx, "select spinetrace_partitions()"); err != nil {
		return applied, o.explain("make partitions", err, denied)
	}
	return applied, nil
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
	if err != nil {
		return nil, fmt.Errorf("postgres: migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Postgres(),
		goose.WithSessionLocker(locker), goose.WithSlog(slog.New(slog.DiscardHandler)), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("postgres: migrate: %w", err)
	}
	return provider, nil
}

// Status returns all migrations this program knows, oldest first. It changes nothing.
func Status(ctx context.Context, dsn string) ([]Migration, error) {
	o, err := openOwner(dsn)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	applied, err := o.applied(ctx)
	if err != nil {
		return nil, o.explain("status", err, "may not read the schema: grant it a role that `spinetrace migrate roles` makes")
	}
	names, err := fs.Glob(migrations.Postgres(), "*.sql")
	if err != nil {
		return nil, fmt.Errorf("postgres: status: %w", err)
	}
	var all []Migration
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, fmt.Errorf("postgres: status: %w", err)
		}
		all = append(all, Migration{version, name, applied[version]})
	}
	return all, nil
}

// CheckWriter says why a login cannot write what a service writes, nil if it can. It changes nothing,
// and needs the schema that [Migrate] makes.
func CheckWriter(ctx context.Context, dsn string) error {
	o, err := openOwner(dsn)
	if err != nil {
		return err
	}
	defer o.Close()
	var may bool
	const q = "select bool_and(has_table_privilege(t, 'insert')) from unnest(array['event', 'exchange', 'patient', 'outbox', 'item']) t"
	if err := o.QueryRowContext(ctx, q).Scan(&may); err != nil {
		return o.explain("look at the login's rights", err, "may not read the schema")
	}
	if !may {
		return fmt.Errorf("postgres: user %q %s", o.cfg.User, readsOnly)
	}
	return nil
}

// owner is who makes and looks at the schema.
type owner struct {
	*sql.DB
	cfg pq.Config
}

func openOwner(dsn string) (*owner, error) {
	cfg, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	db, err := openPool(cfg, "spinetrace/migrate", newDialer(migrateTimeout), map[string]string{"search_path": "public", "timezone": "UTC"})
	return &owner{db, cfg}, err
}

// applied returns when each migration was, nothing if the database has no schema yet.
func (o *owner) applied(ctx context.Context) (map[int64]time.Time, error) {
	rows, err := o.QueryContext(ctx, "select version, applied from schema_version")
	if f := (*fault)(nil); errors.As(clean(err), &f) && f.code == "42P01" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	applied := make(map[int64]time.Time)
	for rows.Next() {
		var version int64
		var at time.Time
		if err := rows.Scan(&version, &at); err != nil {
			return nil, err
		}
		applied[version] = at.UTC()
	}
	return applied, rows.Err()
}

// explain says in an operator's words what went wrong. denied is what follows the login's
// name when it lacks a right.
func (o *owner) explain(doing string, err error, denied string) error {
	err = cleanConnect(err)
	if f := (*fault)(nil); errors.As(err, &f) && f.code == "42501" {
		return fmt.Errorf("postgres: user %q %s (SQLSTATE 42501)", o.cfg.User, denied)
	}
	if known := (lasting{}); errors.As(asLasting(err, o.cfg), &known) {
		return known.error
	}
	return fmt.Errorf("postgres: %s: %w", doing, explain(err))
}

//go:embed roles.sql
var rolesSQL string

// RolesSQL returns the statements that make the roles and give them their rights, for
// an operator to read or to run. Repeating them does no harm.
func RolesSQL() string { return rolesSQL }

// ApplyRoles runs [RolesSQL] in one transaction. It needs a superuser, or the owner of the
// schema if that has CREATEROLE, and a schema that [Migrate] has made.
func ApplyRoles(ctx context.Context, dsn string) error {
	o, err := openOwner(dsn)
	if err != nil {
		return err
	}
	defer o.Close()
	_, err = o.ExecContext(ctx, rolesSQL)
	if f := (*fault)(nil); errors.As(clean(err), &f) && f.code == "42P01" {
		return errors.New("postgres: the database has no schema to give rights to: run `spinetrace migrate up` first")
	}
	if err != nil {
		return o.explain("roles", err, "may not make roles: use a superuser, or an owner of the schema that has CREATEROLE")
	}
	return nil
}
