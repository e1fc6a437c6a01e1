package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"spinetrace/hl7v2"
	"spinetrace/pds"
	"spinetrace/store"
)

// How the audit is written for people.
const (
	timeText = "2006-01-02 15:04:05.000000Z" // always UTC
	maxWidth = 98                            // columns of a line
)

// bodies are the names of an event's bodies, and the marks that stand before their lines.
var bodies = map[store.PartKind]struct{ name, mark string }{
	store.Frame:    {"message in", "  > "},
	store.Reply:    {"message out", "  < "},
	store.Request:  {"question", "  ? "},
	store.Response: {"answer", "  ! "},

	store.Sent:         {"letter", "  < "},
	store.Acknowledged: {"its answer", "  > "},
}

// isMessage tells the bodies that are HL7, and shown unasked.
func isMessage(kind store.PartKind) bool {
	switch kind {
	case store.Frame, store.Reply, store.Sent, store.Acknowledged:
		return true
	default:
		return false
	}
}

// headline says what the story is of and how it ended, and what became of the letters in it.
func headline(story []store.Event) string {
	first := story[0]
	facts, err := first.Facts()
	if err != nil {
		return place{first.Chain, first.Seq}.String() + ", whose document cannot be read"
	}
	if first.Exchange == (store.ID{}) {
		return "An event that belongs to no message: " + place{first.Chain, first.Seq}.String()
	}
	outcome := cmp.Or(outcomeOf(story), "unfinished")
	if first.Kind == store.Broken {
		outcome = store.Unanswered.String()
	}
	what := storyOf(first.Kind, facts)
	if facts.ControlID != "" {
		what += " " + printable(facts.ControlID)
	}
	if facts.Application != "" {
		what += " from " + printable(facts.Application)
	}
	lines := append([]string{what + ": " + outcome}, letterLines(story)...)
	return strings.Join(append(lines, "Exchange "+first.Exchange.String()), "\n")
}

// outcomeOf is the result of a story: of the answer, or of a later trace.
func outcomeOf(story []store.Event) (outcome string) {
	open := []string{"", store.Pending.String(), store.Deferred.String()}
	ends := []string{store.NotTraced.String(), store.Refused.String()}
	for _, e := range story {
		f, err := e.Facts()
		if err != nil || f.Outcome == "" {
			continue
		}
		switch e.Kind {
		case store.Exchanged, store.Replied:
			outcome = f.Outcome
		case store.Finished:
			// What decides nothing may be tried again, or be about a result that there is already.
			if f.Decision != "" || outcome == "" || slices.Contains(open, outcome) && slices.Contains(ends, f.Outcome) {
				outcome = f.Outcome
			}
		default:
		}
	}
	return outcome
}

// letterLines say what became of the letters of a story, in the order in which they came up.
func letterLines(story []store.Event) []string {
	var order []string
	names, states := make(map[string]string), make(map[string]string)
	for _, e := range story {
		f, err := e.Facts()
		state := letterState(e.Kind, f)
		if err != nil || state == "" {
			continue
		}
		key := f.Destination + " " + f.ControlID
		if states[key] == "" {
			order, names[key] = append(order, key), cmp.Or(f.Type, f.ControlID)
		}
		states[key] = state + " " + f.Destination
	}
	var all []string
	for _, key := range order {
		all = append(all, printable(names[key]+" "+states[key]))
	}
	if len(all) == 0 {
		return nil
	}
	return wrap("Letters: "+strings.Join(all, "; "), maxWidth)
}

// letterState is how far a letter has come by an event, "" if that is about no letter.
func letterState(kind store.Kind, f store.Facts) string {
	switch {
	case kind == store.Queued, kind == store.Requeued:
		return "waits for"
	case kind == store.Withdrawn:
		return "withdrawn, not sent to"
	case kind != store.Tried:
		return ""
	case f.Outcome == store.Delivered.String():
		return "delivered to"
	case f.Outcome == store.Parked.String():
		return "parked, refused by"
	}
	return "waits for"
}

