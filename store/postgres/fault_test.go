package postgres

import (
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// TestNetworkFaultsReadTheSame: our own port is another one each time, and who compares two
// faults should not find a difference where there is none.
func TestNetworkFaultsReadTheSame(t *testing.T) {
	to := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5432}
	for _, port := range []int{40001, 40002} {
		from := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: port}
		err := clean(&net.OpError{Op: "read", Net: "tcp", Source: from, Addr: to, Err: errors.New("connection reset by peer")})
		if got, want := err.Error(), "read tcp 192.0.2.1:5432: connection reset by peer"; got != want {
			t.Errorf("clean() = %q, want %q", got, want)
		}
	}
}

// TestExplain: what an operator can mend is said in words, with the code behind them.
func TestExplain(t *testing.T) {
	for code, want := range map[string]string{
		"53100": "the database's disk is full (SQLSTATE 53100)",
		"25006": "the database is read-only (SQLSTATE 25006)",
		"42501": "the login may not do this: what reads the journal needs the role spinetrace_searcher or spinetrace_reader, what writes messages spinetrace_runtime (SQLSTATE 42501)",
		"53300": "the database takes no more connections (SQLSTATE 53300)",
		"54000": "the database takes no more transactions: see its log, it may need a vacuum (SQLSTATE 54000)",
		"55P03": "somebody holds a lock on the journal (SQLSTATE 55P03)",
		"57P03": "the database is starting or stopping (SQLSTATE 57P03)",
		"57014": "SQLSTATE 57014",
	} {
		if got := explain(&fault{code: code}).Error(); got != want {
			t.Errorf("explain(%s) = %q, want %q", code, got, want)
		}
	}
}

// TestJudge: what follows from each answer to a batch. What is not known to be the message's fault
// is the database's, and nobody is refused for it.
func TestJudge(t *testing.T) {
	for code, want := range map[string]verdict{
		"08006": unknown,   // connection failure
		"21000": unknown,   // cardinality violation
		"22021": refused,   // not in the repertoire of characters
		"22P05": refused,   // no such character
		"23502": refused,   // not null
		"23514": refused,   // a check
		"25006": unknown,   // read-only transaction: a standby now
		"26000": unknown,   // no such prepared statement
		"28P01": unknown,   // password
		"3D000": unknown,   // no such database
		"40001": again,     // serialisation
		"40003": unknown,   // statement completion unknown
		"40P01": again,     // deadlock
		"42501": forbidden, // privilege
		"42P01": forbidden, // no such table
		"53100": unknown,   // disk full
		"53200": unknown,   // out of memory
		"53300": unknown,   // too many connections
		"54000": unknown,   // out of transaction ids
		"55000": unknown,   // not in the state for it
		"55P03": unknown,   // lock not available
		"57014": unknown,   // cancelled
		"57P01": unknown,   // the server stops
		"57P02": unknown,   // it crashed
		"57P03": unknown,   // it starts
		"57P05": unknown,   // session was idle
		"58030": unknown,   // input or output
		"58P01": unknown,   // a file is missing
		"F0000": unknown,   // configuration file
		"P0001": unknown,   // raised by a function
		"XX000": unknown,   // internal error
		"XX001": unknown,   // data corrupted
		"XX002": unknown,   // index corrupted
	} {
		if got := judge(&pq.Error{Code: pqerror.Code(code)}); got != want {
			t.Errorf("judge(%s) = %v, want %v", code, got, want)
		}
	}
	for name, tt := range map[string]struct {
		err  error
		want verdict
	}{
		"written":                   {nil, written},
		"a claim was there":         {&pq.Error{Code: "23505", Table: "seen"}, duplicate},
		"a reply was there":         {&pq.Error{Code: "23505", Table: "reply_2026"}, closed},
		"another writer's number":   {&pq.Error{Code: "23505", Table: "event_2026_11"}, unknown},
		"no partition":              {&pq.Error{Code: "23514", Table: "event"}, unknown},
		"a value too long to index": {&pq.Error{Code: "54000", Table: "exchange_2026", Constraint: "exchange_control_id"}, refused},
		"connection gone":           {driver.ErrBadConn, unknown},
		"connection broken":         {io.ErrUnexpectedEOF, unknown},
	} {
		if got := judge(tt.err); got != tt.want {
			t.Errorf("%s: judge() = %v, want %v", name, got, tt.want)
		}
	}
}
