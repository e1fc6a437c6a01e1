package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"spinetrace/migrations"
	"spinetrace/store"
)

// needed is the schema version this program was written for: that of its newest migration.
func needed() (version int64) {
	names, err := fs.Glob(migrations.Postgres(), "*.sql")
	if err != nil {
		panic("postgres: " + err.Error()) // only for a malformed pattern
	}
	for _, name := range names {
		if v, err := goose.NumericComponent(name); err == nil {
			version = max(version, v)
		}
	}
	return version
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// checkSchema says in one sentence why this program cannot run on the database's schema.
func checkSchema(ctx context.Context, db querier, user string) error {
	var version, oldest int64
	err := db.QueryRowContext(ctx, "select version, oldest_program from schema_version order by version desc limit 1").Scan(&version, &oldest)
	f := (*fault)(nil)
	switch errors.As(clean(err), &f); {
	case err == nil:
		return compareSchema(version, oldest, needed())
	case errors.Is(err, sql.ErrNoRows), f != nil && f.code == "42P01":
		return schemaFault("the database has no schema: run `spinetrace migrate up`")
	case f != nil && f.code == "42501":
		return schemaFault(fmt.Sprintf("user %q may not read the schema: grant it the role spinetrace_runtime, which `spinetrace migrate roles` makes", user))
	}
	return clean(err)
}

func compareSchema(version, oldest, need int64) error {
	switch {
	case version < need:
		return schemaFault(fmt.Sprintf("the schema is at version %d, this program needs %d: run `spinetrace migrate up`", version, need))
	case oldest > need:
		return schemaFault(fmt.Sprintf("the schema is at version %d, which needs a newer program than this one (%d): install the release that belongs to it", version, need))
	}
	return nil
}

func schemaFault(sentence string) error {
	return lasting{fmt.Errorf("postgres: %w: %s", store.ErrSchema, sentence)}
}
