package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"spinetrace/exchange"
	"spinetrace/hl7v2"
	"spinetrace/mllp"
	"spinetrace/pds"
	"spinetrace/store"
)

// serve runs the service until ctx ends.
func serve(ctx context.Context, c console, args []string) error {
	fs := newFlags("serve", "serve\n\nRuns the service until SIGTERM or SIGINT, then finishes what is in hand.\nEverything is set by SPINETRACE_... variables; see check-config.")
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	cfg, err := serviceConfig()
	if err != nil {
		return err
	}
	tuneMemory()
	s, err := newService(cfg, newLogger(c.Err, cfg.LogLevel))
	if err != nil {
		return err
	}
	return s.run(ctx)
}

// memoryLimit is where the collector works harder, unless the environment has its own idea. Live
// data is a fifth of it in ordinary service, most of it the tables of package fhir.
const memoryLimit = 200 << 20

// collectAt lets the heap grow to two and a half times its live data, not twice, between collections: a tenth of the
// service's work was collecting.
const collectAt = 150

// tuneMemory bounds the heap.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(memoryLimit)
	}
}

// service is everything that `serve` runs.
type service struct {
	cfg     config
	log     *slog.Logger
	client  pds.Tracer // the back end itself, without limits
	store   store.Store
	certs   certificates
	handler *exchange.Handler
	relays  []*exchange.Relay
	mllp    *mllp.Server
	admin   *http.Server

	mllpPort, adminPort net.Listener
	worked              chan struct{}         // closed once no trace is begun any more that no sender waits for
	posting             sync.WaitGroup        // the relays
	stopPosting         context.CancelFunc    // ends them
	starting            chan struct{}         // closed once the store has started, or given up
	refusal             atomic.Pointer[error] // why the start could not be recorded so far
	started             bool                  // the start is in the journal; written before starting is closed

	clock     hostClock
	ticks     <-chan time.Time           // when the clock is looked at; nil: every hour
	clockSeen atomic.Pointer[clockState] // nil: not looked at yet
	account   account
	renewed   chan struct{} // there is news for the account
	accounted chan struct{} // closed once nothing is added to the account any more

	anchors  anchors
	stopping atomic.Bool
}

// The handler fits the server without either package knowing the other.
var (
	_ mllp.Handler      = (*exchange.Handler)(nil)
	_ mllp.FaultHandler = (*exchange.Handler)(nil)
)

// newService puts the service together and opens its ports. Nothing is served before run.
func newService(cfg config, log *slog.Logger) (*service, error) {
	s := &service{cfg: cfg, log: log, starting: make(chan struct{}), worked: make(chan struct{})}
	s.clock, s.renewed, s.accounted = theHostClock, make(chan struct{}, 1), make(chan struct{})
	m := newMetrics(thisBuild())
	s.certs.changed = func(name string, until time.Time, err error) {
		m.reloaded(name, err)
		logReload(log, name, until, err)
		s.wake()
	}
	tlsConfig, err := liveServerTLS(&s.cfg, &s.certs)
	if err != nil {
		return nil, err
	}
	if s.client, err = backends[cfg.Backend].open(&s.cfg, &s.certs); err != nil {
		return nil, err
	}
	tracer, pulse := limited(s.client, &cfg, m, log)
	if s.handler, err = newHandler(&cfg, tracer, m, log); err != nil {
		return nil, err
	}
	s.handler.Slow = pulse.Slow
	if s.store, err = openStore(&cfg, cfg.Chain, log); err != nil {
		return nil, err
	}
	s.handler.Journal, s.handler.Index = afterStart{s.store, s}, s.store
	s.handler.Queue, s.handler.Audit = s.store, s.store
	s.wayBack()
	if err := s.newRelays(m); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	s.mllp = newMLLP(&cfg, s.handler, tlsConfig, m, log)
	m.watch(s.store, s.ready)
	m.watchWork(s.store)
	m.watchBacklog(s.store, s.store, cfg.destinations()...)
	m.watchCertificates(&s.certs)
	m.watchClock(s.clockSeen.Load)
	s.admin = newHTTPServer(adminHandler(s.ready, s.notice, m.registry), log)
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.store.Close())
	}
	return s, nil
}

