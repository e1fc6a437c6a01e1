package exchange_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"spinetrace/exchange"
	"spinetrace/pds"
	"spinetrace/store"
)

// What TestPolicy allows, from the contract and the specification alone. The journal is read as an
// auditor would: event by event.

// story is what the journal says of one exchange.
type story struct {
	id      string
	serial  int // in the order of the journal
	at      time.Time
	control string
	text    string
	replies []string
	asked   int
	decided []string // the outcomes with a decision
	letters []*letter
	results []result
	pending bool // it was answered before its trace had ended
	ended   bool // that trace has, or is parked
	shots   []shot
	query   *question22
	echo    *echo
}

// result is one that was decided on.
type result struct {
	status, number, items string
	at                    time.Time
}

// letter is an update that was put into the outbox.
type letter struct {
	of      *story
	control string
	text    string
	at      time.Time
	dropped bool
}

// read brings the stories up to what the journal says.
func (p *policy) read() {
	ctx := context.Background()
	for e, err := range p.gate.disk.Events(ctx, store.Query{Chain: "main", From: p.seen + 1}) {
		if err != nil {
			p.fail("the journal cannot be read: %v", err)
		}
		p.seen = e.Seq
		facts, err := e.Facts()
		if err != nil {
			p.fail("event %d: %v", e.Seq, err)
		}
		parts, _, err := p.gate.disk.Parts(ctx, e)
		if err != nil {
			p.fail("bodies of event %d: %v", e.Seq, err)
		}
		id := e.Exchange.String()
		s := p.byID[id]
		if s == nil {
			s = &story{id: id, serial: len(p.stories), at: e.At, control: facts.ControlID}
			p.byID[id] = s
			p.stories = append(p.stories, s)
		}
		p.learn(s, e, facts, parts)
	}
}

func (p *policy) learn(s *story, e store.Event, facts store.Facts, parts []store.Part) {
	if frame, ok := store.FindPart(parts, store.Frame); ok {
		s.text = string(frame)
	}
	if reply, ok := store.FindPart(parts, store.Reply); ok {
		s.replies = append(s.replies, string(reply))
	}
	switch e.Kind {
	case store.Asked:
		s.asked++
	case store.Queued:
		sent, _ := store.FindPart(parts, store.Sent)
		if !slices.ContainsFunc(s.letters, func(l *letter) bool { return l.control == facts.ControlID }) {
			s.letters = append(s.letters, &letter{of: s, control: facts.ControlID, text: string(sent), at: e.At})
		}
	case store.Withdrawn:
		for _, l := range s.letters {
			l.dropped = l.dropped || l.control == facts.ControlID
		}
	case store.Exchanged, store.Replied:
		s.pending = s.pending || facts.Outcome == "trace pending" || facts.Outcome == "deferred"
	case store.Finished:
		s.ended = s.ended || facts.Outcome != "unfinished"
	default:
	}
	if facts.Decision != "" {
		s.results = append(s.results, result{statusIn(facts.Decision), facts.NHSFound, facts.Items, e.At})
	}
	if facts.Decision != "" && !slices.Contains(s.decided, facts.Outcome) {
		s.decided = append(s.decided, facts.Outcome)
	}
}

// resent is what makes two messages the same: all but MSH-7. The sender and the control id are part
// of it.
func resent(text string) string {
	fields := strings.SplitN(text, "|", 8)
	fields[6] = ""
	return strings.Join(fields, "|")
}

func isQuery(text string) bool { return !strings.HasPrefix(headerField(text, 9), "ADT") }

// window is how long a message counts as the same.
func window(text string) time.Duration {
	if isQuery(text) {
		return time.Minute
	}
	return 168 * time.Hour
}

// kept tells whether a reply is kept for a resend: not one that says "not now", or what our
// settings refuse.
func kept(reply string) bool {
	err := segment(reply, "ERR")
	code := err[3] // from 2.5 on
	if at := strings.Split(err[1], "^"); len(at) == 4 {
		code = at[3]
	}
	return !strings.HasPrefix(code, "207") && !strings.HasPrefix(code, "204") && !strings.Contains(reply, "Wildcards are not accepted")
}

