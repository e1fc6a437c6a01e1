// Command spinetrace answers the HL7 v2 messages of a trust's systems with what the NHS
// Spine knows of the patient, and writes every exchange into an audit journal.
//
//	spinetrace serve            run the service until it is told to stop
//	spinetrace check-config     say what is wrong with the settings
//	spinetrace help             list the commands
//
// The settings are environment variables that start with SPINETRACE_; the README lists
// them. Results go to standard output, logs and complaints to standard error. The exit code
// is 0 when all went well, 1 when the work failed and 2 when the command line was wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	_ "time/tzdata" // HL7 times are London's, and a container may know no zones
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once: an operator who insists is obeyed.
	context.AfterFunc(ctx, stop)
	// Whoever reads our output may leave, as head does: how much was shown is recorded before we end.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], console{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Person: isTerminal(os.Stderr)}))
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// console is where a command reads and writes.
type console struct {
	In  io.Reader // messages to send, if they are in no file
	Out io.Writer // results, for people or, with --json, for programs
	Err io.Writer // logs and complaints

	Person bool // somebody sits before Err
}

// command is one subcommand. Its args are those behind its name.
type command struct {
	run      func(ctx context.Context, c console, args []string) error
	summary  string
	patients bool // it shows patients' data
}

var commands = map[string]command{
	"audit":        {audit, "show and verify what the journal holds", true},
	"check-config": {checkConfig, "print every fault in the settings at once", false},
	"demo":         {demo, "run the service against a simulator and send it sample messages", false},
	"items":        {items, "list, show and close what a person has to look at", true},
	"load":         {load, "send ADTs about invented people, and measure the answers", false},
	"migrate":      {migrate, "bring the store's schema up to date, or show where it is", false},
	"outbox":       {outbox, "list, retry and drop what is to be delivered", true},
	"send":         {send, "send HL7 files over MLLP and print the answers", true},
	"serve":        {serve, "run the service until it is told to stop", false},
	"simulate":     {simulate, "run simulators of the mini services and of PDS FHIR; they are not Spine", false},
	"trace":        {trace, "ask the configured back end about one patient", true},
	"version":      {printVersion, "print version, commit and Go version", false},
}

// run runs one command line and returns the exit code.
func run(ctx context.Context, args []string, c console) int {
	args = plainly(args)
	if len(args) == 0 {
		printCommands(c.Out)
		return exitOK
	}
	cmd, ok := commands[args[0]]
	if !ok {
		fmt.Fprintf(c.Err, "spinetrace: there is no command %q; `spinetrace help` lists the commands\n", args[0])
		return exitUsage
	}
	showNotice(c, args)
	err := cmd.run(ctx, c, args[1:])
	var wrong usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &wrong):
		fmt.Fprintf(c.Err, "spinetrace %s: %s; `spinetrace %s -h` shows the usage\n", args[0], wrong, withUsage(args))
		return exitUsage
	}
	if !readerLeft(err) {
		fmt.Fprintf(c.Err, "spinetrace %s: %s\n", args[0], err)
	}
	return exitFailed
}

// readerLeft tells whether all that went wrong is that nobody reads our output any more.
func readerLeft(err error) bool {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(all.Unwrap(), func(err error) bool { return !readerLeft(err) })
	}
	var wrote *fs.PathError
	return errors.As(err, &wrote) && wrote.Path == os.Stdout.Name() && errors.Is(wrote, syscall.EPIPE)
}

// plainly puts the other ways to ask for help or the version as commands: `help send`,
// `--version`. What asks for the list of commands becomes nothing.
func plainly(args []string) []string {
	switch {
	case len(args) == 0:
		return nil
	case asksHelp(args[0]) && (len(args) == 1 || asksHelp(args[1])):
		return nil
	case asksHelp(args[0]):
		return append(slices.Clone(args[1:]), "-h")
	case args[0] == "-version" || args[0] == "--version":
		return append([]string{"version"}, args[1:]...)
	}
	return args
}