// storyOf names what an exchange began with.
func storyOf(kind store.Kind, f store.Facts) string {
	switch {
	case f.Type != "":
		return printable(f.Type)
	case kind == store.Broken:
		return "A broken frame from " + printable(f.Peer)
	case f.User != "" && f.User != store.System:
		return "A question of " + printable(f.User)
	}
	return "A message that could not be read"
}

// tellEvent writes one event: where, when and what, the facts, the bodies.
func (s showing) tellEvent(page *bytes.Buffer, e toldEvent) {
	fmt.Fprintf(page, "\n%s  %s  %s\n", place{e.Chain, e.Seq}, e.At.Format(timeText), strings.ToUpper(e.Kind.String()))
	writeRows(page, wrongRows(e.wrong))
	digests, err := e.Digests()
	if err != nil {
		fmt.Fprintf(page, "  the document cannot be read; audit verify says where the chain breaks\n")
		return
	}
	writeRows(page, factRows(e.facts))
	for _, d := range digests {
		s.tellBody(page, d, e)
	}
}

// tellBody writes one body of an event, or why it is not shown.
func (s showing) tellBody(page *bytes.Buffer, d store.Digest, e toldEvent) {
	name, size := printable(d.Kind), fmt.Sprintf("%d bytes", d.Size)
	for kind, body := range bodies {
		if kind.String() == d.Kind {
			name = body.name
		}
	}
	i := slices.IndexFunc(e.parts, func(p store.Part) bool { return p.Kind.String() == d.Kind })
	switch {
	case i < 0:
		size += ", " + cmp.Or(e.why, "not there")
	case !s.shows(e.parts[i].Kind):
		size += "; --bodies shows it"
	}
	fmt.Fprintf(page, "  %-17s %s\n", name, size)
	if i >= 0 && s.shows(e.parts[i].Kind) {
		kind, print := e.parts[i].Kind, hl7v2.Format
		if isMessage(kind) {
			print = messagePrinter(s.fields)
		}
		writeBody(page, bodies[kind].mark, e.parts[i].Data, print)
	}
}

// errFieldsJSON says that --fields and --json exclude each other.
const errFieldsJSON = usageError("--fields is for people and --json for programs; choose one")

// messagePrinter returns how messages are printed: segment by segment, or field by field with
// the names of the fields.
func messagePrinter(fields bool) func(io.Writer, []byte) error {
	if fields {
		return hl7v2.Describe
	}
	return hl7v2.Format
}

// writeBody writes a message or an envelope, each line behind a mark, long ones folded.
func writeBody(w io.Writer, mark string, body []byte, print func(io.Writer, []byte) error) {
	var text bytes.Buffer
	_ = print(&text, indentXML(body)) // a buffer takes everything
	for line := range strings.Lines(text.String()) {
		for i, piece := range fold(strings.TrimRight(line, "\n"), maxWidth-len(mark)-4) {
			if i > 0 {
				piece = "    " + piece
			}
			fmt.Fprintf(w, "%s%s\n", mark, piece)
		}
	}
}

// maxIndent is the deepest element that is indented further than its parent.
const maxIndent = 20

// indentXML puts the elements of an envelope that was written without line ends on lines of
// their own. It only helps the eye: it does not parse, and leaves what is no XML alone.
func indentXML(body []byte) []byte {
	if !bytes.HasPrefix(body, []byte("<")) {
		return body
	}
	var out bytes.Buffer
	depth := 0
	for tag := range bytes.SplitSeq(bytes.ReplaceAll(body, []byte("><"), []byte(">\x00<")), []byte{0}) {
		closes := bytes.HasPrefix(tag, []byte("</"))
		if closes {
			depth--
		}
		fmt.Fprintf(&out, "%*s%s\n", 2*min(max(depth, 0), maxIndent), "", tag)
		alone := bytes.HasPrefix(tag, []byte("<?")) || bytes.HasPrefix(tag, []byte("<!")) ||
			bytes.HasSuffix(tag, []byte("/>")) || bytes.Contains(tag, []byte("</"))
		if !alone {
			depth++
		}
	}
	return out.Bytes()
}