// limited puts limits and measurement round a back end. Every attempt needs a place and the
// breaker's leave of its own, and is measured by itself. The pulse tells whether it is slow.
func limited(client pds.Tracer, cfg *config, m *metrics, log *slog.Logger) (pds.Tracer, *pds.Pulse) {
	out := &outage{log: log}
	pulse := &pds.Pulse{Limit: cfg.ReplyBudget / 2}
	m.watchPulse(pulse)
	t := pds.Observe(client, pulse.Observe)
	t = pds.Observe(t, func(w pds.Want, took time.Duration, res pds.Result, err error) {
		m.asked(w, took, res, err)
		out.asked(err)
	})
	t = pds.Breaker(t, pds.Trip{StateChanged: func(open bool) {
		m.breaker(open)
		out.breaker(open)
	}})
	t = pds.Limit(t, cfg.BackendConcurrency, cfg.ReplyBudget)
	backoff := backends[cfg.Backend].backoff
	backoff.Attempts = cfg.BackendAttempts
	return pds.Retry(t, backoff), pulse
}

// newHandler returns a handler that lacks only its journal.
func newHandler(cfg *config, t pds.Tracer, m *metrics, log *slog.Logger) (*exchange.Handler, error) {
	h := &exchange.Handler{
		Tracer: t, Application: cfg.Application, ODS: cfg.ODS,
		TraceEvents: cfg.TraceEvents, ProcessingIDs: cfg.ProcessingIDs,
		DeferredTraces: max(1, cfg.BackendConcurrency/2), WorkDeadline: cfg.WorkDeadline, Plain: cfg.ADTAnswer == "plain",
		Enhanced: cfg.AckMode == "enhanced", OwnIdentity: cfg.AckIdentity == "configured",
		AcceptAndIgnore: cfg.AcceptAndIgnore, CheckRecipient: cfg.CheckRecipient,
		Parser:      hl7v2.Parser{TrustMSH2: cfg.TrustMSH2, LenientSegments: cfg.LenientSegments, StrictCharset: cfg.StrictCharset},
		StatusInCX2: cfg.StatusInCX2, Refuse999: cfg.Refuse999,
		UnknownNames: cfg.UnknownNames, PlaceholderDates: cfg.PlaceholderDates, RetraceAfter: cfg.RetraceAfter,
		MultipleIsError: cfg.QueryMultiple == "ae", NoQAK: !cfg.QueryQAK, PlainNACK: cfg.QueryPlainNACK,
		Telephone: cfg.QueryTelephone, NHSSexCodes: cfg.QuerySexCodes == "nhs",
		Details:        cfg.ADTDetails,
		AllowWildcards: cfg.AllowWildcards, AllowPartialDOB: cfg.AllowPartialDOB, Access: cfg.access(),
		RefuseStale: !cfg.SMSPAcceptStale,
		Budget:      cfg.ReplyBudget, CommitTimeout: cfg.CommitTimeout,
		Window: cfg.DuplicateWindow, QueryWindow: cfg.DuplicateQueries,
		Receiver: cfg.A31Receiver, NumberFirst: cfg.A31NumberFirst,
		Log: log, Done: m.done,
	}
	return h, parseHandler(cfg, h)
}

