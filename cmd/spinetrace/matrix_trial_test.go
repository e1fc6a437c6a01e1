package main

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	runtimemetrics "runtime/metrics"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"spinetrace/hl7v2"
	"spinetrace/mllp"
	"spinetrace/pds/pdsfhir"
	"spinetrace/pds/pdsfhir/pdsfhirtest"
	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
	"spinetrace/smsp/smsptest"
	"spinetrace/store"
)

// matrix is what all trials share.
type matrix struct {
	dir     string
	people  *pdstest.Population
	owners  map[string][]*pdstest.Person
	key     *rsa.PrivateKey
	keyFile string
	ca      string                     // file of the authority that is trusted
	certs   map[string]tls.Certificate // by a trial's tls
	plants  atomic.Int64               // answers of back ends with a planted word in them
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	people := pdstest.People()
	trusted, stranger := newAuthority(t), newAuthority(t)
	now := time.Now()
	good := trusted.issue(t, "spine.example.nhs.uk", now.Add(time.Hour))
	m := &matrix{
		dir: t.TempDir(), people: people, owners: words(people), key: pdsfhirtest.NewKey(t), ca: trusted.file,
		certs: map[string]tls.Certificate{
			"good": good, "other name": good,
			"expired":         trusted.issue(t, "spine.example.nhs.uk", now.Add(-time.Hour)),
			"other authority": stranger.issue(t, "spine.example.nhs.uk", now.Add(time.Hour)),
		},
	}
	m.keyFile = filepath.Join(m.dir, "key.pem")
	if err := os.WriteFile(m.keyFile, privatePEM(m.key), 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

// result is what became of a trial.
type result struct {
	adt, query seen
	took       [2]time.Duration // until each was answered
	ended      string           // how the last call for the ADT ended
	memory     string
	expected   expected
	faults     []string
}

func (r *result) blame(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// compare checks what senders saw against the row.
func (r *result) compare() {
	if r.adt != r.expected.adt {
		r.blame("the ADT was told %q after %d calls, want %q after %d", r.adt.answer, r.adt.calls, r.expected.adt.answer, r.expected.adt.calls)
	}
	if r.query != r.expected.query {
		r.blame("the query was told %q after %d calls, want %q after %d", r.query.answer, r.query.calls, r.expected.query.answer, r.expected.query.calls)
	}
}

func (r *result) row(t trial) string {
	verdict := "yes"
	if len(r.faults) > 0 {
		verdict = "NO"
	}
	cost := func(n int) string {
		return fmt.Sprintf("%d in %v", []seen{r.adt, r.query}[n].calls, r.took[n].Round(time.Millisecond))
	}
	ended, _, _ := strings.Cut(r.ended, ";")
	told, _, _ := strings.Cut(r.adt.answer, ";")
	return strings.Join([]string{t.backend, t.fault, told, cost(0), r.query.answer, cost(1), ended, r.memory, verdict}, "\t")
}

// playing is one trial under way.
type playing struct {
	*matrix
	trial
	result
	cfg config
	sim simulated
	log *logBuffer
	s   *service
}

func privatePEM(key *rsa.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

// simulated is either simulator.
type simulated interface {
	Start(ln net.Listener, config *tls.Config) error
	Close() error
	Asked() int
}

// run plays one trial to its end.
func (m *matrix) run(ctx context.Context, t trial) result {
	p := &playing{matrix: m, trial: t, log: new(logBuffer)}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := p.play(ctx); err != nil {
		p.blame("%v", err)
	}
	return p.result
}

func (p *playing) play(ctx context.Context) error {
	if err := p.configure(); err != nil {
		return err
	}
	if err := p.simulate(); err != nil {
		return err
	}
	err := p.serve(ctx)
	return errors.Join(err, p.sim.Close())
}

// configure makes the settings of the trial: the defaults, or with more patience than a
// sender has, so that nothing depends on how busy the machine is.
func (p *playing) configure() error {
	var err error
	if p.cfg, err = defaultConfig(); err != nil {
		return err
	}
	c := &p.cfg
	dir, err := os.MkdirTemp(p.dir, "trial")
	if err != nil {
		return err
	}
	c.ODS, c.Backend, c.Store = "RXX", p.backend, Secret{"sqlite:" + filepath.Join(dir, "journal.db")}
	c.MLLPAddr, c.AdminAddr, c.RetraceAfter = "127.0.0.1:0", "127.0.0.1:0", 0
	c.DrainTimeout = time.Minute
	if !*matrixFull {
		c.BackendAttempts, c.BackendTimeout = 2, 30*time.Second
		c.ReplyBudget, c.CommitTimeout = 40*time.Second, 20*time.Second
	}
	if p.tls != "" {
		c.SMSPCA, c.PDSCA = p.ca, p.ca
	}
	if p.tls == "other name" {
		c.SMSPServerName, c.PDSServerName = "other.example.nhs.uk", "other.example.nhs.uk"
	}
	if p.set != nil {
		p.set(c)
	}
	p.expected = p.expect()
	return nil
}

// expect fills in what the settings decide: how many attempts there are, and that the
// breaker opens after five failures in a row.
func (p *playing) expect() expected {
	const threshold = 5
	e := p.want
	if e.adt.calls == attempts {
		e.adt.calls = p.cfg.BackendAttempts
	}
	switch e.query.calls {
	case attempts:
		e.query.calls = min(p.cfg.BackendAttempts, threshold-e.adt.calls)
	case allAttempts:
		e.query.calls = p.cfg.BackendAttempts
	}
	return e
}

// simulate starts the simulator and points the settings at it.
func (p *playing) simulate() error {
	var faults []simulator.Fault
	switch p.do {
	case "", "gone":
	case "slow":
		faults = []simulator.Fault{{Delay: 3*p.cfg.ReplyBudget/2 + time.Second}}
	default:
		faults = p.rows()
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var conf *tls.Config
	if cert, ok := p.certs[p.tls]; ok {
		conf = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	}
	addr := ln.Addr().String()
	if p.backend == "smsp" {
		p.sim = smsptest.New(p.people, faults...)
		p.cfg.SMSPURL, err = p.address(addr, "/smsp/pds")
	} else {
		fhir := pdsfhirtest.New(p.people, faults...)
		p.cfg.PDSTokenURL = pdsfhir.NoTokens
		if p.tokens {
			fhir.Keys = map[string]*rsa.PublicKey{simulatedKid: &p.key.PublicKey}
			p.cfg.PDSTokenURL, p.cfg.PDSAPIKey, p.cfg.PDSKeyID, p.cfg.PDSKeyFile = "", Secret{simulatedKey}, simulatedKid, p.keyFile
		}
		p.sim = fhir
		p.cfg.PDSURL, err = p.address(addr, "/personal-demographics/FHIR/R4")
	}
	if p.do == "gone" {
		return errors.Join(err, ln.Close())
	}
	return errors.Join(err, p.sim.Start(ln, conf))
}

// rows are the fault rows of the trial.
func (p *playing) rows() []simulator.Fault {
	if p.backend == "smsp" || p.op != "" {
		return []simulator.Fault{{Operation: p.op, Do: p.do}}
	}
	return []simulator.Fault{{Operation: simulator.Read, Do: p.do}, {Operation: simulator.Search, Do: p.do}}
}

func (p *playing) address(addr, path string) (URL, error) {
	scheme := "http://"
	if p.tls != "" {
		scheme = "https://"
	}
	u, err := url.Parse(scheme + addr + path)
	return URL{u}, err
}

// serve runs the service while its two messages are dealt with, and judges log and journal.
func (p *playing) serve(ctx context.Context) (err error) {
	if p.s, err = newService(p.cfg, newLogger(p.log, slog.LevelDebug)); err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- p.s.run(serving) }()
	err = p.converse(ctx)
	if err == nil {
		_, err = store.Verify(ctx, p.s.store, p.cfg.Chain, true, nil)
	}
	if err == nil {
		_, err = store.VerifyRows(ctx, p.s.store, func(m store.Mismatch) { p.blame("%+v", m) }, nil)
	}
	stop()
	err = errors.Join(err, <-done)
	p.checkLeaks("log", p.log.String())
	p.checkReached()
	return err
}

// checkReached checks that the simulator has seen the calls that the journal has, and no
// others.
func (p *playing) checkReached() {
	reached, want := p.sim.Asked(), p.adt.calls+p.query.calls
	if fhir, ok := p.sim.(*pdsfhirtest.Server); ok {
		reached += fhir.Tokens()
	}
	if p.do == "gone" || p.tls != "" && p.tls != "good" {
		want = 0 // nobody was there to see them, or they ended in the handshake
	}
	if reached != want {
		p.blame("%d calls reached the back end, %d are in the journal", reached, want)
	}
}

// converse sends the ADT and, when all is done about it, the query.
func (p *playing) converse(ctx context.Context) error {
	select {
	case <-p.s.starting:
	case <-ctx.Done():
		return ctx.Err()
	}
	client := &mllp.Client{Addr: p.s.mllpPort.Addr().String(), AnswerTimeout: 2 * time.Minute}
	defer func() { _ = client.Close() }() // every answer is in
	memory := newGauge(p.alone)
	defer memory.stop()
	for i, f := range []form{traced[1], queries[1]} {
		m := f.write(fmt.Sprintf("M%d", i), "PAS", p.people.At(0))
		start := time.Now()
		reply, err := client.Send(ctx, m.bytes)
		if err != nil {
			return err
		}
		p.took[i] = time.Since(start)
		told, err := p.told(m, reply)
		if err != nil {
			return err
		}
		calls, err := p.recorded(ctx, m)
		if err != nil {
			return err
		}
		*[]*seen{&p.adt, &p.query}[i] = seen{told, calls}
	}
	if p.alone {
		p.judgeMemory(memory.stop())
	}
	return nil
}

// told is what an answer says, in two words.
func (p *playing) told(m message, reply []byte) (string, error) {
	a, err := read(m, reply)
	if err != nil {
		return "", err
	}
	if !p.another && p.foreign(a) {
		p.blame("the answer to the %s tells of another patient", m.kind)
	}
	p.checkPlanted("answer to the "+m.kind, string(reply))
	r, err := hl7v2.Parse(reply)
	switch {
	case err != nil:
		return "", err
	case !m.query:
		return a.code + " " + a.text, nil
	case a.code == "AA":
		return a.code + " " + r.Get(pathQAK2), nil
	}
	return a.code + " " + r.Get(pathERR3), nil
}

// foreign tells whether an answer has a word that belongs to another patient, and that the
// message did not have itself.
func (m *matrix) foreign(a answered) bool {
	asked := hl7Marks.Split(string(a.bytes), -1)
	return slices.ContainsFunc(hl7Marks.Split(string(a.answer), -1), func(w string) bool {
		of := m.owners[w]
		return len(of) > 0 && !slices.Contains(asked, w) && !holds(of, a.person)
	})
}

var (
	pathQAK2 = hl7v2.MustPath("QAK-2")
	pathERR3 = hl7v2.MustPath("ERR-3.1")
)

// recorded waits until all is done about a message, and checks that the journal has each of
// its calls and how it ended.
func (p *playing) recorded(ctx context.Context, m message) (calls int, err error) {
	s, err := p.await(ctx, m)
	if err != nil {
		return 0, err
	}
	open := false
	for i, e := range s.events {
		switch f := s.facts[i]; {
		case e.Kind == store.Asked && !open:
			calls, open = calls+1, true
		case e.Kind == store.Answered && open:
			open = false
			if !m.query {
				p.ended = strings.TrimSpace(fmt.Sprintf("%s %s", cmp.Or(strings.TrimPrefix(fmt.Sprint(f.Status), "0"), "no answer"), f.Code)) + ": " + f.Reason
			}
			if err := p.countPlants(ctx, e); err != nil {
				return calls, err
			}
		case e.Kind == store.Asked, e.Kind == store.Answered:
			p.blame("the journal of the %s has calls and ends that do not alternate: %s", m.kind, s.told())
		}
	}
	if s.count(store.Received)+s.count(store.Exchanged) != 1 {
		p.blame("the journal has the %s not once: %s", m.kind, s.told())
	}
	return calls, nil
}

// await returns what the journal holds of a message, once nothing is to come.
func (p *playing) await(ctx context.Context, m message) (*story, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := p.story(ctx, m)
		if err != nil || s.over() {
			return s, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("the %s never ends: %s", m.kind, s.told())
		}
	}
}

// over tells whether an exchange was answered, and finished if the answer did not wait for
// the trace.
func (s *story) over() bool {
	if !s.ended() {
		return false
	}
	replied := slices.IndexFunc(s.events, func(e store.Event) bool { return e.Kind == store.Replied })
	if replied < 0 {
		return true // nobody was asked
	}
	before := story{events: s.events[:replied]}
	open := before.count(store.Asked) - before.count(store.Answered)
	return s.count(store.Finished) > 0 || open == 0 && s.facts[replied].Reason != "reply was due"
}

func (p *playing) story(ctx context.Context, m message) (*story, error) {
	found, err := p.s.store.Search(ctx, store.Search{ControlID: m.controlID, Limit: 10})
	if err != nil {
		return nil, err
	}
	s := new(story)
	for _, x := range found {
		for e, err := range p.s.store.Events(ctx, store.Query{Exchange: x.ID}) {
			if err != nil {
				return nil, err
			}
			facts, err := e.Facts()
			if err != nil {
				return nil, err
			}
			s.events, s.facts = append(s.events, e), append(s.facts, facts)
		}
	}
	return s, nil
}

// planted are words that the simulators put into faults, web pages and floods.
var planted = []string{"THE SIMULATOR", "SESSION HAS EXPIRED", "BOOM", "AAAAAAAA", "<HTML", "NOT SPINE"}

// countPlants counts an answer of the back end with a planted word: it stands in the journal.
func (p *playing) countPlants(ctx context.Context, answered store.Event) error {
	parts, _, err := p.s.store.Parts(ctx, answered)
	if body, ok := store.FindPart(parts, store.Response); ok && hasPlanted(string(body)) != "" {
		p.plants.Add(1)
	}
	return err
}

// hasPlanted returns the first of the planted words that a text has, or "".
func hasPlanted(text string) string {
	text = strings.ToUpper(text)
	for _, w := range planted {
		if strings.Contains(text, w) {
			return w
		}
	}
	return ""
}

func (p *playing) checkPlanted(what, text string) {
	if w := hasPlanted(text); w != "" {
		p.blame("the %s repeats %q", what, w)
	}
}

// checkLeaks checks that a text for operators repeats neither a patient nor the back end.
func (p *playing) checkLeaks(what, text string) {
	p.checkPlanted(what, text)
	if text == "" {
		p.blame("the %s is empty: nothing is proved", what)
	}
	for _, w := range leaked(p.owners, text) {
		p.blame("the %s holds %q, which is somebody's", what, w)
	}
}

// mostMemory is what a trial may add to the heap: some answers of the longest kind that is
// read, 1 MiB, and what reading them leaves to the collector. An answer of 50 MB is more.
const mostMemory = 40 << 20

func (p *playing) judgeMemory(most uint64) {
	p.memory = fmt.Sprintf("+%.1f MiB", float64(most)/(1<<20))
	if most > mostMemory {
		p.blame("the heap grew by %s", p.memory)
	}
}

// gauge watches how the heap grows.
type gauge struct {
	quit, done chan struct{}
	most       uint64
}

func newGauge(wanted bool) *gauge {
	g := &gauge{quit: make(chan struct{}), done: make(chan struct{})}
	if !wanted {
		close(g.done)
		return g
	}
	runtime.GC()
	before := heapNow()
	go func() {
		defer close(g.done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			if now := heapNow(); now > before {
				g.most = max(g.most, now-before)
			}
			select {
			case <-tick.C:
			case <-g.quit:
				return
			}
		}
	}()
	return g
}

// stop returns how many bytes the heap grew by at most.
func (g *gauge) stop() uint64 {
	select {
	case <-g.quit:
	default:
		close(g.quit)
	}
	<-g.done
	return g.most
}

func heapNow() uint64 {
	s := []runtimemetrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	runtimemetrics.Read(s)
	return s[0].Value.Uint64()
}
