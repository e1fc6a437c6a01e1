package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"spinetrace/auditevent"
	"spinetrace/store"
)

// exporting is what `audit export` was asked for.
type exporting struct {
	given  periodFlags
	format string
	out    string // "" is the standard output
	who    string
	ods    string
	chosen selection

	bodies, replies, force, progress bool
}

// sink writes events in one format.
type sink interface {
	// take writes what is to be written of an event, and returns how many rows that made.
	take(ctx context.Context, e store.Event) (rows int, err error)
	// end writes what comes behind the last row.
	end() error
	// left says what was left out as it had to be, and what should have been there.
	left() (note string, fault error)
}

// exportBegins is what the first of the two records of an export says of it.
const exportBegins = "begins"

// exportFormats are what `audit export` can write.
var exportFormats = map[string]func(x *exporting, db store.Store, t *target) (sink, error){
	"csv":  newCSVSink,
	"fhir": newFHIRSink,
	"hl7":  newHL7Sink,
}

// auditExport writes a part of the journal for other tools.
func auditExport(ctx context.Context, c console, args []string) error {
	var x exporting
	fs := newFlags("audit export", "audit export [flags]\n\nWrites the events of a time, of all chains in the order in which they happened, for other\ntools: as FHIR R4 AuditEvents, one JSON object a line; as CSV, one row for every event with\nall that it says; or as HL7, the messages as they came, for spinetrace send. That somebody\nexports, and what, is recorded first, on the chain of the commands, and when it has ended\nhow many rows it was.\n\nAn AuditEvent tells of a message and its answer, or of a call and its answer, and stands\nwhere the first of them does. One that has not ended says so; --until 5m leaves out what\nmay still be at work.\n\n"+aboutTimes)
	x.flags(fs)
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	if err := x.read(); err != nil {
		return err
	}
	if err := x.check(c); err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error { return x.run(ctx, c, db) })
}

func (x *exporting) flags(fs *flag.FlagSet) {
	fs.StringVar(&x.format, "format", "fhir", "write `fhir, csv or hl7`")
	for _, format := range []string{"hl7", "csv"} {
		fs.BoolFunc(format, "the same as --format "+format, func(text string) error {
			on, err := strconv.ParseBool(text)
			if on {
				x.format = format
			}
			return err
		})
	}
	x.given.flags(fs, time.Now(), "", "what happened")
	fs.StringVar(&x.chosen.chain, "chain", "", "only the chain of this `name`")
	fs.Var(digitsFlag(&x.chosen.number), "nhs-number", "only messages about this NHS `number`, be its check digit right or wrong, or about one that Spine\nhas tied to it because the one was superseded by the other, and what followed from them")
	fs.StringVar(&x.chosen.localID, "local-id", "", "only messages about the patient with this local `number`, or with one that was merged into it or it\ninto, and what followed from them")
	fs.BoolVar(&x.bodies, "bodies", false, "of fhir: put queries, and questions to the back end, into the AuditEvents as they were sent")
	fs.BoolVar(&x.replies, "replies", false, "of hl7: write our answers, too, each behind its message or where it was given; then it is to\nbe read, not to be sent")
	fs.StringVar(&x.out, "out", "", "write this `file`, which only its owner may read; it must not be there yet, and is not there\nuntil it is complete")
	fs.BoolVar(&x.force, "force", false, "of hl7: write to a terminal all the same")
	fs.BoolVar(&x.progress, "progress", false, "say on standard error how far it is, even if that is no terminal")
	fs.StringVar(&x.who, "as", osUser(), "`name` of who exports, for the record")
}

// read makes the selection of the flags. Without an end it would run after a service that writes,
// and after its own looks.
func (x *exporting) read() error {
	p, err := x.given.untilNow()
	s := &x.chosen
	s.from, s.until = p.from, p.until
	return err
}

// check says what else is wrong, before anybody is recorded as looking.
func (x *exporting) check(c console) error {
	if err := checkWho(x.who, "exports"); err != nil {
		return err
	}
	switch {
	case exportFormats[x.format] == nil:
		return usageError("--format is not one of " + strings.Join(slices.Sorted(maps.Keys(exportFormats)), ", "))
	case x.bodies && x.format != "fhir":
		return usageError("--bodies goes with --format fhir")
	case (x.replies || x.force) && x.format != "hl7":
		return usageError("--replies and --force go with --format hl7")
	case x.format == "hl7" && x.out == "" && !x.force && isTerminal(c.Out):
		return usageError("a terminal would obey what is in the messages; give --out FILE, or --force")
	}
	if err := checkNew(x.out); x.out != "" && err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if x.format != "fhir" {
		return nil
	}
	cfg, found := readConfig()
	if x.ods = cfg.ODS; x.ods == "" { // an AuditEvent must say whose it is
		found.add("ODS", "is missing; write the trust's ODS code, as serve has it")
	}
	return found.err()
}

