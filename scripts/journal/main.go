// Command journal fills an empty PostgreSQL store with years of invented exchanges, and measures
// how fast the program finds and verifies them.
//
//	go run ./scripts/journal fill --store postgres://… --exchanges 1000000
//	go run ./scripts/journal measure --store postgres://… --program bin/spinetrace
//
// What it writes is what the service would have written: at its start each kind of message is sent
// once through package exchange and a simulator of the mini services, and the commits that come of
// it are made again and again, about other people and at other times. Everybody is invented, with
// NHS numbers that begin with 999.
//
// What the service clears away when it is some days old is left out: claims, letters that were
// delivered, work that is done. The newest exchange should therefore be older than that.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// errUsage says that the command line was wrong, which was explained.
var errUsage = errors.New("wrong usage")

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	commands := map[string]func(context.Context, []string, io.Writer, io.Writer) error{"fill": fill, "measure": measure}
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprintln(stderr, "journal: say fill or measure; each has -h")
		return 2
	}
	err := commands[args[0]](ctx, args[1:], stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	case err != nil:
		fmt.Fprintln(stderr, "journal:", err)
		return 1
	}
	return 0
}

// parse reads flags; what is wrong has been said when it returns.
func parse(fs *flag.FlagSet, args []string, right func() bool) error {
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if fs.NArg() > 0 || !right() {
		fs.Usage()
		return errUsage
	}
	return nil
}