// parseHandler sets what package exchange has parsers for.
func parseHandler(cfg *config, h *exchange.Handler) error {
	var faults []error
	into(&h.Profile, &faults)(exchange.ParseProfile(cfg.AckProfile))
	into(&h.AckType, &faults)(exchange.ParseAckType(cfg.AckType))
	into(&h.BatchAnswer, &faults)(exchange.ParseBatchAnswer(cfg.BatchAnswer))
	into(&h.StoreDown, &faults)(exchange.ParseStoreDownAnswer(cfg.StoreDown))
	into(&h.TimeFormat, &faults)(hl7v2.ParseTimeFormat(strings.ReplaceAll(cfg.TimeFormat, "+", ",")))
	into(&h.LocalID, &faults)(exchange.ParsePatterns(cfg.LocalID))
	into(&h.NHSNumbers, &faults)(exchange.ParsePatterns(cfg.NHSNumbers))
	into(&h.UpdateProfile, &faults)(exchange.ParseUpdateProfile(cfg.A31Profile))
	into(&h.Results, &faults)(cfg.results())
	if domains := cmp.Or(cfg.LocalDomains, cfg.ODS); domains != "" {
		into(&h.Domains, &faults)(exchange.ParseDomains(domains))
	}
	into(&h.UserFields, &faults)(exchange.ParseFields(cfg.AccessUserFields))
	if cfg.AccessRoleFields != "" {
		into(&h.RoleFields, &faults)(exchange.ParseFields(cfg.AccessRoleFields))
	}
	if cfg.LegacyNumbers != "" {
		into(&h.LegacyNumbers, &faults)(exchange.ParseLegacyFields(cfg.LegacyNumbers))
	}
	return errors.Join(faults...)
}

// into returns what takes the result of a parser.
func into[V any](to *V, faults *[]error) func(V, error) {
	return func(v V, err error) {
		*to = v
		*faults = append(*faults, err)
	}
}

func newMLLP(cfg *config, h mllp.Handler, tlsConfig *tls.Config, m *metrics, log *slog.Logger) *mllp.Server {
	limit := new(flood)
	return &mllp.Server{
		Handler: h, TLSConfig: tlsConfig, Allow: cfg.MLLPAllow,
		MaxFrame: int(cfg.MLLPMaxFrame), MaxConns: cfg.MLLPMaxConns, MaxConnsPerAddr: cfg.MLLPMaxPerAddr,
		Release:     cfg.MLLPRelease,
		IdleTimeout: cfg.MLLPIdleTimeout, FrameTimeout: cfg.MLLPFrameTimeout, WriteTimeout: cfg.MLLPWriteTimeout,
		ConnState: func(peer netip.AddrPort, st mllp.ConnState) {
			m.connState(st)
			logState(log, peer, st)
		},
		ErrorLog: func(peer netip.AddrPort, err error) {
			m.connectionError(err)
			logConnection(log, limit, peer, err)
		},
		Count: m.quirk,
	}
}

// listen opens both ports.
func (s *service) listen() error {
	var err error
	if s.mllpPort, err = net.Listen("tcp", s.cfg.MLLPAddr); err != nil {
		return fmt.Errorf("%sMLLP_ADDR: %w; stop what uses the port, or choose another", prefix, err)
	}
	if s.adminPort, err = net.Listen("tcp", s.cfg.AdminAddr); err != nil {
		_ = s.mllpPort.Close() // nobody was told of it yet
		return fmt.Errorf("%sADMIN_ADDR: %w; stop what uses the port, or choose another", prefix, err)
	}
	return nil
}

// run serves until ctx ends or something cannot go on; then it finishes what is in hand.
func (s *service) run(ctx context.Context) error {
	s.log.Info("listening", "mllp", s.mllpPort.Addr().String(), "tls", s.cfg.listenerTLS(),
		"admin", s.adminPort.Addr().String(), "version", thisBuild().Version)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.serveMLLP() })
	g.Go(func() error { return serveHTTP(s.admin, s.adminPort) })
	g.Go(func() error { return s.start(ctx) })
	g.Go(func() error {
		defer close(s.worked)
		s.work(ctx)
		return nil
	})
	g.Go(func() error {
		defer close(s.accounted)
		s.keepAccount(ctx)
		return nil
	})
	s.post()
	g.Go(func() error { s.remind(ctx); return nil })
	g.Go(func() error { s.keepAnchoring(ctx); return nil })
	g.Go(func() error { s.sayWhy(ctx); return nil })
	g.Go(func() error {
		<-ctx.Done()
		return s.stop()
	})
	return g.Wait()
}