// stored is the answer that the same message had before, if it had one that is to be repeated.
func (p *policy) stored(x *handed) (reply string, ok bool) {
	for _, s := range p.stories {
		if resent(s.text) == resent(x.text) && len(s.replies) > 0 && kept(s.replies[0]) && x.at.Sub(s.at) < window(x.text) {
			reply, ok = s.replies[0], true
		}
	}
	return reply, ok
}

func (p *policy) letters() (n int) {
	for _, s := range p.stories {
		n += len(s.letters)
	}
	return n
}

func positive(reply string) bool {
	return strings.Contains(reply, "\rMSA|AA|") || strings.Contains(reply, "\rMSA|CA|")
}

// checkHanded checks what came back of one message: promises 1, 2 and 4.
func (p *policy) checkHanded(x *handed) {
	for _, h := range p.handed[p.judged:] { // with those that came meanwhile
		p.checkRecorded(h)
	}
	p.judged = len(p.handed)
	code := ""
	if x.reply != "" {
		code = segment(x.reply, "MSA")[1]
	}
	switch {
	case x.trouble == "down" && (x.calls > 0 || positive(x.reply)):
		p.fail("P2: while the store is down Spine is asked %d times, and the answer is %q", x.calls, x.reply)
	case x.trouble != "" && !isQuery(x.text) && x.reply != "" && !positive(x.reply),
		x.trouble == "" && !isQuery(x.text) && !positive(x.reply):
		p.fail("P4: a well-formed message is answered %q, %v", x.reply, x.err)
	case x.trouble == "" && isQuery(x.text):
		p.checkRefusal(x, code)
	}
}

// checkRecorded checks promise 1.
func (p *policy) checkRecorded(x *handed) {
	var same []*story
	for _, s := range p.stories {
		if resent(s.text) == resent(x.text) {
			same = append(same, s)
		}
	}
	for n, s := range same {
		s.query, s.echo = x.query, x.echo
		for _, other := range same[:n] {
			if len(other.replies) > 0 && kept(other.replies[0]) && s.at.Sub(other.at) < window(x.text) {
				p.fail("P1: two exchanges, %s and %s, have the same message", other.id, s.id)
			}
		}
		if len(s.replies) > 1 {
			p.fail("P1: exchange %s was answered %d times", s.id, len(s.replies))
		}
	}
	if len(same) > 0 {
		s := same[len(same)-1]
		s.shots = append(s.shots, x.index)
	}
	if !positive(x.reply) {
		return
	}
	if !slices.ContainsFunc(same, func(s *story) bool { return slices.Contains(s.replies, x.reply) }) {
		p.fail("P1: nothing in the journal has this answer: %q", x.reply)
	}
}

// checkRefusal checks promise 4 of a query: it is refused because it is wrong, or because nobody
// could be asked.
func (p *policy) checkRefusal(x *handed, code string) {
	s := p.storyOf(x)
	var last *answer
	for _, a := range p.answers {
		if s != nil && a.id == s.id {
			last = a
		}
	}
	late := last != nil && last.line.late
	switch {
	case code == "AA":
	case code == "AR" && last != nil && (last.line.fails != nil || late):
	case code == "AE" && last != nil && (last.line.outcome == pds.OldStyle || last.line.outcome == pds.Refused):
	case code == "AE" && last == nil && x.query.faulty:
	default:
		p.fail("P4: a question is answered %q", x.reply)
	}
}

// storyOf is the exchange of a message that was handed in.
func (p *policy) storyOf(x *handed) (found *story) {
	for _, s := range p.stories {
		if resent(s.text) == resent(x.text) && (x.reply == "" || slices.Contains(s.replies, x.reply)) {
			found = s
		}
	}
	return found
}

