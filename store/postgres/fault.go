package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/lib/pq"

	"spinetrace/store"
)

var (
	errLost  = errors.New("the connection to the database was lost")
	errOther = errors.New("unexpected answer from the driver")
)

// fault is what may be told of an error that the server reported.
type fault struct {
	code       string // SQLSTATE
	table      string
	column     string
	constraint string
}

// Error says which rule was broken where, never by what.
func (f *fault) Error() string {
	var b strings.Builder
	b.WriteString("SQLSTATE " + f.code)
	if f.table != "" {
		b.WriteString(" on " + f.table)
	}
	if f.constraint != "" {
		b.WriteString(" (" + f.constraint + ")")
	}
	return b.String()
}

// class is the part of the code that says what kind of error it is.
func (f *fault) class() string { return f.code[:min(2, len(f.code))] }

// of says whether the fault is about a table or one of its partitions.
func (f *fault) of(table string) bool {
	return f.table == table || strings.HasPrefix(f.table, table+"_")
}

// clean turns an error of the driver into one without content. What comes from the network
// keeps its text.
func clean(err error) error {
	var server *pq.Error
	var network net.Error
	var none *unfit
	switch {
	case err == nil:
		return nil
	case errors.As(err, &none):
		return none
	case errors.As(err, &server):
		return &fault{string(server.Code), server.Table, server.Column, server.Constraint}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &network):
		return withoutSource(network)
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.Is(err, errLost):
		return errLost
	}
	return errOther
}

// withoutSource leaves our own port out of a network error: it is another one each time, and
// the same fault should read the same.
func withoutSource(err net.Error) error {
	if op, ok := err.(*net.OpError); ok {
		bare := *op
		bare.Source = nil
		return &bare
	}
	return err
}

// cleanConnect is clean for the opening of a session, where the driver's own words (of TLS,
// of the way to log in) hold nothing that needs hiding.
func cleanConnect(err error) error {
	if c := clean(err); !errors.Is(c, errOther) {
		return c
	}
	return err
}

// readsOnly is what a login is told that may not do what it is asked for.
const readsOnly = "may read the journal, but not write it: grant it the role spinetrace_runtime, which `spinetrace migrate roles` makes"

// explain says in an operator's words why the database does not do what it is asked for, where we know.
func explain(err error) error {
	var f *fault
	if !errors.As(err, &f) {
		return err
	}
	switch {
	case f.code == "23514" && f.of("event") && f.constraint == "":
		return fmt.Errorf("the journal has no partition for this month, run `spinetrace migrate up` (%w)", err)
	case f.code == "53100":
		return fmt.Errorf("the database's disk is full (%w)", err)
	case f.code == "25006":
		return fmt.Errorf("the database is read-only (%w)", err)
	case f.code == "42501":
		return fmt.Errorf("the login may not do this: what reads the journal needs the role spinetrace_searcher or spinetrace_reader, what writes messages spinetrace_runtime (%w)", err)
	case f.code == "53300":
		return fmt.Errorf("the database takes no more connections (%w)", err)
	case f.code == "54000" && f.table == "":
		return fmt.Errorf("the database takes no more transactions: see its log, it may need a vacuum (%w)", err)
	case f.code == "55P03":
		return fmt.Errorf("somebody holds a lock on the journal (%w)", err)
	case f.code == "57P01", f.code == "57P02", f.code == "57P03":
		return fmt.Errorf("the database is starting or stopping (%w)", err)
	}
	return err
}

// unavailable is the error of a commit that may be tried again later.
func unavailable(why error) error { return fmt.Errorf("postgres: %w: %w", store.ErrUnavailable, why) }

// readError is the error of a reader.
func readError(what string, err error) error {
	err = clean(err)
	if f := (*fault)(nil); errors.As(err, &f) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("postgres: %s: %w", what, explain(err))
	}
	return fmt.Errorf("postgres: %s: %w: %w", what, store.ErrUnavailable, err)
}

// bodiesError is readError for what not every login may read that reads the journal.
func bodiesError(what string, err error) error {
	if f := (*fault)(nil); errors.As(clean(err), &f) && f.code == "42501" {
		return fmt.Errorf("postgres: %s: %w: grant it the role spinetrace_reader, which `spinetrace migrate roles` makes", what, store.ErrBodiesDenied)
	}
	return readError(what, err)
}

// lasting is a fault that waiting does not mend; its text is for an operator.
type lasting struct{ error }

func (l lasting) Unwrap() error { return l.error }

// asLasting explains a failure to open a session when an operator must act. The settings
// that it names are those of the data source, without the password.
func asLasting(err error, cfg pq.Config) error {
	if errors.Is(err, pq.ErrSSLNotSupported) {
		return lasting{errors.New("postgres: the server does not speak TLS: give it a certificate, or say sslmode=disable in the data source")}
	}
	if none := (*unfit)(nil); errors.As(err, &none) {
		return noneLasting(none, cfg)
	}
	var f *fault
	if !errors.As(err, &f) {
		return err
	}
	var what string
	switch f.code {
	case "28P01", "28000":
		what = fmt.Sprintf("the server refuses user %q: correct user or password in the data source, or allow them in pg_hba.conf", cfg.User)
	case "3D000":
		what = fmt.Sprintf("there is no database %q: create it, or correct the data source", cfg.Database)
	case "42501":
		what = fmt.Sprintf("user %q may not use database %q: grant it the role spinetrace_runtime, which `spinetrace migrate roles` makes", cfg.User, cfg.Database)
	case "08P01":
		what = "the server does not know this session's settings: a pooler is in the way, connect to PostgreSQL itself"
	default:
		return err
	}
	return lasting{fmt.Errorf("postgres: %s (SQLSTATE %s)", what, f.code)}
}

// noneLasting is asLasting for several hosts: as long as one of them may come round, waiting can
// mend it.
func noneLasting(none *unfit, cfg pq.Config) error {
	var first error
	for _, err := range none.errs {
		l := asLasting(err, cfg)
		if !errors.As(l, new(lasting)) {
			return none
		}
		if first == nil {
			first = l
		}
	}
	return first
}

// verdict is what follows from the end of a batch's statement.
type verdict int

const (
	written   verdict = iota
	duplicate         // nothing kept: a claim was there before
	closed            // nothing kept: an exchange had its reply before
	refused           // nothing kept: because of what is in it
	forbidden         // nothing kept: this role may not
	again             // nothing kept: chance, another try may do
	unknown           // who knows
)

// judge decides what became of a batch. Only what PostgreSQL documents as an aborted
// statement counts as not kept: classes 22, 23, 40, 42 and 54. Of everything else the database
// itself is at fault (53 and 58: disk, memory; 57: it stops; 25006: it is a standby now; 55: a
// lock; XX), and the session may not be what it was: a new one finds out.
func judge(err error) verdict {
	if err == nil {
		return written
	}
	var f *fault
	if !errors.As(clean(err), &f) {
		return unknown
	}
	switch f.class() {
	case "22":
		return refused
	case "54":
		if f.table == "" {
			return unknown // no row is too long: the server has run out of something, as of transaction ids
		}
		return refused
	case "23":
		return judgeConstraint(f)
	case "40":
		if f.code == "40003" {
			return unknown // statement completion unknown
		}
		return again
	case "42":
		return forbidden
	}
	return unknown
}

func judgeConstraint(f *fault) verdict {
	switch {
	case f.code == "23505" && f.of("seen"):
		return duplicate
	case f.code == "23505" && f.of("reply"):
		return closed
	case f.of("event"):
		// Another writer's number, or a month without a partition: not the message's fault.
		return unknown
	}
	return refused
}