// work makes the traces that no sender waits for, once there is a store to find them in.
func (s *service) work(ctx context.Context) {
	if s.awaitStart(ctx) {
		s.handler.Work(ctx)
	}
}

// post runs the relays until stop ends them: what the last exchange leaves behind may still go.
func (s *service) post() {
	var ctx context.Context
	ctx, s.stopPosting = context.WithCancel(context.Background())
	for _, r := range s.relays {
		s.posting.Go(func() { s.deliver(ctx, r) })
	}
}

func (s *service) serveMLLP() error {
	if err := s.mllp.Serve(s.mllpPort); !errors.Is(err, mllp.ErrServerClosed) {
		return err
	}
	return nil
}

// ready says why messages are not dealt with now, nil if they are.
func (s *service) ready() error {
	if s.stopping.Load() {
		return errors.New("the service is stopping")
	}
	if err := s.store.Ready(); err != nil {
		return fmt.Errorf("the store takes no commits: %w", err)
	}
	if s.hasStarted() {
		return nil
	}
	if why := s.refusal.Load(); why != nil {
		return fmt.Errorf("%w: %w", errNotRecorded, *why)
	}
	return errNotRecorded
}

// sayWhy logs why messages are not dealt with yet, once for each reason, until the start is
// recorded. Later the store speaks for itself.
func (s *service) sayWhy(ctx context.Context) {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	said := ""
	for {
		select {
		case <-again.C:
		case <-s.starting:
			return
		case <-ctx.Done():
			return
		}
		if err := s.ready(); err != nil && err.Error() != said {
			said = err.Error()
			s.log.Warn("not ready", "reason", said)
		}
	}
}

// awaitStart waits until the journal knows of this run. It returns false if that did not come to
// be, or ctx ended first.
func (s *service) awaitStart(ctx context.Context) bool {
	select {
	case <-s.starting:
	case <-ctx.Done():
	}
	return s.hasStarted()
}

// hasStarted tells whether the journal knows of this run.
func (s *service) hasStarted() bool {
	select {
	case <-s.starting:
		return s.started
	default:
		return false
	}
}

var errNotRecorded = errors.New("the start is not recorded yet")

// afterStart is a journal that takes no exchange before the row that says who writes it.
type afterStart struct {
	store.Journal
	service *service
}

// Commit implements [store.Journal].
func (j afterStart) Commit(ctx context.Context, c store.Commit) (store.Receipt, error) {
	if !j.service.hasStarted() {
		return store.Receipt{}, fmt.Errorf("%w: %w", store.ErrUnavailable, errNotRecorded)
	}
	return j.Journal.Commit(ctx, c)
}

// noticeBefore is how long before the store's partitions end somebody should hear of it.
const noticeBefore = 61 * 24 * time.Hour

// notice says what an operator should do soon, "" when there is nothing.
func (s *service) notice() string {
	return strings.Join(s.notices(), "; ")
}

func (s *service) notices() []string {
	n := s.certs.expiring(time.Now())
	if soon := s.partitionsEnd(); soon != "" {
		n = append(n, soon)
	}
	return n
}

// remind logs the notices every day: nobody may look at the admin pages.
func (s *service) remind(ctx context.Context) {
	daily := time.NewTicker(24 * time.Hour)
	defer daily.Stop()
	for {
		select {
		case <-daily.C:
			for _, n := range s.notices() {
				s.log.Warn("something should be done soon", "what", n)
			}
		case <-ctx.Done():
			return
		}
	}
}

// partitionsEnd says that the store's partitions end soon, "" when they do not.
func (s *service) partitionsEnd() string {
	p, ok := s.store.(interface{ PartitionsUntil() time.Time })
	if !ok {
		return ""
	}
	until := p.PartitionsUntil()
	if until.IsZero() || time.Until(until) > noticeBefore {
		return ""
	}
	return "the journal has partitions until " + until.Format(time.DateOnly) + ": run `spinetrace migrate up`"
}

