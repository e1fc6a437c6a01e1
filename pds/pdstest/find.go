package pdstest

import (
	"iter"
	"slices"
	"strings"
	"time"

	"spinetrace/pds"
)

// Query asks for every record that agrees with all of it. What is empty is not asked. In
// names and postcodes "*" stands for any letters.
type Query struct {
	Family   string
	Given    []string // in order; the first may be the beginning of one that is held, or the reverse
	Born     Span
	Died     Span
	Sex      pds.Sex // only male and female can disagree
	Postcode string  // hides restricted records, and so does Practice
	Practice string
	Phone    string
	Email    string

	History bool // former family names and postcodes count too
	Fuzzy   bool // names that sound alike, or are swapped, count too; implies History
	Exact   bool // nothing but a score of 1

	// Superseded says that what a superseded record says finds its survivor.
	Superseded bool
}

// Span is a range of days, ends included; an end that is not known is open. A partial date
// stands for all of its days.
type Span struct{ From, To pds.Date }

// Hit is a record that a [Query] found.
type Hit struct {
	Person *Person
	Score  float64 // 1 when all that was asked is held literally; less for each liberty taken
}

// The scores of pds-fhir.md section 5 that a hit has for its greatest liberty.
const (
	scoreLiteral = 1.0
	scoreWild    = 0.96
	scoreFolded  = 0.95 // punctuation, accents, or the beginning of a given name
	scoreFormer  = 0.93
	scoreFuzzy   = 0.88
)

// Find returns the records that agree with q, each once. Superseded and invalidated ones
// are never among them.
func (p *Population) Find(q Query) []Hit {
	var hits []Hit
	asked := newPattern(q)
	for e := range p.candidates(asked) {
		score, who := e.score(asked), p.survivor(e)
		switch {
		case score == 0, q.Exact && score < scoreLiteral:
		case who.Invalidated, who.Restricted && asked.located(), found(hits, who):
		default:
			hits = append(hits, Hit{&who.Person, score})
		}
	}
	return hits
}

func found(hits []Hit, who *entry) bool {
	return slices.ContainsFunc(hits, func(h Hit) bool { return h.Person == &who.Person })
}

// candidates yields the records that a query may find: those of the family name, if it is
// written out, else all.
func (p *Population) candidates(q *pattern) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		if q.family.literal() && !q.Fuzzy {
			for _, e := range p.byFamily[q.family[0]] {
				if (e.SupersededBy.IsZero() || q.Superseded) && !yield(e) {
					return
				}
			}
			return
		}
		for i := range p.entries {
			if e := &p.entries[i]; (e.SupersededBy.IsZero() || q.Superseded) && !yield(e) {
				return
			}
		}
	}
}

// pattern is a Query with its texts as they are compared.
type pattern struct {
	Query
	family, postcode wild
	given            []wild // by word
	born, died       interval
}

func newPattern(q Query) *pattern {
	p := &pattern{
		Query:    q,
		family:   newWild(q.Family, normalise),
		postcode: newWild(q.Postcode, squeeze),
		born:     interval{intervalOf(q.Born.From).first, intervalOf(q.Born.To).last},
		died:     interval{intervalOf(q.Died.From).first, intervalOf(q.Died.To).last},
	}
	p.History = p.History || p.Fuzzy
	for _, name := range q.Given {
		for word := range strings.FieldsSeq(name) {
			p.given = append(p.given, newWild(word, normalise))
		}
	}
	return p
}

// located tells of a query that must not find restricted records: it would tell where
// they live.
func (q *pattern) located() bool { return q.Postcode != "" || q.Practice != "" }

// score tells how well the record agrees: 0 not at all.
func (e *entry) score(q *pattern) float64 {
	if opposite(q.Sex, e.Record.Sex) ||
		!q.born.holds(e.born) || !q.died.holds(e.died) ||
		q.Practice != "" && q.Practice != e.Record.PracticeCode ||
		q.Phone != "" && q.Phone != e.Record.Phone && q.Phone != e.Record.Mobile ||
		q.Email != "" && !strings.EqualFold(q.Email, e.Record.Email) {
		return 0
	}
	names := min(e.scoreFamily(q), e.scoreGiven(q))
	if names == 0 && q.Fuzzy {
		names = e.scoreSound(q)
	}
	return min(names, e.scorePostcode(q))
}

