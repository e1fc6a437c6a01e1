package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"spinetrace/store"
)

// troupe is who the exchanges are about and whom they come from. Each draws from the seed and its
// own number alone, so that the same seed makes the same exchanges.
type troupe struct {
	patterns []pattern
	numbers  []string // of the patients, and behind them former ones
	patients int
	seed     uint64
	bodies   bool
}

// perPatient is how many exchanges there are for each patient: between 5 and 25, nearly always.
const perPatient = 15

// mostExchanges is how many the numbers suffice for.
const mostExchanges = mostNumbers * perPatient * 9 / 10

func newTroupe(patterns []pattern, exchanges int, seed uint64, bodies bool) *troupe {
	patients := max(1, exchanges/perPatient)
	former := patients/10 + 1
	all := inventNumbers(patients + former + 2)
	return &troupe{patterns, all[2:], patients, seed, bodies} // the first two are the rehearsed patient's
}

// senders are the values of MSH-3, the busiest first.
var senders = []string{"PAS", "PAS", "PAS", "PAS", "PAS", "MATERNITY", "MATERNITY", "THEATRE", "PORTAL", "RIS"}

// endpoint is of nobody's provider.
const endpoint = "https://smsp.example/smsp/pds"

// users are how many values EVN-5 has.
const users = 400

// performance is one exchange: a pattern, and whom it is about this time.
type performance struct {
	*pattern
	id     store.ID
	key    store.PatientKey
	print  store.Print // sets this patient's prints apart
	letter int64
	bodies bool
	random *rand.Rand
	words  *strings.Replacer
}

// exchange makes the nth exchange, which begins at a time.
func (t *troupe) exchange(n int64, at time.Time) *performance {
	source := rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%d %d", t.seed, n)))
	random := rand.New(source)
	patient := random.IntN(t.patients)
	p := &performance{
		pattern: t.draw(random), id: store.FirstID(at), letter: n + 1, bodies: t.bodies, random: random,
		key: store.PatientKey{Authority: "RXX01", LocalID: fmt.Sprintf("L%07d", patient)},
	}
	_, _ = source.Read(p.id[6:]) // it never fails
	p.id[6], p.id[8] = 0x70|p.id[6]&0x0F, 0x80|p.id[8]&0x3F
	binary.BigEndian.PutUint64(p.print[:], uint64(patient))
	p.words = strings.NewReplacer(append(p.ids(source),
		wordApplication, senders[random.IntN(len(senders))],
		wordControlID, fmt.Sprintf("M%010d", n),
		wordAnswerID, fmt.Sprintf("ST%010d", n),
		wordUser, fmt.Sprintf("USER%03d", random.IntN(users)),
		wordLocalID, p.key.LocalID,
		wordFamily, "MADEUP"+letters(patient),
		wordBorn, time.Date(1930, 1, 1+patient%30_000, 0, 0, 0, 0, time.UTC).Format("20060102"),
		wordTime, at.Format("20060102150405"),
		wordXMLTime, at.Format("2006-01-02T15:04:05"),
		p.endpoint, endpoint,
		numbers.current, t.numbers[patient],
		numbers.former, t.numbers[t.patients+patient%(len(t.numbers)-t.patients)],
	)...)
	return p
}

// draw chooses what happens.
func (t *troupe) draw(random *rand.Rand) *pattern {
	at := random.IntN(1000)
	for i := range t.patterns {
		if at -= t.patterns[i].share; at < 0 {
			return &t.patterns[i]
		}
	}
	return &t.patterns[0]
}

// ids pairs the ids of the pattern with new ones of the same form.
func (p *performance) ids(random *rand.ChaCha8) (pairs []string) {
	for _, old := range p.fresh {
		fresh := uuid.Must(uuid.NewRandomFromReader(random))
		made := strings.ToUpper(fresh.String())
		if len(old) != len(made) {
			made = strings.ToUpper(fmt.Sprintf("ST%x", fresh[:]))[:min(len(old), 2+2*len(fresh))]
		}
		pairs = append(pairs, old, made)
	}
	return pairs
}