// start waits for the store and records that the service runs. Messages that come before
// find a store that cannot commit, and are dealt with as that demands.
func (s *service) start(ctx context.Context) error {
	defer close(s.starting)
	err := s.store.Start(ctx)
	if err == nil {
		err = s.begin(ctx)
	}
	if err == nil {
		err = s.recover(ctx)
	}
	switch {
	case err == nil:
		s.started = true
		s.log.Info("store ready", "chain", s.cfg.Chain)
		s.warnOfStranded(ctx)
		return nil
	case ctx.Err() != nil:
		return nil // told to stop before the store came up
	case errors.Is(err, store.ErrChainInUse):
		return fmt.Errorf("%w; stop it, or give this instance a %sCHAIN of its own", err, prefix)
	}
	return err
}

// recover takes up what an earlier run of this instance left unanswered.
func (s *service) recover(ctx context.Context) error {
	return s.insist(ctx, func() error {
		n, err := s.handler.Recover(ctx, s.store, s.cfg.Chain)
		if n > 0 {
			s.log.Info("found messages that were not answered before the last stop", "messages", n)
		}
		if err != nil { // whatever it is, the service is not ready before it has passed
			err = fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
		return err
	})
}

// insist does what the start needs, again and again until the store takes it.
func (s *service) insist(ctx context.Context, do func() error) error {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		err := do()
		if !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		s.refusal.Store(&err)
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// startEntry is the first row of this run, with what it stands on.
func (s *service) startEntry(f footing) store.Entry {
	return store.Entry{Kind: store.Started, Facts: store.Facts{
		Version: thisBuild().String(), Host: hostname(), Config: f.digest, Details: f.details(),
	}}
}

// warned is one row for each thing that needs a reason.
func (s *service) warned() []store.Entry {
	var entries []store.Entry
	for _, reason := range s.warnings() {
		s.log.Warn("recorded as a warning", "reason", reason)
		entries = append(entries, store.Entry{Kind: store.Warned, Facts: store.Facts{Reason: reason}})
	}
	return entries
}

// warnings are what an auditor would ask about.
func (s *service) warnings() []string {
	var w []string
	if s.cfg.listenerTLS() == "off" && !loopback(s.cfg.MLLPAddr) {
		w = append(w, "the listener can be reached from other machines and has no TLS")
	}
	for _, p := range s.cfg.peers() {
		w = append(w, given(p.exposed())...)
	}
	if s.cfg.AllowWildcards {
		w = append(w, wildcardsNote)
	}
	if db, ok := s.store.(interface{ Privileged() bool }); ok && db.Privileged() {
		w = append(w, "the database login may change what it wrote: it owns the journal or is a superuser")
	}
	return append(w, s.certs.expiring(time.Now())...)
}

// wildcardsNote names whose duty it is that wildcards are used with care (TRCPDS-6, MSCA-PDS-07).
const wildcardsNote = prefix + "BACKEND_ALLOW_WILDCARDS lets wildcards through to searches, which may find the wrong patient: " +
	"the trust's clinical safety officer must have assessed that (MSCA-PDS-07, DCB0160)"

// record commits rows of the service itself.
func (s *service) record(ctx context.Context, entries []store.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := s.store.Commit(ctx, store.Commit{Entries: entries}); err != nil {
		return fmt.Errorf("record of the service: %w", err)
	}
	return nil
}

// stop finishes what is in hand, within DRAIN_TIMEOUT, and closes everything.
func (s *service) stop() error {
	s.stopping.Store(true)
	s.log.Info("stopping", "at_most", s.cfg.DrainTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	cut := s.mllp.Shutdown(ctx)
	<-s.worked
	<-s.accounted
	if cut = errors.Join(cut, s.handler.Drain(ctx)); cut != nil {
		s.log.Warn("exchanges were cut short", "err", cut)
	}
	<-s.starting // the store must not be closed while it starts
	s.stopPosting()
	s.posting.Wait()
	s.anchor(context.Background())
	err := errors.Join(s.end(context.Background()), s.store.Close())
	if c, ok := s.client.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
	closeHTTP(s.admin)
	s.log.Info("stopped")
	return err
}