// check checks what must hold after every step.
func (p *policy) check() {
	p.read()
	p.lock.Lock()
	wrong := p.wrong
	p.lock.Unlock()
	if len(wrong) > 0 {
		p.fail("%s", strings.Join(wrong, "\n"))
	}
	asked := 0
	for _, s := range p.stories {
		asked += s.asked
		p.checkStory(s)
	}
	if calls := p.allCalls(); asked < calls || asked-calls > p.gate.lost {
		p.fail("P2: %d questions are on disk, %d were asked, and %d commits were lost", asked, calls, p.gate.lost)
	}
	p.checkItems()
}

// checkEnd checks what must hold when everything has come to its end.
func (p *policy) checkEnd() {
	ctx := context.Background()
	left, err := p.gate.disk.Pending(ctx, false, 1000)
	if err != nil {
		p.fail("the queue cannot be read: %v", err)
	}
	open := make(map[string]bool)
	for _, w := range left {
		open[w.Exchange.String()] = true
		if w.Kind != store.SixWeeks || !w.Due.After(p.now()) {
			p.fail("I11: work is left: %+v", w)
		}
	}
	parked, err := p.gate.disk.Pending(ctx, true, 1000)
	if err != nil {
		p.fail("the queue cannot be read: %v", err)
	}
	for _, w := range parked {
		open[w.Exchange.String()] = true
		if w.Reason == "" {
			p.fail("I11: work is parked for no reason: %+v", w)
		}
	}
	for _, s := range p.stories {
		if s.pending && !s.ended && !open[s.id] && !isQuery(s.text) {
			p.fail("I11: the trace of %s was neither made nor parked", show(s.text))
		}
		p.checkTold(s)
	}
	waiting, err := p.gate.disk.Letters(ctx, store.Waiting, 1000)
	if err != nil || len(waiting) > 0 {
		p.fail("letters wait: %+v, %v", waiting, err)
	}
	p.checkTaken()
	if _, err := store.Verify(ctx, p.gate.disk, "main", true, nil); err != nil {
		p.fail("I3: %v", err)
	}
	checkFound(p, p.gate.disk)
	log := p.log.String()
	for _, secret := range policySecrets {
		if strings.Contains(log, secret) {
			p.fail("P6: the log holds %q", secret)
		}
	}
}

func (p *policy) checkItems() {
	seen := make(map[string]bool)
	for _, i := range p.items() {
		name := i.Kind.String() + " " + i.Subject
		if seen[name] {
			p.fail("two open items: %s", name)
		}
		seen[name] = true
	}
}

// checkTaken checks what the PAS was sent.
func (p *policy) checkTaken() {
	bytes := make(map[string]string)
	for _, t := range p.taken {
		id := headerField(t.text, 10)
		if before, ok := bytes[id]; ok && before != t.text {
			p.fail("I4: update %s was sent with other bytes:\n%s\n%s", id, show(before), show(t.text))
		}
		bytes[id] = t.text
		if l := p.letter(id); l == nil || l.text != t.text {
			p.fail("I4: the journal does not have the update %s", show(t.text))
		}
	}
	at := make(map[store.PatientKey][]time.Time)
	for _, s := range p.stories {
		for _, l := range s.letters {
			if keys := keysOf(l.text); len(keys) > 0 {
				at[keys[0]] = append(at[keys[0]], l.at)
			}
		}
	}
	for key, times := range at {
		slices.SortFunc(times, time.Time.Compare)
		for n := 3; n < len(times); n++ {
			if times[n].Sub(times[n-3]) < time.Hour {
				p.fail("I4: more than 3 updates of %v within an hour: %v", key, times)
			}
		}
	}
}

func (p *policy) letter(control string) *letter {
	for _, s := range p.stories {
		for _, l := range s.letters {
			if l.control == control {
				return l
			}
		}
	}
	return nil
}

