// Package migrations holds the schemas of the stores, as numbered SQL files that are
// applied in order and never changed once released.
//
// A migration must leave the previous release able to run: programs and schema are not
// updated in one instant. Each Postgres migration ends by adding its row to the table
// schema_version, which says how old a program may be and still run on it.
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed postgres/*.sql
var postgres embed.FS

// Postgres returns the migrations of package store/postgres.
func Postgres() fs.FS { return sub(postgres, "postgres") }

func sub(files embed.FS, dir string) fs.FS {
	f, err := fs.Sub(files, dir)
	if err != nil {
		panic("migrations: " + err.Error()) // only for a path that is not one
	}
	return f
}