func asksHelp(arg string) bool {
	return slices.Contains([]string{"help", "-h", "-help", "--help"}, arg)
}

// withActions are the commands whose actions have pages of their own.
var withActions = map[string]map[string]action{"audit": audits, "items": itemActions, "outbox": outboxActions}

// withUsage names the command whose usage tells of the flags in args.
func withUsage(args []string) string {
	if len(args) > 1 && withActions[args[0]][args[1]] != nil {
		return args[0] + " " + args[1]
	}
	return args[0]
}

func printCommands(w io.Writer) {
	fmt.Fprint(w, "spinetrace answers HL7 v2 messages with what the NHS Spine knows of the patient.\n\nUsage: spinetrace COMMAND [flags]\n\n")
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		fmt.Fprintf(w, "  %-13s %s\n", name, commands[name].summary)
	}
	fmt.Fprint(w, "\n`spinetrace COMMAND -h` shows a command's flags. The settings are environment\nvariables SPINETRACE_...; `spinetrace check-config` says what is wrong with them.\n")
}

// usageError says what is wrong with a command line.
type usageError string

func (e usageError) Error() string { return string(e) }

// newFlags returns the flags of a command, to be read by parse. The synopsis is the usage
// line behind the command's name.
func newFlags(name, synopsis string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.Usage = func() {
		w := fs.Output()
		fmt.Fprintf(w, "Usage: spinetrace %s\n", synopsis)
		var flags strings.Builder
		fs.SetOutput(&flags)
		fs.PrintDefaults()
		fs.SetOutput(w)
		// Both are understood; everything else that we write has two.
		_, _ = io.WriteString(w, strings.ReplaceAll("\n"+flags.String(), "\n  -", "\n  --"))
	}
	return fs
}

// cutAction takes the action off a command line such as `migrate roles --apply`, so that
// flags may stand behind it.
func cutAction(args []string) (action string, rest []string) {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return "", args
	}
	return args[0], args[1:]
}

// parse reads args. Flags may stand before, between and behind the operands. Usage that was
// asked for goes to standard output; a mistake is a usageError. Commands that take no
// operands pass 0 for operands, -1 means any number.
func parse(fs *flag.FlagSet, c console, args []string, operands int) error {
	fs.SetOutput(io.Discard)
	err := parseMixed(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fs.SetOutput(c.Out)
		fs.Usage()
		return err
	case err != nil:
		return usageError(withoutValue(err))
	case operands == 0 && fs.NArg() > 0:
		return usageError("there is an argument that belongs to no flag; the command takes flags only")
	case operands > 0 && fs.NArg() > operands:
		return usageError(fmt.Sprintf("there are too many arguments; the command takes %d beside flags", operands))
	}
	return checkFlags(fs)
}

// refusedValue is how the flags' parser complains of a value.
var refusedValue = regexp.MustCompile(`(?s)^invalid (?:boolean )?value ".*" for (?:flag )?-([\w-]+): (.*)$`)

// withoutValue puts a mistake in the flags without what was written: it may be a patient's number, and a
// terminal's log is no place for it.
func withoutValue(err error) string {
	text := err.Error()
	if m := refusedValue.FindStringSubmatch(text); m != nil {
		return "invalid value for flag --" + m[1] + ": " + m[2]
	}
	what, name, found := strings.Cut(text, ": -")
	if found && strings.ContainsAny(name, "0123456789") {
		return what
	}
	return text
}

// parseMixed is fs.Parse for args in which flags stand behind operands, too. Behind -- there
// are only operands.
func parseMixed(fs *flag.FlagSet, args []string) error {
	var operands []string
	for {
		if err := fs.Parse(args); err != nil {
			return err
		}
		read := len(args) - fs.NArg()
		if fs.NArg() == 0 || read > 0 && args[read-1] == "--" {
			break
		}
		operands, args = append(operands, fs.Arg(0)), fs.Args()[1:]
	}
	return fs.Parse(slices.Concat([]string{"--"}, operands, fs.Args()))
}