// checkStory checks the answer and the updates of one exchange.
func (p *policy) checkStory(s *story) {
	for _, reply := range s.replies {
		if isQuery(s.text) {
			p.checkShown(s, reply)
		} else if strings.Contains(reply, "\rPID|") {
			p.checkResult(s, "the answer", segment(reply, "PID"), true)
		}
	}
	for _, l := range s.letters {
		pid := segment(l.text, "PID")
		p.checkResult(s, "an update", pid, p.profile == exchange.UpdateMinimal)
		src := segment(s.text, "PID")
		if pid[3] == src[3] && statusIn(pid[32]) == statusIn(src[32]) {
			p.fail("I4: an update changes nothing: %s", show(l.text))
		}
		if headerField(l.text, 3) != "NHSTRACE" || headerField(l.text, 9) != "ADT^A31^ADT_A05" || segment(l.text, "EVN")[5] != "NHSTRACE" {
			p.fail("I4: an update that does not say whose it is: %s", show(l.text))
		}
	}
	// One that was withdrawn, before anybody had taken it, may be followed by another.
	standing := slices.DeleteFunc(slices.Clone(s.letters), func(l *letter) bool { return l.dropped })
	if len(standing) > len(s.decided) {
		p.fail("I4: %d updates of %d outcomes %q of %s", len(s.letters), len(s.decided), s.decided, show(s.text))
	}
	if s.echo != nil && (s.asked > 0 || len(s.letters) > 0) {
		p.fail("I4: an echo is traced, or causes an update: %s", show(s.text))
	}
}

// checkResult checks a PID that brings a result home: nothing but PID-3 and PID-32 differs from what
// was received, and these two are what Spine said (product.md 4.6 a and b, spec/hl7v2.md 4.6).
func (p *policy) checkResult(s *story, what string, pid []string, minimal bool) {
	src := segment(s.text, "PID")
	for n := range pid {
		want := src[n]
		if minimal && !slices.Contains([]int{0, 1, 3, 5, 7, 8, 32}, n) {
			want = ""
		}
		if n != 3 && n != 32 && pid[n] != want {
			p.fail("I6: %s has PID-%d %q, not %q, of %s", what, n, pid[n], want, show(s.text))
		}
	}
	status, number := statusIn(pid[32]), ""
	if want := withStatus(src[32], status); pid[32] != want {
		p.fail("P5: %s has PID-32 %q, not %q", what, pid[32], want)
	}
	if status == "01" {
		number = p.numberIn(pid[3], src[3])
		if want := withNumber(src[3], number); pid[3] != want {
			p.fail("P5: %s has PID-3 %q, not %q, of %s", what, pid[3], want, show(s.text))
		}
	} else if pid[3] != src[3] {
		p.fail("P5: %s has PID-3 %q of a number that is not verified, of %s", what, pid[3], show(s.text))
	}
	if why := p.unjustified(s, status, number); why != "" {
		p.fail("P5: %s has status %s and number %q: %s\nof %s", what, status, number, why, show(s.text))
	}
}

// numberIn is the one number in our form that stands in the place of those received.
func (p *policy) numberIn(ids, received string) string {
	for cx := range strings.SplitSeq(ids, "~") {
		if n, ok := strings.CutSuffix(cx, "^^^NHS^NH"); ok && slices.Contains(policyNumbers, n) && withNumber(received, n) == ids {
			return n
		}
	}
	p.fail("P5: no number is in the place of those received: %q, of %q", ids, received)
	return ""
}

// withNumber is PID-3 with a verified number in it.
func withNumber(received, number string) string {
	var reps []string
	if received != "" {
		reps = strings.Split(received, "~")
	}
	place, old := -1, ""
	for n, cx := range reps {
		if !isNHS(cx) {
			continue
		}
		if digits := bareNumber(cx); old == "" && digits != "" {
			place, old = n, digits
		} else if place < 0 {
			place = n
		}
	}
	var back []string
	for n, cx := range reps {
		digits := bareNumber(cx)
		switch {
		case n == place:
			back = append(back, number+"^^^NHS^NH")
		case isNHS(cx) && digits != "" && (digits == old || digits == number):
		default:
			back = append(back, cx)
		}
	}
	if place < 0 {
		back = append(back, number+"^^^NHS^NH")
	}
	return strings.Join(back, "~")
}