// run records that it begins, writes, and records how many rows it was: nobody knows that before
// all were read, and they are read once.
func (x *exporting) run(ctx context.Context, c console, db store.Store) error {
	if err := x.chosen.prepare(ctx, db); err != nil {
		return err
	}
	if err := look(ctx, db, x.who, x.filters(exportBegins), 0); err != nil {
		return err
	}
	p := &progress{w: c.Err, start: time.Now(), shown: x.progress || isTerminal(c.Err)}
	left, err := x.write(ctx, c.Out, db, p)
	how := "complete"
	if err != nil {
		how = "broken off"
	}
	// Whoever interrupts it has got rows all the same.
	counted := look(context.WithoutCancel(ctx), db, x.who, x.filters(how), p.rows)
	if err == nil {
		note, fault := left()
		fmt.Fprintf(c.Err, "%s of %s written%s\n", count(p.rows, "row", "rows"), count(p.events, "event", "events"), note)
		err = fault
	}
	return errors.Join(err, counted)
}

// filters are what the record says of the export.
func (x *exporting) filters(how string) map[string]string {
	s := x.chosen
	f := s.sought.filters(map[string]string{
		"command": "audit export", "export": how, "format": x.format, "chain": s.chain,
		"from": stamp(s.from.UTC()), "until": stamp(s.until.UTC()),
	})
	if x.bodies {
		f["bodies"] = "yes"
	}
	if x.replies {
		f["replies"] = "yes"
	}
	return f
}

// write writes all rows to where they belong.
func (x *exporting) write(ctx context.Context, w io.Writer, db store.Store, p *progress) (left func() (string, error), err error) {
	t, err := openTarget(w, x.out)
	if err != nil {
		return nil, err
	}
	s, err := exportFormats[x.format](x, db, t)
	if err == nil {
		err = pour(ctx, x.chosen.events(ctx, db), s, p)
	}
	if err = t.close(err); err != nil {
		return nil, err
	}
	return s.left, nil
}

// pour gives every event to s.
func pour(ctx context.Context, events iter.Seq2[store.Event, error], s sink, p *progress) error {
	for e, err := range events {
		if err != nil {
			return err
		}
		rows, err := s.take(ctx, e)
		if err != nil {
			return err
		}
		p.add(rows)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.end()
}

// target is where an export goes, buffered.
type target struct {
	*bufio.Writer
	to   io.Writer
	file *os.File // nil: the standard output
	name string
}

const exportBuffer = 64 << 10

// openTarget opens the file that name will be, or w if there is none.
func openTarget(w io.Writer, name string) (*target, error) {
	if name == "" {
		return &target{Writer: bufio.NewWriterSize(w, exportBuffer), to: w}, nil
	}
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.part")
	if err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	return &target{bufio.NewWriterSize(file, exportBuffer), file, file, name}, nil
}

// close ends the writing, which had this error. A file gets its name only if there was none.
func (t *target) close(err error) error {
	err = cmp.Or(err, t.Flush())
	if t.file == nil {
		return err
	}
	err = cmp.Or(err, t.file.Sync())
	err = cmp.Or(t.file.Close(), err)
	if err == nil {
		err = giveName(os.Link, t.file.Name(), t.name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(t.file.Name()))
	}
	return nil
}

// checkNew says that there is something of a name already. What takes the name later giveName and
// O_EXCL refuse.
func checkNew(name string) error {
	if _, err := os.Lstat(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already", name)
	}
	return nil
}

// giveName moves a finished file to a name that nothing has. A rename would replace what took the
// name meanwhile, a link does not. Where there are no links an empty file takes the name first.
func giveName(link func(from, to string) error, from, to string) error {
	err := link(from, to)
	switch {
	case err == nil:
		return os.Remove(from)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("--out: %s is there already", to)
	}
	taken, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if err := cmp.Or(taken.Close(), os.Rename(from, to)); err != nil {
		return errors.Join(fmt.Errorf("--out: %w", err), os.Remove(to))
	}
	return nil
}

// progress counts, and says now and then how far it is.
type progress struct {
	w            io.Writer
	start        time.Time
	shown        bool
	events, rows int
}

// progressStep is how many events there are between two lines.
const progressStep = 10_000

func (p *progress) add(rows int) {
	p.events, p.rows = p.events+1, p.rows+rows
	if p.shown && p.events%progressStep == 0 {
		rate := float64(p.events) / time.Since(p.start).Seconds()
		fmt.Fprintf(p.w, "%d events read, %.0f a second; %d rows written\n", p.events, rate, p.rows)
	}
}

// fhirSink writes AuditEvents, one a line.
type fhirSink struct {
	w        io.Writer
	exporter auditevent.Exporter
}

func newFHIRSink(x *exporting, db store.Store, t *target) (sink, error) {
	return fhirSink{t, auditevent.Exporter{Journal: db, ODS: x.ods, Bodies: x.bodies}}, nil
}

func (s fhirSink) take(ctx context.Context, e store.Event) (rows int, err error) {
	line, err := s.exporter.Line(ctx, e)
	switch {
	case errors.Is(err, store.ErrNoBodyKey):
		return 0, fmt.Errorf("%w; add it to %sBODY_KEY, or leave --bodies out", err, prefix)
	case errors.Is(err, store.ErrBodiesDenied):
		return 0, fmt.Errorf("%w; or leave --bodies out", err)
	case line == nil || err != nil:
		return 0, err
	}
	_, err = s.w.Write(append(escaped(line), '\n'))
	return 1, err
}

func (s fhirSink) end() error { return nil }

func (s fhirSink) left() (string, error) { return "", nil }
