package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"spinetrace/exchange"
	"spinetrace/mllp"
	"spinetrace/store"
	"spinetrace/testdata"
)

// shownInAudit is the control id of the sample whose audit trail the demo prints.
const shownInAudit = "DEMO0004"

// demo shows the whole product on this machine alone.
func demo(ctx context.Context, c console, args []string) error {
	var dir string
	d := demonstration{w: c.Out}
	fs := newFlags("demo", "demo [flags]\n\nRuns the service with an SQLite store and a simulator of the mini services, or of the PDS\nFHIR API, on this machine, sends sample messages to it and shows what happens. The\nsettings in the environment are not looked at.")
	fs.StringVar(&d.backend, "backend", "smsp", "who is simulated and asked: smsp or pds, the `name` as in the setting BACKEND")
	fs.BoolVar(&d.fields, "fields", false, "print messages with the names of their fields")
	fs.BoolVar(&d.once, "once", false, "end after the samples; the exit code is 1 if an answer is not the expected one")
	fs.StringVar(&dir, "dir", "", "`folder` for the store and the log; default a new temporary one")
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	if _, ok := simulatedBackends[d.backend]; !ok {
		return usageError("--backend is neither smsp nor pds")
	}
	if err := d.prepare(dir); err != nil {
		return err
	}
	err := errors.Join(d.run(ctx), d.close())
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return errors.New("interrupted before all samples were sent")
	}
	if err == nil && !d.once {
		return d.printf("stopped\n")
	}
	return err
}

// demonstration is the service, the simulator and what they were found to do.
type demonstration struct {
	w       io.Writer
	once    bool
	fields  bool // messages with the names of their fields
	cfg     config
	dir     string
	log     *os.File
	backend string // as BACKEND has it
	sim     *simulation
	pas     *demoPAS
	service *service
	tried   chan struct{} // an attempt at a letter has ended, and is recorded

	messages [][]byte // the samples
	answers  [][]byte // to the samples so far
	wrong    int      // answers that are not the expected ones
	updates  []int    // the samples that an A31 follows from in this run
	lacking  int      // A31 that are not the expected ones
}

// prepare makes everything that run needs. Nothing is served yet.
func (d *demonstration) prepare(dir string) (err error) {
	if d.dir, err = demoFolder(dir); err != nil {
		return err
	}
	d.log, err = os.OpenFile(filepath.Join(d.dir, "spinetrace.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	for _, step := range []func() error{d.unpack, d.simulate, d.receive, d.assemble} {
		if err := step(); err != nil {
			return errors.Join(err, d.close())
		}
	}
	return nil
}

// unpack puts the samples into the folder, where a user can send them again.
func (d *demonstration) unpack() error {
	if err := os.MkdirAll(filepath.Join(d.dir, "hl7"), 0o700); err != nil {
		return err
	}
	for _, s := range samples {
		message, err := testdata.Messages.ReadFile("hl7/" + s.file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(d.dir, "hl7", s.file), message, 0o600); err != nil {
			return err
		}
		d.messages = append(d.messages, message)
	}
	return nil
}

// receive starts the system that results are brought home to.
func (d *demonstration) receive() (err error) {
	d.pas, err = startPAS()
	return err
}

// assemble puts the service together, by the very code that serve runs.
func (d *demonstration) assemble() (err error) {
	if d.cfg, err = d.config(); err != nil {
		return err
	}
	if d.service, err = newService(d.cfg, newLogger(d.log, slog.LevelInfo)); err != nil {
		return err
	}
	d.tried = make(chan struct{}, 1)
	for _, r := range d.service.relays {
		count := r.Done
		r.Done = func(delivery exchange.Delivery) {
			count(delivery)
			select {
			case d.tried <- struct{}{}:
			default: // whoever waits will look anyway
			}
		}
	}
	return nil
}

func demoFolder(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "spinetrace-demo-")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return filepath.Abs(dir)
}

func (d *demonstration) close() error {
	var err error
	if d.sim != nil {
		err = d.sim.close()
	}
	if d.pas != nil {
		err = errors.Join(err, d.pas.close())
	}
	return errors.Join(err, d.log.Close())
}

// run serves while the tour lasts.
func (d *demonstration) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	serving, stop := context.WithCancel(ctx)
	g.Go(func() error { return d.service.run(serving) })
	g.Go(func() error {
		defer stop()
		return d.tour(ctx)
	})
	return g.Wait()
}