func isNHS(cx string) bool { return strings.Contains(cx, "^NHS") }

// bareNumber is the valid NHS number of a CX, "" if it has none.
func bareNumber(cx string) string {
	n, _, _ := strings.Cut(cx, "^")
	if n = strings.ReplaceAll(n, " ", ""); isNHS(cx) && slices.Contains(policyNumbers, n) {
		return n
	}
	return ""
}

// statusIn is the status in PID-32, as two digits.
func statusIn(field string) string {
	for r := range strings.SplitSeq(field, "~") {
		if s, ok := strings.CutPrefix(r, "NSTS"); ok {
			return s
		}
	}
	return ""
}

// withStatus is PID-32 with another status in it.
func withStatus(received, status string) string {
	old := statusIn(received)
	switch {
	case received == "":
		return "NSTS" + status
	case old == "":
		return received + "~NSTS" + status
	}
	return strings.Replace(received, "NSTS"+old, "NSTS"+status, 1)
}

// meaning is what an answer of Spine means for a patient's status (spec/hl7v2.md 4.6), "" if it
// decides nothing.
func (a *answer) meaning() string {
	if a.line.fails != nil {
		return ""
	}
	switch a.line.outcome {
	case pds.Matched, pds.Superseded:
		return "01"
	case pds.NoMatch, pds.ManyMatches:
		return "04"
	case pds.Invalidated, pds.NotVerified, pds.OldStyle:
		return "05"
	default:
		return ""
	}
}

// unjustified says why an exchange may not tell a status and a number; "" if it may: Spine said so
// when asked for it, or for the same patient, as told now, not too long ago.
func (p *policy) unjustified(s *story, status, number string) string {
	keys := keysOf(s.text)
	why := "Spine said no such thing"
	for _, a := range p.answers {
		means := a.meaning()
		switch {
		case means == "":
		case a.id == s.id:
			holder, held := a.index.holder(a.named, keys)
			if means == "01" && held {
				means = "05"
			}
			if means == status && (status != "01" || a.named == number) {
				return ""
			}
			if held && status == "01" {
				why = fmt.Sprintf("%v holds the number", holder)
			}
		case means == status && (status != "01" || a.named == number):
			if p.retrace == 0 {
				continue
			}
			if other := p.otherPatient(a, s); other != "" {
				why = "Spine said so of another: " + other
				continue
			}
			if _, held := a.index.holder(a.named, keys); held && means == "01" && !p.freed(s, a.named) {
				why = "it was held when it was found"
				continue
			}
			if p.freed(s, a.named) || means != "01" {
				return ""
			}
			why = "another record holds the number when it is used again"
		}
	}
	return why
}

// freed tells whether a number was held by no other record when an exchange was taken up.
func (p *policy) freed(s *story, number string) bool {
	for _, index := range slices.Concat(s.shots, p.weighed[s.id]) {
		if _, held := index.holder(number, keysOf(s.text)); !held {
			return true
		}
	}
	return false
}

// otherPatient says why an answer is not of an exchange's patient, as it tells of that patient.
func (p *policy) otherPatient(a *answer, s *story) string {
	of := p.byID[a.id]
	if of == nil {
		return "nobody knows"
	}
	linked := p.linked(keysOf(s.text))
	var theirs []store.PatientKey
	if isQuery(of.text) {
		theirs = p.askedAbout(of, a)
	} else {
		theirs = keysOf(of.text)
	}
	if !slices.ContainsFunc(theirs, func(key store.PatientKey) bool { return linked[key] }) {
		return "other local numbers"
	}
	pid := segment(s.text, "PID")
	who := a.req.Who
	names := strings.Split(pid[5]+"^", "^")
	for _, f := range [][2]string{{names[0], who.Family}, {pid[7], who.BirthDate.Digits()}, {map[string]string{"F": "2", "M": "1"}[pid[8]], who.Sex.Code()}} {
		if f[0] != "" && f[0] != `""` && !strings.EqualFold(f[0], f[1]) {
			return "other words"
		}
	}
	// Where nobody was found, the number stays as it is, whoever was asked about it.
	if n := theNumber(pid[3]); n != "" && !isQuery(of.text) && a.meaning() == "01" && n != a.req.NHSNumber.Digits() {
		return "another number"
	}
	return ""
}

