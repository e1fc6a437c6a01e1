//go:build interop

package interop

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The tests in this folder let clients and servers that others wrote talk to the program. They
// need packages of other languages, so only `make interop` runs them. README.md says what was found.

// patience is how long one run of a foreign program may take, and one step of an installation
// five times that. It is no measure of speed.
const patience = 60 * time.Second

// language is a folder of small programs around foreign libraries, and what it takes to run them.
type language struct {
	dir     string
	needs   []string   // programs that must be there
	install [][]string // commands, run in a copy of the folder, that bring the libraries
	run     []string   // what comes before the name of a program

	once sync.Once
	home string // the copy
	err  error
}

var (
	node = language{
		dir: "node", needs: []string{"node", "npm"},
		install: [][]string{{"npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"}},
		run:     []string{"node"},
	}
	python = language{
		dir: "python", needs: []string{"python3"},
		install: [][]string{{"python3", "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", "lib", "-r", "requirements.txt"}},
		run:     []string{"python3"},
	}
	java = language{
		dir: "java", needs: []string{"java", "javac", "mvn"},
		install: [][]string{
			{"mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", "-DoutputDirectory=lib"},
			{"javac", "-Xlint:all", "-Werror", "-cp", "lib/*", "-sourcepath", ".", "-d", ".",
				"HapiClient.java", "HapiServer.java", "HapiQueries.java", "CamelClient.java", "CamelServer.java"},
		},
		run: []string{"java", "-cp", "lib" + string(filepath.Separator) + "*" + string(filepath.ListSeparator) + "."},
	}
)

// ready installs the libraries, once for every content of the folder and not in the tree. It
// skips the test on a machine that lacks the language.
func (l *language) ready(t *testing.T) {
	t.Helper()
	for _, program := range l.needs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not on this machine", program)
		}
	}
	if l.once.Do(func() { l.home, l.err = l.installed() }); l.err != nil {
		t.Fatal(l.err)
	}
}

func (l *language) installed() (home string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	files, sum, err := l.files()
	if err != nil {
		return "", err
	}
	home = filepath.Join(cache, "spinetrace", "interop", l.dir+"-"+sum)
	if _, err := os.Stat(home); err == nil {
		return home, nil
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(home), l.dir+"-*.part")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(work, name), content, 0o644); err != nil {
			return "", err
		}
	}
	for _, command := range l.install {
		if err := bring(work, command); err != nil {
			return "", err
		}
	}
	return home, os.Rename(work, home)
}

// files returns the files of the folder, and a digest of them all.
func (l *language) files() (files map[string][]byte, sum string, err error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, "", err
	}
	files = make(map[string][]byte)
	h := sha256.New()
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue // somebody tried the programs by hand
		}
		content, err := os.ReadFile(filepath.Join(l.dir, e.Name()))
		if err != nil {
			return nil, "", err
		}
		files[e.Name()] = content
		fmt.Fprintf(h, "%s %d\n%s", e.Name(), len(content), content)
	}
	return files, hex.EncodeToString(h.Sum(nil))[:16], nil
}

// bring runs a command of install.
func bring(dir string, command []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
	}
	return nil
}

// job is what a peer is told to do.
type job struct {
	Host     string   `json:"host,omitempty"`
	Port     int      `json:"port,omitempty"`
	CA       string   `json:"ca,omitempty"` // PEM files
	Cert     string   `json:"cert,omitempty"`
	Key      string   `json:"key,omitempty"`
	Charset  string   `json:"charset"`
	Keep     bool     `json:"keep"`     // use one connection for all messages
	Pipeline bool     `json:"pipeline"` // do not wait for an answer before the next message
	Messages []string `json:"messages"`
}

// peer is a program around a foreign client or server.
type peer struct {
	name    string
	lang    *language
	program string
	cannot  map[string]string // by trial: what it lacks or gets wrong, see README.md
	once    bool              // a server that gets only the first message of a connection right
}

// running is a peer at work.
type running struct {
	stdin  io.Closer
	stdout *bufio.Scanner
	stderr *bytes.Buffer
	wait   func() error
}

// start runs the program with a job. It ends with the test if not before.
func (p peer) start(t *testing.T, j job) *running {
	t.Helper()
	p.lang.ready(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	args := slices.Concat(p.lang.run, []string{p.program})
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = p.lang.home
	cmd.Env = append(os.Environ(), "PYTHONPATH=lib", "PYTHONDONTWRITEBYTECODE=1", "TMPDIR="+t.TempDir())
	cmd.WaitDelay = time.Second
	r := &running{stderr: new(bytes.Buffer), wait: sync.OnceValue(func() error { defer cancel(); return cmd.Wait() })}
	cmd.Stderr = r.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.stdin, r.stdout = stdin, bufio.NewScanner(stdout)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = r.wait() // its end was told where it mattered
		if t.Failed() && r.stderr.Len() > 0 {
			t.Logf("%s says:\n%s", p.program, r.stderr)
		}
	})
	if err := json.NewEncoder(stdin).Encode(j); err != nil {
		t.Fatal(err)
	}
	return r
}

// read reads what the peer tells next into v, and reports whether there was anything.
func (r *running) read(t *testing.T, v any) bool {
	t.Helper()
	if !r.stdout.Scan() {
		return false
	}
	if err := json.Unmarshal(r.stdout.Bytes(), v); err != nil {
		t.Fatalf("%v in %q", err, r.stdout.Bytes())
	}
	return true
}

// end tells the peer that the test has ended, and waits for it.
func (r *running) end(t *testing.T) {
	t.Helper()
	if err := r.stdin.Close(); err != nil {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := r.wait(); errors.As(err, &exit) {
		t.Errorf("the peer ended with %v", err)
	} else if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		t.Error(err)
	}
}
