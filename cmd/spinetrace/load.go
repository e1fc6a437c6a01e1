package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"spinetrace/hl7v2"
	"spinetrace/mllp"
	"spinetrace/pds"
)

// loading is what `load` was asked to do.
type loading struct {
	addr        string
	tls         clientTLS
	event       string
	people      string // file; "": the project's own
	makePeople  int
	withNumber  bool
	connections int
	count       int64
	lasts       time.Duration
	rate        float64
	timeout     time.Duration
	json        bool
}

// load sends ADTs about invented people as fast as they are answered, or at a rate, and measures
// the answers.
func load(ctx context.Context, c console, args []string) error {
	var l loading
	fs := newFlags("load", "load [flags]\n\nSends ADTs of 0.6 KB about invented people, each with a control id of its own, over a number of\nconnections that each wait for an answer before they send again, and measures the answers.\nWith --rate a message's time counts from when it should have been sent.\n\nNot for a service that is in use: it writes down every message.")
	fs.StringVar(&l.addr, "addr", "127.0.0.1:2575", "`address` of the receiver")
	l.tls.flags(fs)
	fs.StringVar(&l.event, "event", "A28", "trigger `event` of the ADTs: A28 is traced, A03 is not, unless the service is set otherwise")
	fs.StringVar(&l.people, "people", "", "CSV `file` of people, as simulate --patients reads it; default the simulator's own")
	fs.IntVar(&l.makePeople, "make-people", 0, "print a file of so many invented `people` for --people and for simulate, and send nothing")
	fs.BoolVar(&l.withNumber, "numbers", false, "the ADTs hold the NHS number, so that it is verified; else it is searched for")
	fs.IntVar(&l.connections, "connections", 1, "`number` of connections")
	fs.Int64Var(&l.count, "count", 0, "send so many `messages`; 0: until --for is over")
	fs.DurationVar(&l.lasts, "for", 10*time.Second, "send for so long")
	fs.Float64Var(&l.rate, "rate", 0, "messages a second, over all connections; 0 means as fast as they are answered")
	fs.DurationVar(&l.timeout, "timeout", 30*time.Second, "longest wait for an answer")
	fs.BoolVar(&l.json, "json", false, "print one JSON object")
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	if l.connections < 1 || l.count < 0 || l.lasts <= 0 || l.rate < 0 || l.timeout <= 0 || l.makePeople < 0 || l.makePeople > mostPeople {
		return usageError(fmt.Sprintf("--connections, --for and --timeout must be positive, --count and --rate not negative, --make-people at most %d", mostPeople))
	}
	if l.makePeople > 0 {
		return writePeople(c.Out, l.makePeople)
	}
	return l.run(ctx, c.Out)
}

// mostPeople is how many NHS numbers begin with 999, about.
const mostPeople = 900_000

// writePeople writes a population file of invented people.
func writePeople(w io.Writer, n int) error {
	out := csv.NewWriter(w)
	err := out.Write([]string{"NHS_NUMBER", "DATE_OF_BIRTH", "FAMILY_NAME", "GIVEN_NAME", "GENDER", "ADDRESS_LINE_2", "ADDRESS_LINE_4", "POST_CODE"})
	for _, p := range invented(n) {
		err = errors.Join(err, out.Write([]string{
			p.NHSNumber.Digits(), p.BirthDate.Digits(), p.Family, p.Given[0], sexWords[p.Sex],
			p.Home.Lines[1], p.Home.Lines[3], p.Home.Postcode,
		}))
	}
	out.Flush()
	return errors.Join(err, out.Error())
}

var (
	sexWords   = map[pds.Sex]string{pds.SexMale: "Male", pds.SexFemale: "Female"} // as files of people have them
	sexLetters = map[pds.Sex]string{pds.SexMale: "M", pds.SexFemale: "F", pds.SexNotSpecified: "A", pds.SexNotKnown: "U"}
)

// invented makes up people whom no other resembles: numbers, names and birth dates all differ.
func invented(n int) []pds.Patient {
	var people []pds.Patient
	for i := 0; len(people) < n; i++ {
		number, ok := numbered(999_000_000 + i)
		if !ok {
			continue
		}
		born := time.Date(1930, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i%30_000)
		people = append(people, pds.Patient{
			NHSNumber: number, Family: "LOAD" + lettered(i), Given: []string{"TESTER"},
			Sex:       []pds.Sex{pds.SexMale, pds.SexFemale}[i%2],
			BirthDate: pds.Date{Year: born.Year(), Month: int(born.Month()), Day: born.Day()},
			Home:      pds.Address{Lines: [5]string{"", "1 MADEUP TERRACE", "", "LEEDS", ""}, Postcode: "LS99 1AA"},
		})
	}
	return people
}