// tour shows everything, one thing after the other.
func (d *demonstration) tour(ctx context.Context) error {
	select {
	case <-d.service.starting:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !d.service.started {
		return nil // service.run says why
	}
	if err := d.printf("%s", d.welcome()); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{d.send, d.home, d.look, d.stay} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return d.verdict()
}

// verdict says whether everything was as expected.
func (d *demonstration) verdict() error {
	switch {
	case d.wrong > 0:
		return fmt.Errorf("%d of %d answers are not the expected ones", d.wrong, len(samples))
	case d.lacking > 0:
		return fmt.Errorf("%d of %d A31 are not the expected ones", d.lacking, len(d.updates))
	}
	return nil
}

func (d *demonstration) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(d.w, format, args...)
	return err
}

func (d *demonstration) welcome() string {
	var b strings.Builder
	b.WriteString(strings.TrimPrefix(banner, "\n"))
	writeRows(&b, []factRow{
		{"service", d.service.mllpPort.Addr().String()},
		{"asks", d.simulated().url(d.sim) + " (the simulator)"},
		{"sends A31 to", d.pas.addr() + " (it stands for the PAS, and says AA)"},
		{"journal and log", d.dir},
	})
	b.WriteString("\nWhat follows was really sent over TCP: > comes in, < goes out, = is what happened.\n")
	return b.String()
}

