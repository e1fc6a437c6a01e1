package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"spinetrace/migrations"
	"spinetrace/store"
)

// busyTimeout is how long a connection waits for another process's transaction.
const busyTimeout = 10 * time.Second

// application marks our files (the header's application id): "SpTr".
const application = 0x53705472

// dataSource names the file to the driver, with the settings of each connection.
func dataSource(path string, pragmas ...string) string {
	name := filepath.ToSlash(path)
	if !strings.HasPrefix(name, "/") {
		name = "/" + name // file:///C:/...
	}
	query := url.Values{"mode": {"rw"}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())}}
	query["_pragma"] = append(query["_pragma"], pragmas...)
	return (&url.URL{Scheme: "file", Path: name, RawQuery: query.Encode()}).String()
}

// openFile opens the one connection that writes, and brings the schema up to date. With
// create, a file that is not there is made.
func openFile(ctx context.Context, path string, create bool) (*sql.DB, error) {
	if err := checkFile(path, create); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dataSource(path, "journal_mode(wal)", "synchronous(full)", "secure_delete(on)"))
	if err != nil {
		return nil, explain("open", err)
	}
	db.SetMaxOpenConns(1)
	if err := prepareFile(ctx, db, path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// checkFile makes the file, for the eyes of this user alone: SQLite gives the files it puts
// beside it the same permissions. A file that exists is not opened here, because closing it
// would drop the locks of other connections in this process.
func checkFile(path string, create bool) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("sqlite: open: %s is a folder; name a file", path)
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist) && !create:
		return fmt.Errorf("sqlite: open: %s is gone; put it back", path)
	case errors.Is(err, fs.ErrNotExist):
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("sqlite: create: %w", err)
		}
		return f.Close()
	}
	return fmt.Errorf("sqlite: open: %w", err)
}

// prepareFile checks that the file is ours, and migrates it. Only one process at a time
// does so.
func prepareFile(ctx context.Context, db *sql.DB, path string) (err error) {
	lock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return fmt.Errorf("sqlite: migrate: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if err := checkOurs(ctx, db, path); err != nil {
		return err
	}
	// Writing the mark again also finds out whether the file can be written.
	if _, err := db.ExecContext(ctx, fmt.Sprintf("pragma application_id = %d", application)); err != nil {
		return explain("open", err)
	}
	return migrate(ctx, db, path)
}

// checkOurs refuses what another program made.
func checkOurs(ctx context.Context, db *sql.DB, path string) error {
	var mode string
	var id, tables int
	err := errors.Join(
		db.QueryRowContext(ctx, "pragma journal_mode").Scan(&mode),
		db.QueryRowContext(ctx, "pragma application_id").Scan(&id),
		db.QueryRowContext(ctx, "select count(*) from sqlite_schema").Scan(&tables),
	)
	switch {
	case err != nil:
		return explain("open", err)
	case id != application && tables > 0:
		return fmt.Errorf("%w: %s is a database of another program; name another file", store.ErrSchema, path)
	case mode != "wal":
		return fmt.Errorf("sqlite: open: no write-ahead log can be kept beside %s; put it on a local disk", path)
	}
	return nil
}

// migrate applies what is missing, or says why it cannot.
func migrate(ctx context.Context, db *sql.DB, path string) error {
	p, err := goose.NewProvider(goose.DialectSQLite3, db, migrations.SQLite(), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return explain("migrate", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return explain("migrate", err)
	}
	if current > target {
		return checkNewer(ctx, db, path, current, target)
	}
	if _, err := p.Up(ctx); err != nil {
		return explain("migrate", err)
	}
	return nil
}

// checkNewer asks a schema that a newer program made whether this one still runs on it.
func checkNewer(ctx context.Context, db *sql.DB, path string, current, target int64) error {
	var oldest int64
	err := db.QueryRowContext(ctx, "select oldest_program from schema_version where version = ?", current).Scan(&oldest)
	if err == nil && oldest <= target {
		return nil
	}
	return fmt.Errorf("%w: %s is at version %d, this program knows %d; run the newer program", store.ErrSchema, path, current, target)
}
