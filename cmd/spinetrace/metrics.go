package main

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"spinetrace/exchange"
	"spinetrace/mllp"
	"spinetrace/pds"
	"spinetrace/store"
)

// metrics are what `/metrics` tells. Every label is from a closed set of our own: nothing a
// sender or a back end wrote becomes one.
type metrics struct {
	registry *prometheus.Registry

	connections prometheus.Gauge
	busy        prometheus.Gauge
	states      *prometheus.CounterVec
	refused     *prometheus.CounterVec
	handshakes  *prometheus.CounterVec
	reloads     *prometheus.CounterVec
	quirks      *prometheus.CounterVec
	messages    *prometheus.CounterVec
	replyTime   *prometheus.HistogramVec
	callTime    *prometheus.HistogramVec
	breakerOpen prometheus.Gauge
	deliveries  *prometheus.CounterVec
}

// newMetrics makes the metrics in a registry of their own.
func newMetrics(b build) *metrics {
	times := []float64{.0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2, 4, 10, 30}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "spinetrace_connections", Help: "MLLP connections that are open."}),
		busy: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "spinetrace_connections_busy", Help: "MLLP connections with a message in hand."}),
		states: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spinetrace_connections_total", Help: "MLLP connections by what became of them: open, refused."}, []string{"state"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spinetrace_connections_refused_total", Help: "MLLP connections that were refused: for a limit, or for their address."}, []string{"reason"}),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spinetrace_tls_handshakes_failed_total", Help: "TLS handshakes of MLLP connections that failed, by reason."}, []string{"reason"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spinetrace_certificate_reloads_total", Help: "Certificate files that changed and were read again; refused: they cannot be used, and the old ones are."},
			[]string{"certificate", "result"}),
		quirks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spinetrace_mllp_quirks_total", Help: "What peers did outside the protocol, and was tolerated."}, []string{"quirk"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spinetrace_messages_total", Help: "Messages by type, outcome and acknowledgement; resent says whether the stored answer was sent again."},
			[]string{"type", "outcome", "ack", "resent"}),
		replyTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "spinetrace_reply_seconds", Help: "From a message's last byte to its answer.", Buckets: times}, []string{"type"}),
		callTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "spinetrace_backend_seconds", Help: "Calls to the back end by operation and how they ended.", Buckets: times},
			[]string{"operation", "result"}),
		breakerOpen: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "spinetrace_backend_breaker_open", Help: "1 while the back end is not asked because it failed too often."}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "spinetrace_deliveries_total", Help: "Attempts to deliver a letter by destination and what became of the letter: delivered, waiting, parked, dropped."},
			[]string{"destination", "result"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "spinetrace_build_info", Help: "1; the labels say which program this is.",
		ConstLabels: prometheus.Labels{"version": b.Version, "commit": b.Commit, "go": runtime.Version()}})
	info.Set(1)
	m.registry.MustRegister(m.connections, m.busy, m.states, m.refused, m.handshakes, m.reloads, m.quirks, m.messages, m.replyTime, m.callTime, m.breakerOpen, m.deliveries,
		info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch adds what is asked for only when somebody looks: what `/-/ready` answers, and until
// when a store that has partitions can write.
func (m *metrics) watch(s store.Store, ready func() error) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "spinetrace_ready", Help: "1 while messages are taken and the store commits."},
		func() float64 {
			if ready() == nil {
				return 1
			}
			return 0
		}))
	if p, ok := s.(interface{ PartitionsUntil() time.Time }); ok {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "spinetrace_store_partitions_until_seconds", Help: "Unix time at which the store's partitions end; 0 while unknown. Alert two months before."},
			func() float64 {
				if until := p.PartitionsUntil(); !until.IsZero() {
					return float64(until.Unix())
				}
				return 0
			}))
	}
}