// letters writes a number as letters, as a name may hold them.
func letters(n int) string {
	return strings.Map(func(d rune) rune { return 'A' + d - '0' }, fmt.Sprint(n))
}

// play commits what the pattern has committed.
func (p *performance) play(ctx context.Context, j store.Journal, now func() time.Time) error {
	for _, c := range p.commits {
		if _, err := j.Commit(ctx, p.commit(c, now())); err != nil {
			return err
		}
	}
	return nil
}

// commit makes the commit of this exchange out of the rehearsed one. Claims, letters and work are
// cleared away when they are some days old: they are left out.
func (p *performance) commit(c store.Commit, now time.Time) store.Commit {
	made := store.Commit{Exchange: p.id, Open: p.opening(c.Open), Close: p.closing(c.Close), Late: p.closing(c.Late)}
	for _, e := range c.Entries {
		made.Entries = append(made.Entries, p.entry(e))
	}
	for _, one := range c.Patients {
		made.Patients = append(made.Patients, p.patient(one, now))
	}
	for _, i := range c.Items {
		i.Exchange, i.Patient, i.NHSNumber = p.id, p.key, p.words.Replace(i.NHSNumber)
		i.Subject, i.Doc = p.words.Replace(i.Subject), p.words.Replace(i.Doc)
		made.Items = append(made.Items, i)
	}
	return made
}

func (p *performance) opening(o *store.Opening) *store.Opening {
	if o == nil {
		return nil
	}
	return &store.Opening{
		Application: p.words.Replace(o.Application), Facility: o.Facility, ControlID: p.words.Replace(o.ControlID), Type: o.Type,
		LocalID: p.words.Replace(o.LocalID), NHSNumber: p.words.Replace(o.NHSNumber), User: p.words.Replace(o.User),
	}
}

func (p *performance) closing(c *store.Closing) *store.Closing {
	if c == nil {
		return nil
	}
	return &store.Closing{Outcome: c.Outcome, NHSNumber: p.words.Replace(c.NHSNumber), Forget: c.Forget}
}

func (p *performance) entry(e store.Entry) store.Entry {
	f := &e.Facts
	for _, text := range []*string{
		&f.Application, &f.ControlID, &f.User, &f.LocalID, &f.NHSSent, &f.NHSFound,
		&f.Endpoint, &f.MessageID, &f.TrackingID, &f.PayloadID, &f.AnswerID,
	} {
		*text = p.words.Replace(*text)
	}
	if e.Kind == store.Answered || e.Kind == store.Tried { // a rehearsal's clock stands still
		f.TookMicros = 20_000 + p.random.Int64N(300_000)
	}
	if f.Letter > 0 {
		f.Letter = p.letter
	}
	parts := slices.Clone(e.Parts)
	if e.Parts = nil; p.bodies {
		for i := range parts {
			parts[i].Data = []byte(p.words.Replace(string(parts[i].Data)))
		}
		e.Parts = parts
	}
	return e
}

// patient is an entry of the index: parts that are not set stay so.
func (p *performance) patient(one store.Patient, now time.Time) store.Patient {
	one.Key = p.key
	if told := &one.Told; !told.At.IsZero() {
		told.At, told.Exchange, told.Print = now, p.id, p.stamped(told.Print)
		told.NHSNumber, told.Doc = p.words.Replace(told.NHSNumber), p.words.Replace(told.Doc)
	}
	if found := &one.Found; !found.At.IsZero() {
		found.At, found.Exchange, found.Print = now, p.id, p.stamped(found.Print)
		found.NHSNumber = p.words.Replace(found.NHSNumber)
	}
	return one
}

// stamped returns a print that is this patient's alone.
func (p *performance) stamped(print store.Print) store.Print {
	for i := range print {
		print[i] ^= p.print[i]
	}
	return print
}