// fold cuts a line into pieces of at most width characters: before a numbered part or after a
// field if it can, else after a repetition or a word.
func fold(line string, width int) []string {
	var pieces []string
	for utf8.RuneCountInString(line) > width {
		head := string([]rune(line)[:width])
		for _, after := range []string{"  ", "|", "~", ">", " "} {
			if at := strings.LastIndex(head, after); at >= len(head)/2 {
				head = head[:at+len(after)]
				break
			}
		}
		pieces = append(pieces, head)
		line = line[len(head):]
	}
	return append(pieces, line)
}

// factRow is one thing known, and its name.
type factRow struct{ name, value string }

// writeRows writes the rows that have a value.
func writeRows(w io.Writer, rows []factRow) {
	for _, row := range rows {
		if row.value == "" {
			continue
		}
		name := row.name
		for _, line := range wrap(printable(row.value), maxWidth-20) {
			fmt.Fprintf(w, "  %-17s %s\n", name, line)
			name = ""
		}
	}
}

// wrap cuts a text into lines of at most width characters, at spaces only: a path or an
// address stays in one piece, however long it is.
func wrap(text string, width int) []string {
	var lines []string
	for utf8.RuneCountInString(text) > width {
		at := strings.LastIndex(string([]rune(text)[:width]), " ")
		if at <= 0 {
			at = strings.Index(text, " ")
		}
		if at <= 0 {
			break
		}
		lines = append(lines, text[:at])
		text = text[at+1:]
	}
	return append(lines, text)
}

// printable replaces what a terminal would obey. Facts hold what senders wrote.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// printableLines is printable for a text of several lines.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}

// factRows puts facts into the order and the words in which people read them.
func factRows(f store.Facts) []factRow {
	return []factRow{
		{"who", f.User},
		{"logged in as", f.Login},
		{"database login", f.DBLogin},
		{"role profile", f.Role},
		{"looked for", pairs(f.Filters)},
		{"rows shown", number(int64(f.Rows))},
		{"peer", f.Peer},
		{"TLS subject", f.Subject},
		{"application", f.Application},
		{"facility", f.Facility},
		{"control id", f.ControlID},
		{"type", f.Type},
		{"local id", f.LocalID},
		{"NHS number sent", spaced(f.NHSSent)},
		{"attempt", number(int64(f.Attempt))},
		{"back end", f.Backend},
		{"operation", f.Operation},
		{"endpoint", f.Endpoint},
		{"message id", f.MessageID},
		{"tracking id", f.TrackingID},
		{"payload id", f.PayloadID},
		{"answer's id", f.AnswerID},
		{"HTTP status", number(int64(f.Status))},
		{"code", f.Code},
		{"took", took(f.TookMicros)},
		{"acknowledged", f.Ack},
		{"outcome", f.Outcome},
		{"NHS number found", spaced(f.NHSFound)},
		{"NHS number status", f.Decision},
		{"reason", f.Reason},
		{"software", f.Version},
		{"configuration", f.Config},
		{"host", f.Host},
		{"from", number(f.From)},
		{"to", number(f.To)},
		{"destination", f.Destination},
		{"letter", number(f.Letter)},
		{"items raised", f.Items},
		{"item", number(f.Item)},
		{"differs in", f.Differences},
		{"heads", pairs(f.Heads)},
		{"details", pairs(f.Details)},
	}
}

// number writes n, "" for 0.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func took(micros int64) string {
	if micros == 0 {
		return ""
	}
	return (time.Duration(micros) * time.Microsecond).String()
}

// spaced writes an NHS number as people read it; what is none stays as it is.
func spaced(digits string) string {
	n, err := pds.ParseNHSNumber(digits)
	if err != nil {
		return digits
	}
	return n.Spaced()
}

func pairs(m map[string]string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list = append(list, key+" "+m[key])
	}
	return strings.Join(list, ", ")
}
