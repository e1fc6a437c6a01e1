// Command gotest runs go test with the arguments it is given and prints what
// go test would, and then what it would not: every test that failed, with what it
// said, and every one that skipped, with its reason.
//
//	go run ./scripts/gotest -race ./...
//
// It ends with the numbers passed, failed and skipped, and with a status that
// is not zero if a test failed or none ran.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(stderr, "gotest:", err)
		return 1
	}
	r := newReport(stdout)
	readErr := r.read(events)
	waitErr := cmd.Wait()
	r.summary()
	switch {
	case readErr != nil:
		fmt.Fprintln(stderr, "gotest:", readErr)
		return 1
	case waitErr != nil || r.failed > 0 || r.passed == 0:
		return 1
	}
	return 0
}

// trimmed is the first line of b that says something, for a list.
func trimmed(b []byte) []byte {
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSpace(line); len(line) > 0 && !bytes.HasPrefix(line, []byte("--- ")) && !bytes.HasPrefix(line, []byte("=== ")) {
			return line
		}
	}
	return []byte("no reason given")
}