// numbered returns the NHS number that begins with nine digits. There is none to one beginning in
// eleven.
func numbered(nine int) (n pds.NHSNumber, ok bool) {
	for check := range 10 {
		if n, err := pds.ParseNHSNumber(fmt.Sprintf("%09d%d", nine, check)); err == nil {
			return n, true
		}
	}
	return n, false
}

// lettered writes a number as letters, as a name may hold them.
func lettered(n int) string {
	return strings.Map(func(d rune) rune { return 'A' + d - '0' }, strconv.Itoa(n))
}

// read returns the people to send about.
func (l *loading) read() ([]pds.Patient, error) {
	people, err := readPeople(l.people)
	if err != nil {
		return nil, err
	}
	var all []pds.Patient
	for _, p := range people {
		all = append(all, p.Record)
	}
	if len(all) == 0 {
		return nil, errors.New("the file holds nobody")
	}
	return all, nil
}

// run sends, and prints what was measured. It returns an error if an answer was missing or other than
// AA or CA.
func (l *loading) run(ctx context.Context, w io.Writer) error {
	r, err := l.measure(ctx)
	if r.Messages+r.Unanswered > 0 {
		err = errors.Join(err, r.print(w, l.json))
	}
	if err != nil {
		return err
	}
	return r.judge()
}

