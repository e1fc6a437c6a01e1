package postgres

import "context"

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
