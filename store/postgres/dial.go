package postgres

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

const (
	// connectTimeout bounds the opening of a session.
	connectTimeout = 2 * time.Second
	// writeTimeout bounds the wait for the answer to a statement of the writing session:
	// on a silent network nothing else ends it.
	writeTimeout = 2 * time.Second
	// readTimeout is the same for the readers, whose statements may have work to do.
	readTimeout = 60 * time.Second
)

// errDSN does not quote the setting, which holds a password.
var errDSN = errors.New("postgres: the data source is neither a postgres:// URL nor a list of key=value pairs")

// ErrStandby says that a data source may lead to a standby, which takes no commits and knows the
// past only.
var ErrStandby = errors.New("postgres: the data source may lead to a standby: target_session_attrs must be read-write or primary")

// CheckDSN says whether dsn can be read, a postgres:// URL or a list of key=value pairs, and
// leads to no standby, else [ErrStandby]. Nothing of it is repeated in the error, and the network is
// not used.
func CheckDSN(dsn string) error {
	_, err := parseDSN(dsn)
	return err
}

// parseDSN reads a data source. Nothing of it is repeated in the error.
func parseDSN(dsn string) (pq.Config, error) {
	cfg, err := pq.NewConfig(dsn)
	if err != nil {
		return pq.Config{}, errDSN
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	cfg.BinaryParameters = true
	return cfg, requirePrimary(&cfg)
}

// requirePrimary makes the driver choose, of several hosts, one that can be written to. The
// readers need it too: what a standby has not replayed yet would be taken for not there.
func requirePrimary(cfg *pq.Config) error {
	switch cfg.TargetSessionAttrs {
	case pq.TargetSessionAttrsReadWrite, pq.TargetSessionAttrsPrimary:
		return nil
	case "":
		if len(cfg.Multi) > 0 {
			cfg.TargetSessionAttrs = pq.TargetSessionAttrsReadWrite
		}
		return nil
	case pq.TargetSessionAttrsAny:
		if len(cfg.Multi) == 0 {
			return nil
		}
		return ErrStandby
	default:
		return ErrStandby
	}
}

// sessionSettings are what every session asks of the server.
var sessionSettings = map[string]string{
	"jit":         "off",
	"search_path": "public",
	"timezone":    "UTC",
	// So that the lock of a client that vanished is free within 8 s.
	"tcp_keepalives_idle":     "5",
	"tcp_keepalives_interval": "1",
	"tcp_keepalives_count":    "3",
}

// planSettings fix the plans of statements that are prepared while tables may be empty: a plan
// made for an empty table reads all of a full one.
var planSettings = map[string]string{
	"plan_cache_mode":   "force_generic_plan",
	"enable_seqscan":    "off",
	"enable_hashjoin":   "off",
	"enable_mergejoin":  "off",
	"enable_bitmapscan": "off",
}

// writerSettings are the writing session's own, beside planSettings.
var writerSettings = map[string]string{
	// Below writeTimeout, so that waiting for a lock is an answer.
	"lock_timeout": "1500ms",
}

// openPool makes a pool, without connecting.
func openPool(cfg pq.Config, name string, d *dialer, settings ...map[string]string) (*sql.DB, error) {
	cfg = cfg.Clone()
	cfg.ApplicationName = name
	if cfg.Runtime == nil {
		cfg.Runtime = make(map[string]string)
	}
	for _, s := range settings {
		maps.Copy(cfg.Runtime, s)
	}
	c, err := newHosts(cfg, d)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(c), nil
}

// dialer makes connections that do not wait for ever for an answer.
type dialer struct {
	timeout time.Duration
	may     func() error // says why nobody is to be asked now; nil: somebody always may be

	mu    sync.Mutex
	over  bool
	conns map[*conn]struct{}
}

func newDialer(timeout time.Duration) *dialer {
	return &dialer{timeout: timeout, conns: make(map[*conn]struct{})}
}

// DialContext is what the driver calls.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var n net.Dialer
	raw, err := n.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, dialer: d}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		raw.Close()
		return nil, net.ErrClosed
	}
	d.conns[c] = struct{}{}
	return c, nil
}

// Dial and DialTimeout complete [pq.Dialer].
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialTimeout is Dial with a limit.
func (d *dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// hangUp ends all connections: the driver waits for an answer even when its context ends.
func (d *dialer) hangUp() {
	d.mu.Lock()
	d.over = true
	d.mu.Unlock()
	d.redial()
}

// redial ends the connections that there are.
func (d *dialer) redial() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		c.Conn.Close()
	}
}

// conn arms its read deadline with every write: the server owes an answer from then on.
type conn struct {
	net.Conn
	dialer  *dialer
	opening atomic.Bool // the driver has set the deadline
}

// SetDeadline is called by the driver around the opening of a session, last without a deadline.
func (c *conn) SetDeadline(t time.Time) error {
	c.opening.Store(!t.IsZero())
	return c.Conn.SetDeadline(t)
}

func (c *conn) Write(b []byte) (int, error) {
	// A server that accepts connections and says nothing must not keep us from the next one for
	// as long as a statement may take.
	if !c.opening.Load() {
		if err := c.Conn.SetDeadline(time.Now().Add(c.dialer.timeout)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}

func (c *conn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.conns, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}