// send sends every sample and checks the answer.
func (d *demonstration) send(ctx context.Context) error {
	client := &mllp.Client{Addr: d.service.mllpPort.Addr().String(), Match: sameControlID}
	defer func() { _ = client.Close() }() // every answer is in
	for i, s := range samples {
		before := len(d.simulated().asked(d.sim))
		answer, err := client.Send(ctx, d.messages[i])
		if err != nil {
			return err
		}
		d.answers = append(d.answers, answer)
		asked := d.simulated().asked(d.sim)[before:]
		faults := s.check(answer, len(asked))
		if i == len(samples)-1 && !bytes.Equal(answer, d.answers[0]) {
			faults = append(faults, "the answer is not the first one")
		}
		if err := d.show(i, s, asked, faults); err != nil {
			return err
		}
		if s.home == "" || len(asked) == 0 { // an earlier run has sent it
			continue
		}
		d.updates = append(d.updates, i)
		if err := d.await(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// a31Wait is how long the demo waits for an A31: as long as it takes to try three times.
const a31Wait = 30 * time.Second

// await waits until the A31 that follows from a sample was taken and that is recorded, so that what
// the journal holds comes in the same order every time. What does not come home tells of.
func (d *demonstration) await(ctx context.Context, s sample) error {
	over := time.NewTimer(a31Wait)
	defer over.Stop()
	for {
		select {
		case <-d.tried:
		case <-over.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		if d.pas.update(s.patient()) != nil {
			return nil
		}
	}
}

// home shows what the PAS was sent, and checks it.
func (d *demonstration) home(context.Context) error {
	err := d.heading("What the PAS was sent beside the answers, for those who do not read them (RETURN=a31)")
	for n, i := range d.updates {
		s := samples[i]
		msg := d.pas.update(s.patient())
		var page bytes.Buffer
		if n > 0 {
			page.WriteString("\n")
		}
		fmt.Fprintf(&page, "After message %d:\n", i+1)
		if msg != nil {
			writeBody(&page, bodies[store.Sent].mark, msg, messagePrinter(d.fields))
			fmt.Fprintf(&page, "  = %s.\n", strings.Join(wrap(s.home, maxWidth-5), "\n    "))
		}
		if faults := s.checkUpdate(msg); len(faults) > 0 {
			d.lacking++
			fmt.Fprintf(&page, "  NOT AS EXPECTED: %s\n", strings.Join(faults, "; "))
		}
		if err == nil {
			_, err = d.w.Write(page.Bytes())
		}
	}
	if len(d.updates) == 0 && err == nil {
		err = d.printf("Nothing: an earlier run has sent it.\n")
	}
	return err
}

// show prints a message, its answer, and in one line what happened.
func (d *demonstration) show(i int, s sample, asked, faults []string) error {
	var page bytes.Buffer
	title := fmt.Sprintf("%d of %d: %s", i+1, len(samples), s.title)
	fmt.Fprintf(&page, "\n%s\n%s\n", title, strings.Repeat("-", len(title)))
	print := messagePrinter(d.fields)
	writeBody(&page, bodies[store.Frame].mark, d.messages[i], print)
	fmt.Fprintln(&page)
	writeBody(&page, bodies[store.Reply].mark, d.answers[i], print)
	fmt.Fprintf(&page, "\n  = %s.\n", strings.Join(wrap(s.questions(asked)+": "+s.told, maxWidth-5), "\n    "))
	if len(faults) > 0 {
		d.wrong++
		fmt.Fprintf(&page, "  NOT AS EXPECTED: %s\n", strings.Join(faults, "; "))
	}
	_, err := d.w.Write(page.Bytes())
	return err
}

// questions says what the back end was asked and what it answered.
func (s sample) questions(asked []string) string {
	switch {
	case len(asked) > 0:
		return strings.Join(asked, ", ")
	case s.unseen:
		return "nobody asked"
	}
	return "nobody asked, answered by an earlier run" // --dir was used before
}

// look shows the open items, one message's audit trail and whether the journal is whole, by the code
// of the commands.
func (d *demonstration) look(ctx context.Context) error {
	db, err := startStore(ctx, &d.cfg, console{Out: d.w, Err: d.log})
	if err != nil {
		return err
	}
	for _, part := range []struct {
		title string
		show  func() error
	}{
		{"What a person has to look at (spinetrace items list)", func() error { return d.items(ctx, db) }},
		{
			"What the journal holds of message 4 (spinetrace audit show " + shownInAudit + ")",
			func() error {
				return showing{controlID: shownInAudit, fields: d.fields, as: osUser()}.run(ctx, d.w, db)
			},
		},
		{
			"Whether the journal is whole (spinetrace audit verify --bodies)",
			func() error { return verifying{bodies: true}.run(ctx, d.w, db) },
		},
	} {
		if err == nil {
			err = d.heading(part.title)
		}
		if err == nil {
			err = part.show()
		}
	}
	return errors.Join(err, db.Close())
}

// items lists the open items, in fewer columns than the command: the page is narrow.
func (d *demonstration) items(ctx context.Context, db store.Store) error {
	open, err := db.Items(ctx, store.ItemQuery{Limit: pageSize})
	if err != nil {
		return err
	}
	rows := make([]itemRow, len(open))
	for i, item := range open {
		rows[i] = rowOfItem(item)
		rows[i].Latest, rows[i].Exchange = time.Time{}, ""
	}
	return list[itemRow]{itemColumns, rows, "Nothing."}.
		show(ctx, d.w, db, listing{who: osUser()}, map[string]string{"command": "items list"})
}

func (d *demonstration) heading(title string) error {
	return d.printf("\n%s\n%s\n", title, strings.Repeat("-", len(title)))
}

// stay says where to look and, unless the tour is to end here, waits until it is told to.
func (d *demonstration) stay(ctx context.Context) error {
	if d.once {
		return d.printf("\n%s%d of %d answers and %d of %d A31 as expected. The store stays in %s;\ndelete the folder when you are done.\n",
			d.toTry(), len(samples)-d.wrong, len(samples), len(d.updates)-d.lacking, len(d.updates), d.dir)
	}
	var page bytes.Buffer
	fmt.Fprintf(&page, "\nThe service goes on running:\n\n")
	writeRows(&page, []factRow{
		{"MLLP", d.service.mllpPort.Addr().String()},
		{"ready, metrics", fmt.Sprintf("http://%s/-/ready and /metrics", d.service.adminPort.Addr())},
		{"simulator", d.simulated().url(d.sim) + " (this is not Spine)"},
		{"PAS", d.pas.addr() + " (it says AA to whatever it is sent)"},
		{"store", filepath.Join(d.dir, "spinetrace.db")},
		{"log", d.log.Name()},
	})
	fmt.Fprintf(&page, "\n%sEverything is invented. Ctrl-C stops the demo; delete %s then.\n", d.toTry(), d.dir)
	if _, err := d.w.Write(page.Bytes()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// toTry are commands for whoever wants to look further. Some need the service.
func (d *demonstration) toTry() string {
	var b strings.Builder
	b.WriteString("To look for yourself:\n\n")
	setting := func(name, value string) {
		format := "  export %s='%s'\n"
		if runtime.GOOS == "windows" {
			format = "  $env:%s = '%s'\n"
		}
		fmt.Fprintf(&b, format, prefix+name, value)
	}
	setting("STORE", d.cfg.Store.Reveal())
	program := programName(os.Args[0])
	fmt.Fprintf(&b, "  %s audit show DEMO0001 --bodies --fields\n  %[1]s audit verify\n", program)
	fmt.Fprintf(&b, "  %s items show 2\n  %[1]s outbox list --state delivered\n", program)
	if !d.once {
		fmt.Fprintf(&b, "  %s send --addr %s --new-ids %s\n\n",
			program, d.service.mllpPort.Addr(), filepath.Join(d.dir, "hl7", samples[0].file))
		setting("ODS", d.cfg.ODS)
		setting("BACKEND", d.cfg.Backend)
		for _, s := range d.simulated().settings(d.sim) {
			setting(s[0], s[1])
		}
		fmt.Fprintf(&b, "  %s trace --nhs-number '999 000 0018' --dob 1962-04-17 --details\n", program)
	}
	return b.String() + "\n"
}

// programName is how the user calls this program: by its name, or by `go run`, which builds
// it where nobody would look for it.
func programName(arg0 string) string {
	if strings.Contains(filepath.ToSlash(arg0), "/go-build") {
		return "go run ./cmd/spinetrace"
	}
	return arg0
}