// measure sends.
func (l *loading) measure(ctx context.Context) (loaded, error) {
	tlsConfig, err := l.tls.config()
	if err != nil {
		return loaded{}, err
	}
	people, err := l.read()
	if err != nil {
		return loaded{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.lasts)
	defer cancel()
	s := &stream{loading: l, people: people, run: newID()[:8], began: time.Now()}
	measures := make([]measure, l.connections)
	var g errgroup.Group
	for i := range measures {
		g.Go(func() error { return s.work(ctx, tlsConfig, &measures[i]) })
	}
	err = g.Wait()
	return s.sum(measures), err
}

// stream is the messages of one run.
type stream struct {
	*loading
	people []pds.Patient
	run    string // begins every control id
	began  time.Time
	next   atomic.Int64
}

// measure is what one connection saw.
type measure struct {
	took   []time.Duration
	acks   map[string]int
	failed int
}

// work sends over one connection until there is nothing more to send.
func (s *stream) work(ctx context.Context, tlsConfig *tls.Config, m *measure) error {
	m.acks = make(map[string]int)
	client := &mllp.Client{Addr: s.addr, TLSConfig: tlsConfig, AnswerTimeout: s.timeout, Match: sameControlID}
	defer func() { _ = client.Close() }() // every answer is in
	late := context.WithoutCancel(ctx)    // what was sent is answered
	for {
		n := s.next.Add(1) - 1
		if s.count > 0 && n >= s.count {
			return nil
		}
		from, ok := s.wait(ctx, n)
		if !ok {
			return nil
		}
		answer, err := client.Send(late, s.message(n))
		if err != nil {
			if m.failed++; m.failed > mostFailures {
				return fmt.Errorf("%d messages without an answer, the last: %w", m.failed, err)
			}
			continue
		}
		m.took = append(m.took, time.Since(from))
		m.acks[ackOf(answer)]++
	}
}

// mostFailures is after how many messages without an answer a connection gives up.
const mostFailures = 100

// wait returns when the nth message is to be sent, and from when its time counts; ok is false when
// the time is over.
func (s *stream) wait(ctx context.Context, n int64) (from time.Time, ok bool) {
	if s.rate == 0 {
		return time.Now(), ctx.Err() == nil
	}
	from = s.began.Add(time.Duration(float64(n) / s.rate * float64(time.Second)))
	due := time.NewTimer(time.Until(from))
	defer due.Stop()
	select {
	case <-due.C:
		return from, ctx.Err() == nil
	case <-ctx.Done():
		return from, false
	}
}

// ackOf returns MSA-1 of an answer.
func ackOf(answer []byte) string {
	m, err := hl7v2.Parse(answer)
	if err != nil {
		return "not HL7"
	}
	return m.Get(msa1)
}

// message is the nth ADT.
func (s *stream) message(n int64) []byte {
	i := n % int64(len(s.people))
	p := &s.people[i]
	now := time.Now().Format("20060102150405")
	var b bytes.Buffer
	fmt.Fprintf(&b, "MSH|^~\\&|LOAD|TEST|SPINETRACE|TEST|%s||ADT^%s|%s%012d|P|2.4||||||UNICODE UTF-8\rEVN|%s|%s|||CLERK1\r", now, s.event, s.run, n, s.event, now)
	number, status := "", "NSTS03"
	if s.withNumber {
		number, status = "~"+p.NHSNumber.Digits()+"^^^NHS^NH", "NSTS02"
	}
	given := strings.Join(p.Given[:min(1, len(p.Given))], "")
	fmt.Fprintf(&b, "PID|1||L%07d^^^TEST^MR%s||%s^%s^^^%s^^L||%s|%s|||%s^^%s^^%s^^H||01130000000^PRN^PH|||||||||||||||||||%s\r",
		i, number, p.Family, given, p.Title, p.BirthDate.Digits(), sexLetters[p.Sex],
		p.Home.Lines[1], p.Home.Lines[3], p.Home.Postcode, status)
	b.WriteString("NK1|1|LOAD^RELATIVE^^^MR^^L|SPO^Spouse|1 MADEUP TERRACE^^LEEDS^^LS99 1AA^^H|01130000001^PRN^PH|01130000002^WPN^PH|NOK^Next of kin\r")
	b.WriteString("PD1|||MADEUP MEDICAL CENTRE^^Z99901\rPV1|1|O|CLINIC1^^^TEST||||G9999999^MADEUP^DOCTOR|||||||||||V000001\r")
	return b.Bytes()
}

// loaded is what a run came to, for a program.
type loaded struct {
	Messages    int            `json:"messages"`
	Seconds     float64        `json:"seconds"`
	PerSecond   float64        `json:"per_second"`
	Connections int            `json:"connections"`
	P50         float64        `json:"p50_ms"`
	P90         float64        `json:"p90_ms"`
	P99         float64        `json:"p99_ms"`
	Max         float64        `json:"max_ms"`
	Acks        map[string]int `json:"acks"`
	Unanswered  int            `json:"unanswered"`
}

// sum adds up what the connections saw.
func (s *stream) sum(measures []measure) loaded {
	r := loaded{Seconds: time.Since(s.began).Seconds(), Connections: s.connections, Acks: make(map[string]int)}
	var took []time.Duration
	for _, m := range measures {
		took = append(took, m.took...)
		r.Unanswered += m.failed
		for ack, n := range m.acks {
			r.Acks[ack] += n
		}
	}
	slices.Sort(took)
	r.Messages, r.PerSecond = len(took), float64(len(took))/r.Seconds
	r.P50, r.P90, r.P99, r.Max = quantile(took, 0.5), quantile(took, 0.9), quantile(took, 0.99), quantile(took, 1)
	return r
}

func (r loaded) judge() error {
	if bad := r.Messages - r.Acks["AA"] - r.Acks["CA"] + r.Unanswered; bad > 0 || r.Messages == 0 {
		return fmt.Errorf("%d messages were not answered AA or CA", bad)
	}
	return nil
}

// quantile returns the time that a share of sorted times does not exceed, in milliseconds.
func quantile(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := min(int(share*float64(len(sorted))), len(sorted)-1)
	return float64(sorted[i].Microseconds()) / 1000
}

func (r loaded) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return encodeJSON(w, r)
	}
	var acks []string
	for _, ack := range slices.Sorted(maps.Keys(r.Acks)) {
		acks = append(acks, fmt.Sprintf("%d %s", r.Acks[ack], ack))
	}
	_, err := fmt.Fprintf(w, "%d answers in %.1f s over %d connections: %.0f a second\np50 %.2f ms, p90 %.2f ms, p99 %.2f ms, longest %.2f ms\n%s; %d without an answer\n",
		r.Messages, r.Seconds, r.Connections, r.PerSecond, r.P50, r.P90, r.P99, r.Max, strings.Join(acks, ", "), r.Unanswered)
	return err
}
