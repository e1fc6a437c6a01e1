package postgres

import "strings"

// learnDocuments finds out whether the login may read what messages told of patients, and what items say.
func (w *session) learnDocuments(s *Store) error {
	const q = "select not (has_column_privilege('patient', 'told_doc', 'select') and has_column_privilege('item', 'doc', 'select'))"
	var withheld bool
	err := w.conn.QueryRowContext(forever(), q).Scan(&withheld)
	s.withheld.Store(withheld)
	return clean(err)
}

// allowed returns a query of patients or items as the login may make it: for one column too many it
// would be refused as a whole.
func (s *Store) allowed(query string) string {
	if s.withheld.Load() {
		return withoutDocuments.Replace(query)
	}
	return query
}

var withoutDocuments = strings.NewReplacer("told_doc", "'' as told_doc", ", doc,", ", '' as doc,")