// askedAbout are the records that a question may have been about.
func (p *policy) askedAbout(s *story, a *answer) []store.PatientKey {
	var all []store.PatientKey
	if s.query.key.LocalID != "" {
		all = append(all, s.query.key)
	}
	for key, e := range a.index {
		if n := s.query.number; n != "" && (e.Told.NHSNumber == n || e.Found.NHSNumber == n) {
			all = append(all, key)
		}
	}
	return all
}

// linked are the local numbers that messages said to be one patient's.
func (p *policy) linked(keys []store.PatientKey) map[store.PatientKey]bool {
	all := make(map[store.PatientKey]bool)
	for _, key := range keys {
		all[key] = true
	}
	for grown := true; grown; {
		grown = false
		for _, s := range p.stories {
			if isQuery(s.text) {
				continue
			}
			group := append(keysOf(s.text), goesOf(s.text)...)
			if slices.ContainsFunc(group, func(key store.PatientKey) bool { return all[key] }) {
				for _, key := range group {
					grown = grown || !all[key]
					all[key] = true
				}
			}
		}
	}
	return all
}

// holder is another record of the same authority, not merged away, that has a number (product.md
// 4.6 b). A message without a local number is of no record.
func (index shot) holder(number string, keys []store.PatientKey) (store.PatientKey, bool) {
	for key, e := range index {
		has := e.Told.NHSNumber
		if e.Found.Print == e.Told.Print && e.Found.NHSNumber != "" {
			has = e.Found.NHSNumber
		}
		same := slices.ContainsFunc(keys, func(k store.PatientKey) bool { return k.Authority == key.Authority })
		if !gone(e) && has == number && number != "" && same && !slices.Contains(keys, key) {
			return key, true
		}
	}
	return store.PatientKey{}, false
}

// gone tells whether an entry was taken away, and not told of since.
func gone(e store.Patient) bool {
	return !e.Moved.At.IsZero() && (e.Told.At.Before(e.Moved.At) || e.Told.At.Equal(e.Moved.At) && slices.Compare(e.Told.Exchange[:], e.Moved.Exchange[:]) <= 0)
}

// leads is a local number, and those that it was merged into.
func (index shot) leads(key store.PatientKey) []store.PatientKey {
	keys := []store.PatientKey{key}
	for e := index[key]; gone(e) && !slices.Contains(keys, e.Moved.Into); e = index[e.Moved.Into] {
		keys = append(keys, e.Moved.Into)
	}
	return keys
}

