package migrations

import (
	"embed"
	"io/fs"
)

//go:embed sqlite/*.sql
var sqlite embed.FS

// SQLite returns the migrations of package store/sqlite.
func SQLite() fs.FS { return sub(sqlite, "sqlite") }