// watchWork adds how late the traces are that no sender waits for.
func (m *metrics) watchWork(q store.Queue) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "spinetrace_work_overdue_seconds", Help: "For how long the oldest trace that is due, and that no sender waits for, has been waiting; 0 when none is. Alert when it grows."},
		func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			due, ok, err := q.NextDue(ctx)
			if err != nil || !ok {
				return 0
			}
			return max(0, time.Since(due).Seconds())
		}))
}

// watchPulse adds whether the back end is slow.
func (m *metrics) watchPulse(p *pds.Pulse) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "spinetrace_backend_slow", Help: "1 while the back end's median answer takes more than half of the reply budget, and ADT are answered before their trace."},
		func() float64 {
			if p.Slow() {
				return 1
			}
			return 0
		}))
}

// watchCertificates adds when each certificate ends.
func (m *metrics) watchCertificates(c *certificates) {
	for _, l := range c.all {
		if l.until().IsZero() {
			continue // only authorities are kept
		}
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "spinetrace_certificate_expiry_seconds", Help: "Unix time at which a certificate ends. Alert 30 days before.",
			ConstLabels: prometheus.Labels{"certificate": l.name}},
			func() float64 { return float64(l.until().Unix()) }))
	}
}

// reloaded is a certificates' changed.
func (m *metrics) reloaded(name string, err error) {
	result := "reloaded"
	if err != nil {
		result = "refused"
	}
	m.reloads.WithLabelValues(name, result).Inc()
}

// connectionError counts what an mllp.Server's ErrorLog is told, where no other count does.
func (m *metrics) connectionError(err error) {
	var h *mllp.HandshakeError
	switch {
	case errors.Is(err, mllp.ErrTooManyConns):
		m.refused.WithLabelValues("limit").Inc()
	case errors.Is(err, mllp.ErrNotAllowed):
		m.refused.WithLabelValues("address").Inc()
	case errors.As(err, &h):
		m.handshakes.WithLabelValues(h.Reason).Inc()
	}
}

// connState is what an mllp.Server's ConnState is told.
func (m *metrics) connState(s mllp.ConnState) {
	switch s {
	case mllp.StateOpen:
		m.connections.Inc()
		m.states.WithLabelValues(s.String()).Inc()
	case mllp.StateActive:
		m.busy.Inc()
	case mllp.StateIdle:
		m.busy.Dec()
	case mllp.StateClosed:
		m.connections.Dec()
	case mllp.StateRefused:
		m.states.WithLabelValues(s.String()).Inc()
	}
}

// quirk is an mllp.Server's Count.
func (m *metrics) quirk(e mllp.Event) { m.quirks.WithLabelValues(e.String()).Inc() }

// done is an exchange.Handler's Done.
func (m *metrics) done(s exchange.Summary) {
	outcome := s.Outcome.String()
	if s.Duplicate {
		outcome = "resent" // it was decided, and counted, when the message first came
	}
	m.messages.WithLabelValues(s.Type, outcome, s.Ack, strconv.FormatBool(s.Duplicate)).Inc()
	m.replyTime.WithLabelValues(s.Type).Observe(s.Took.Seconds())
}

// asked is what pds.Observe calls. A question that was not written down did not leave.
func (m *metrics) asked(w pds.Want, took time.Duration, res pds.Result, err error) {
	if pds.ClassOf(err) == pds.Unrecorded {
		return
	}
	m.callTime.WithLabelValues(w.String(), resultLabel(res, err)).Observe(took.Seconds())
}

// resultLabel is the outcome, or the class of a technical end.
func resultLabel(res pds.Result, err error) string {
	switch class := pds.ClassOf(err); {
	case err == nil:
		return res.Outcome.String()
	case class != 0:
		return class.String()
	}
	return "other error"
}

// delivered is an exchange.Relay's Done.
func (m *metrics) delivered(d exchange.Delivery) {
	m.deliveries.WithLabelValues(d.Destination, d.State.String()).Inc()
}

// breaker is a pds.Trip's StateChanged.
func (m *metrics) breaker(open bool) {
	if open {
		m.breakerOpen.Set(1)
		return
	}
	m.breakerOpen.Set(0)
}