// checkShown checks the answer to a question: the number of its PID is the one that Spine named, and
// its local numbers are those of that patient.
func (p *policy) checkShown(s *story, reply string) {
	if !strings.Contains(reply, "\rPID|") {
		return
	}
	pid := segment(reply, "PID")
	status := statusIn(pid[32])
	number := theNumber(pid[3])
	own := slices.IndexFunc(p.answers, func(a *answer) bool {
		leads := a.index.leads(s.query.key)
		_, held := a.index.holder(a.named, leads[len(leads)-1:]) // of the record, which a merge may have made another authority's
		held = held && !s.query.words                            // see question22
		return a.id == s.id && a.named == number && (status != "01" || a.meaning() == "01" && !held)
	})
	pix := strings.Contains(s.text, "QBP^Q23") && slices.ContainsFunc(p.stories, func(other *story) bool {
		// It may be in the index as verified, by Spine or by the sender.
		if isQuery(other.text) {
			return slices.ContainsFunc(p.answers, func(a *answer) bool { return a.id == other.id && a.named == number })
		}
		linked := p.linked([]store.PatientKey{s.query.key})
		named := statusIn(segment(other.text, "PID")[32]) == "01" && strings.Contains(other.text, number)
		named = named || slices.ContainsFunc(p.answers, func(a *answer) bool { return a.id == other.id && a.named == number && a.meaning() == "01" })
		return named && slices.ContainsFunc(keysOf(other.text), func(key store.PatientKey) bool { return linked[key] })
	})
	if number == "" || own < 0 && !pix {
		p.fail("P5: a question is shown %q, status %q, which Spine did not say\n%s\n%s", pid[3], status, show(s.text), show(reply))
	}
	for _, key := range keysOf(reply) {
		linked := p.linked([]store.PatientKey{s.query.key})
		named := slices.ContainsFunc(p.answers, func(a *answer) bool {
			of := p.byID[a.id]
			if of == s && slices.Contains(p.askedAbout(s, a), key) {
				return true // the entry that was asked about
			}
			if of == nil || a.named != number || a.meaning() != "01" {
				return false
			}
			if isQuery(of.text) {
				return slices.Contains(p.askedAbout(of, a), key)
			}
			return p.linked(keysOf(of.text))[key]
		})
		told := slices.ContainsFunc(p.stories, func(other *story) bool {
			return !isQuery(other.text) && p.linked(keysOf(other.text))[key] && strings.Contains(strings.ReplaceAll(other.text, " ", ""), number) && statusIn(segment(other.text, "PID")[32]) == "01"
		})
		if !linked[key] && !named && !told {
			p.fail("I6: a question is shown the local number %v\n%s\n%s", key, show(s.text), show(reply))
		}
	}
}

// overtaken says why an update may not be sent now.
func (p *policy) overtaken(text string) string {
	keys := keysOf(text)
	l := p.letter(headerField(text, 10))
	if l == nil {
		return "an update that nothing led to"
	}
	if len(keys) == 0 {
		return ""
	}
	key := keys[0]
	var told, moved stamp
	var newest *story
	for _, s := range p.stories {
		if isQuery(s.text) || s.text == "" {
			continue
		}
		at := stamp{recordedAt(s), s.serial}
		event := headerField(s.text, 9)
		goes := goesOf(s.text)
		if slices.Contains(keysOf(s.text), key) {
			if event == "ADT^A29" {
				goes = append(goes, key)
			} else if at.after(told) || newest == nil {
				told, newest = at, s
			}
		}
		if slices.Contains(goes, key) && at.after(moved) {
			moved = at
		}
	}
	if !moved.at.IsZero() && !told.after(moved) {
		return fmt.Sprintf("%v was merged away before its update is sent", key)
	}
	if newest == nil || newest == l.of {
		return ""
	}
	was, is := segment(l.of.text, "PID"), segment(newest.text, "PID")
	for _, n := range []int{5, 7, 8} {
		if a, b := trimmed(was[n]), trimmed(is[n]); a != "" && b != "" && a != b {
			return fmt.Sprintf("PID-%d of %v has changed since: %q, %q", n, key, a, b)
		}
	}
	if a, b := theNumber(was[3]), theNumber(is[3]); a != "" && b != "" && a != b {
		return fmt.Sprintf("the number of %v has changed since", key)
	}
	return ""
}

// trimmed is a value that can be compared; "" if it says nothing that a trace would use.
func trimmed(field string) string {
	if field == "Q" || field == "20240230" || field == `""` {
		return ""
	}
	return strings.TrimRight(strings.TrimSuffix(field, "L"), "^")
}

// recordedAt is when a message says that it was recorded: not after it came.
func recordedAt(s *story) time.Time {
	for _, field := range []string{segment(s.text, "EVN")[2], headerField(s.text, 7)} {
		at, err := time.Parse("20060102150405", field)
		if err == nil && !at.After(s.at) {
			return at
		}
		if err == nil {
			break
		}
	}
	return s.at
}

