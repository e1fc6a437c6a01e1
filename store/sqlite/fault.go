package sqlite

import (
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// A fault is what SQLite says went wrong, told by its code alone: its own messages may
// hold what was being stored.
type fault struct {
	doing string
	code  int // extended result code
}

// remedies say what the codes mean to an operator.
var remedies = map[int]string{
	lib.SQLITE_NOTADB:   "the file is not a database; move it away or name another one",
	lib.SQLITE_CORRUPT:  "the database is damaged; restore it from a backup",
	lib.SQLITE_READONLY: "the file cannot be written; give this user write access to it and to its folder",
	lib.SQLITE_CANTOPEN: "the file cannot be opened; see that its folder exists and that this user may read and write both",
	lib.SQLITE_FULL:     "the disk is full; make room",
	lib.SQLITE_IOERR:    "the disk cannot be read or written; see the system's log",
	lib.SQLITE_BUSY:     "another process keeps the database locked; end it if it hangs",
}

// Error says what was done and what is wrong, in one sentence.
func (f *fault) Error() string {
	if what, ok := remedies[f.primary()]; ok {
		return fmt.Sprintf("sqlite: %s: %s", f.doing, what)
	}
	return fmt.Sprintf("sqlite: %s: error %d of the database", f.doing, f.code)
}

func (f *fault) primary() int { return f.code & 0xff }

// explain says what was being done when err happened.
func explain(doing string, err error) error {
	var e *driver.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return &fault{doing, e.Code()}
	}
	return fmt.Errorf("sqlite: %s: %w", doing, err)
}

// passes says whether the fault may go away without anybody changing the file.
func passes(err error) bool {
	var f *fault
	if !errors.As(err, &f) {
		return false
	}
	switch f.primary() {
	case lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_NOMEM:
		return true
	}
	return false
}

// refused says whether the database took offence at the row alone.
func refused(err error) bool {
	var e *driver.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG, lib.SQLITE_MISMATCH:
		return true
	}
	return false
}

// taken says whether the row's place in the primary key is taken, as the key says, or the trigger that
// keeps rows from being replaced.
func taken(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && (e.Code() == lib.SQLITE_CONSTRAINT_PRIMARYKEY || e.Code() == lib.SQLITE_CONSTRAINT_TRIGGER)
}
