package postgres

import (
	"context"
	"database/sql"

	"spinetrace/store"
)

// WriterSetting returns a setting of a writing session that the store opens for it.
func (s *Store) WriterSetting(ctx context.Context, name string) (value string, err error) {
	w, err := s.openSession(ctx, new([]backend))
	if err != nil {
		return "", err
	}
	defer w.release()
	err = w.conn.QueryRowContext(ctx, "select current_setting($1)", name).Scan(&value)
	return value, err
}

// SharedBackend returns what the store says when its two pools lead to one server process.
func (s *Store) SharedBackend(ctx context.Context) error {
	s.reader.SetMaxOpenConns(1)
	w := new(session)
	if err := s.reader.QueryRowContext(ctx, "select pg_backend_pid()").Scan(&w.backend.pid); err != nil {
		return err
	}
	return s.pooled(ctx, w)
}

// SearchSQL returns the statement of a search, and its parameters.
func SearchSQL(s store.Search) (query string, args []any) {
	q := newSearch(s.Fit())
	return q.sql(), q.args
}

// ExchangesSQL returns the statement that reads about what a search has found.
func ExchangesSQL(ids []store.ID) string { return exchangesSQL(ids) }

// Searcher returns the connections that search.
func (s *Store) Searcher() *sql.DB { return s.searcher }

// MigrateTo brings a database to an older schema.
func MigrateTo(ctx context.Context, dsn string, version int64) error {
	o, err := openOwner(dsn)
	if err != nil {
		return err
	}
	defer o.Close()
	provider, err := newProvider(o.DB)
	if err != nil {
		return err
	}
	_, err = provider.UpTo(ctx, version)
	return err
}
