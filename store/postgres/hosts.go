package postgres

import (
	"context"
	"database/sql/driver"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/lib/pq"
)

// hosts is a [driver.Connector] for the hosts of a data source, of which one takes commits. The
// driver's own would begin with the first each time, and wait for it when it is dead.
type hosts struct {
	each   []*pq.Connector
	names  []string
	dialer *dialer
	last   atomic.Int32 // where a session was opened last
}

func newHosts(cfg pq.Config, d *dialer) (*hosts, error) {
	all := append([]pq.ConfigMultihost{{Host: cfg.Host, Hostaddr: cfg.Hostaddr, Port: cfg.Port}}, cfg.Multi...)
	h := &hosts{dialer: d}
	for _, at := range all {
		one := cfg.Clone()
		one.Host, one.Hostaddr, one.Port, one.Multi = at.Host, at.Hostaddr, at.Port, nil
		c, err := pq.NewConnectorConfig(one)
		if err != nil {
			return nil, errDSN
		}
		c.Dialer(d)
		name := at.Host
		if name == "" {
			name = at.Hostaddr.String()
		}
		h.each, h.names = append(h.each, c), append(h.names, net.JoinHostPort(name, strconv.Itoa(int(at.Port))))
	}
	return h, nil
}

// Driver implements [driver.Connector].
func (h *hosts) Driver() driver.Driver { return h.each[0].Driver() }

// Connect tries one host after the other, the one that did last first.
func (h *hosts) Connect(ctx context.Context) (driver.Conn, error) {
	if may := h.dialer.may; may != nil {
		if err := may(); err != nil {
			return nil, err
		}
	}
	if len(h.each) == 1 {
		return h.each[0].Connect(ctx)
	}
	first := int(h.last.Load())
	none := &unfit{names: make([]string, 0, len(h.each))}
	for n := range h.each {
		at := (first + n) % len(h.each)
		c, err := h.each[at].Connect(ctx)
		if err == nil {
			h.last.Store(int32(at))
			return c, nil
		}
		none.names, none.errs = append(none.names, h.names[at]), append(none.errs, explain(cleanConnect(err)))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, none
}

// unfit says why none of several hosts will do.
type unfit struct {
	names []string
	errs  []error
}

// Error names every host, in one line.
func (u *unfit) Error() string {
	var each []string
	for n, err := range u.errs {
		each = append(each, fmt.Sprintf("%s: %v", u.names[n], err))
	}
	return "no host takes commits: " + strings.Join(each, "; ")
}