// latest tells whether an update is the last one of its patient that anybody was sent, and of today.
func (p *policy) latest(sent taken) bool {
	l := p.letter(headerField(sent.text, 10))
	keys := keysOf(sent.text)
	if l == nil || len(keys) == 0 || p.now().Sub(l.at) >= 24*time.Hour {
		return false
	}
	for _, s := range p.stories {
		for _, other := range s.letters {
			if theirs := keysOf(other.text); len(theirs) > 0 && theirs[0] == keys[0] && other != l && !other.at.Before(l.at) {
				return false
			}
		}
	}
	return true
}

// checkTold checks that no result is kept from the PAS: what was decided, and is other than what the
// message says, was put into the outbox, unless the same was told to it that day, or too much was. Of
// a message without a local number, or that is an echo, the PAS is told nothing.
func (p *policy) checkTold(s *story) {
	if isQuery(s.text) || s.echo != nil || len(keysOf(s.text)) == 0 {
		if len(s.letters) > 0 {
			p.fail("I4: the PAS is told of nobody in particular, or of an echo: %s", show(s.text))
		}
		return
	}
	src := segment(s.text, "PID")
	for _, r := range s.results {
		ids, status := src[3], withStatus(src[32], r.status)
		if r.status == "01" {
			ids = withNumber(src[3], r.number)
		}
		if statusIn(src[32]) == r.status && (ids == src[3] || theNumber(src[3]) == r.number) || strings.Contains(r.items, "too many updates") {
			continue
		}
		same := func(l *letter) bool {
			pid := segment(l.text, "PID")
			// What was dropped is not told of this message any more, but of a newer one.
			return l.of == s && (l.dropped || pid[3] == ids && pid[32] == status) ||
				slices.Equal(firstKey(l.text), firstKey(s.text)) && statusIn(pid[32]) == r.status && (r.status != "01" || theNumber(pid[3]) == r.number) && (r.at.Sub(l.at) < 24*time.Hour || p.takes(l, r.at))
		}
		if !slices.ContainsFunc(p.stories, func(other *story) bool { return slices.ContainsFunc(other.letters, same) }) {
			p.fail("a result is kept from the PAS: status %s, number %q, of %s", r.status, r.number, show(s.text))
		}
	}
}

// takes tells whether the PAS was sent an update since.
func (p *policy) takes(l *letter, since time.Time) bool {
	return slices.ContainsFunc(p.taken, func(t taken) bool { return headerField(t.text, 10) == l.control && !t.at.Before(since) })
}

func firstKey(text string) []store.PatientKey {
	keys := keysOf(text)
	return keys[:min(1, len(keys))]
}

// segment is the fields of the first segment of a name, as many as are ever looked at.
func segment(text, name string) []string {
	for line := range strings.SplitSeq(text, "\r") {
		if strings.HasPrefix(line, name+"|") {
			return append(strings.Split(line, "|"), make([]string, 40)...)[:40]
		}
	}
	return make([]string, 40)
}

// keysOf are the local numbers of a message's PID.
func keysOf(text string) []store.PatientKey { return keysIn(segment(text, "PID")[3]) }

// goesOf is the local number that a merge takes away.
func goesOf(text string) []store.PatientKey {
	goes := keysIn(segment(text, "MRG")[1])
	stays := keysOf(text)
	if len(stays) == 0 {
		return nil
	}
	return slices.DeleteFunc(goes, func(key store.PatientKey) bool { return slices.Contains(stays, key) })
}

func keysIn(field string) (keys []store.PatientKey) {
	for cx := range strings.SplitSeq(field, "~") {
		if parts := strings.Split(cx, "^"); len(parts) == 5 && parts[4] == "MR" {
			keys = append(keys, store.PatientKey{Authority: parts[3], LocalID: parts[0]})
		}
	}
	return keys
}

// theNumber is the one valid NHS number of PID-3.
func theNumber(field string) string {
	all := make(map[string]bool)
	for cx := range strings.SplitSeq(field, "~") {
		if n := bareNumber(cx); n != "" {
			all[n] = true
		}
	}
	if len(all) != 1 {
		return ""
	}
	return slices.Collect(maps.Keys(all))[0]
}
