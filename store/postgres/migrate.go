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
	db, err := openOwner(dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	provider, err := newProvider(db)
	if err != nil {
		return nil, err
	}
	results, err := provider.Up(ctx)
	for _, r := range results {
		applied = append(applied, r.Source.Path)
	}
	if err != nil {
		return applied, migrateError(err)
	}
	if _, err := db.ExecContext(ctx, "select spinetrace_partitions()"); err != nil {
		return applied, fmt.Errorf("postgres: make partitions: %w", clean(err))
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

// migrateError names the file that failed.
func migrateError(err error) error {
	if p := (*goose.PartialError)(nil); errors.As(err, &p) && p.Failed != nil {
		return fmt.Errorf("postgres: migrate: %s: %w", p.Failed.Source.Path, clean(p.Err))
	}
	return fmt.Errorf("postgres: migrate: %w", cleanConnect(err))
}

// Status returns all migrations this program knows, oldest first. It changes nothing.
func Status(ctx context.Context, dsn string) ([]Migration, error) {
	db, err := openOwner(dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	applied, err := appliedMigrations(ctx, db)
	if err != nil {
		return nil, err
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

func appliedMigrations(ctx context.Context, db *sql.DB) (map[int64]time.Time, error) {
	rows, err := db.QueryContext(ctx, "select version, applied from schema_version")
	if f := (*fault)(nil); errors.As(clean(err), &f) && f.code == "42P01" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("postgres: status: %w", cleanConnect(err))
	}
	defer rows.Close()
	applied := make(map[int64]time.Time)
	for rows.Next() {
		var version int64
		var at time.Time
		if err := rows.Scan(&version, &at); err != nil {
			return nil, fmt.Errorf("postgres: status: %w", clean(err))
		}
		applied[version] = at.UTC()
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("postgres: status: %w", clean(err))
	}
	return applied, nil
}

func openOwner(dsn string) (*sql.DB, error) {
	cfg, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	return openPool(cfg, "spinetrace/migrate", newDialer(migrateTimeout), map[string]string{"search_path": "public", "timezone": "UTC"})
}

//go:embed roles.sql
var rolesSQL string

// RolesSQL returns the statements that make the three roles and give them their rights, for
// an operator to read or to run. Repeating them does no harm.
func RolesSQL() string { return rolesSQL }

// ApplyRoles runs [RolesSQL] in one transaction. It needs the owner of the schema, with the
// right to create roles.
func ApplyRoles(ctx context.Context, dsn string) error {
	db, err := openOwner(dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, rolesSQL); err != nil {
		return fmt.Errorf("postgres: roles: %w", cleanConnect(err))
	}
	return nil
}