func (e *entry) scoreFamily(q *pattern) float64 {
	if q.family == nil {
		return scoreLiteral
	}
	for i, held := range e.families {
		switch {
		case i > 0 && !q.History:
			return 0
		case !q.family.matches(held):
		case i > 0:
			return scoreFormer
		case !q.family.literal():
			return scoreWild
		case !strings.EqualFold(q.Family, e.Record.Family):
			return scoreFolded
		default:
			return scoreLiteral
		}
	}
	return 0
}

// scoreGiven compares the first word more loosely than the rest.
func (e *entry) scoreGiven(q *pattern) float64 {
	score := scoreLiteral
	for i, asked := range q.given {
		switch {
		case slices.ContainsFunc(e.given, asked.matches):
			if !asked.literal() {
				score = min(score, scoreWild)
			}
		case i == 0 && asked.literal() && e.hasGiven(asked[0]):
			score = min(score, scoreFolded)
		default:
			return 0
		}
	}
	return score
}

func (e *entry) scorePostcode(q *pattern) float64 {
	if q.postcode == nil {
		return scoreLiteral
	}
	for i, held := range e.postcodes {
		switch {
		case i > 0 && !q.History:
			return 0
		case held == "" || !q.postcode.matches(held):
		case i > 0:
			return scoreFormer
		case !q.postcode.literal():
			return scoreWild
		default:
			return scoreLiteral
		}
	}
	return 0
}

// scoreSound compares names by their sound, also family name with given name.
func (e *entry) scoreSound(q *pattern) float64 {
	family, given := soundex(q.Family), ""
	if len(q.given) > 0 {
		given = soundex(q.given[0][0])
	}
	alike := func(asked string, held []string) bool {
		return asked == "" || slices.ContainsFunc(held, func(name string) bool { return soundex(name) == asked })
	}
	if alike(family, e.families) && alike(given, e.given) ||
		family != "" && given != "" && alike(family, e.given) && alike(given, e.families) {
		return scoreFuzzy
	}
	return 0
}

// wild is a text cut at its wildcards: one part when it has none, nil when it is empty.
type wild []string

func newWild(s string, prepare func(string) string) wild {
	if s == "" {
		return nil
	}
	parts := strings.Split(s, "*")
	for i := range parts {
		parts[i] = prepare(parts[i])
	}
	return parts
}

func (w wild) literal() bool { return len(w) == 1 }

// matches tells whether s is the parts with any letters between them.
func (w wild) matches(s string) bool {
	if w.literal() {
		return s == w[0]
	}
	s, ok := strings.CutPrefix(s, w[0])
	for _, part := range w[1 : len(w)-1] {
		_, after, found := strings.Cut(s, part)
		s, ok = after, ok && found
	}
	return ok && strings.HasSuffix(s, w[len(w)-1])
}

// interval is a range of days as YYYYMMDD; "" is an open end, or no date at all.
type interval struct{ first, last string }

func intervalOf(d pds.Date) interval {
	if d.IsZero() {
		return interval{}
	}
	first := time.Date(d.Year, time.Month(max(d.Month, 1)), max(d.Day, 1), 0, 0, 0, 0, time.UTC)
	next := first.AddDate(0, 0, 1)
	if d.Day == 0 {
		next = first.AddDate(0, 1, 0)
	}
	if d.Month == 0 {
		next = first.AddDate(1, 0, 0)
	}
	return interval{first.Format("20060102"), next.AddDate(0, 0, -1).Format("20060102")}
}

// holds tells whether every day that a record may mean lies in the range.
func (i interval) holds(held interval) bool {
	if i == (interval{}) {
		return true
	}
	return held.first != "" && held.first >= i.first && (i.last == "" || held.last <= i.last)
}

// soundex is the four-character code of American Soundex; letters beyond A to Z are passed
// over. "" has no code.
func soundex(name string) string {
	const codes = "01230120022455012623010202" // of A to Z
	code, last := make([]byte, 0, 4), byte('0')
	for _, r := range normalise(name) {
		if r < 'A' || r > 'Z' {
			continue
		}
		digit := codes[r-'A']
		switch {
		case len(code) == 0:
			code = append(code, byte(r))
		case digit != '0' && digit != last && len(code) < 4:
			code = append(code, digit)
		}
		if r != 'H' && r != 'W' {
			last = digit
		}
	}
	if len(code) == 0 {
		return ""
	}
	return string(append(code, "000"[:4-len(code)]...))
}
